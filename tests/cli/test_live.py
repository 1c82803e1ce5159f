"""What is drawn of a roll-out on a terminal."""

from __future__ import annotations

import click
import pytest

from shipway.cli.live import watched
from shipway.cli.output import Output
from shipway.deploy.target import Cause, Instance, Plan, Progress

PROGRESS = Progress(
    2, 1, 1, 1, (Instance("diabetes-7f9", "stable", True, "ready"),), Cause("crash", "it ends " * 40, "", "")
)


def test_what_is_said_in_between_is_not_drawn_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    up = "\x1b[1A"
    with watched(Output(), Plan("diabetes", "deploy", 1, ())) as live:
        live(PROGRESS)
        live(PROGRESS)
        assert up in capsys.readouterr().err
        live.settle()
        live(PROGRESS)
        assert up not in capsys.readouterr().err


@pytest.mark.parametrize("colour", [True, False])
def test_no_line_is_broken_in_two_by_the_terminal(
    colour: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    with watched(Output(colour=colour), Plan("diabetes", "deploy", 1, ())) as tell:
        tell(PROGRESS)
        tell(PROGRESS)
    drawn = capsys.readouterr().err
    assert "diabetes-7f9" in drawn
    assert max(len(click.unstyle(line)) for line in drawn.splitlines()) < 60
