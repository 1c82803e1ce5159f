from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shipway.apps.dockerfile import parse_dockerfile, read_dockerfile

TUTORIAL = """\
FROM python:3.8
WORKDIR /app
COPY . /app
RUN pip install -r requirements.txt
EXPOSE 8000
CMD ["python", "app.py"]
"""


def test_the_tutorials_facts() -> None:
    facts = read_dockerfile(TUTORIAL)
    assert (facts.base, facts.workdir, tuple(facts.ports), facts.user) == ("python:3.8", "/app", (8000,), "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ENV A=1 B='two words'", {"A": "1", "B": "two words"}),
        ("ENV A 1 and more", {"A": "1 and more"}),
        ("ARG V=3\nENV A=$V", {"A": "3"}),
        ("ENV A=1\nENV B=${A}${C:-x}", {"A": "1", "B": "1x"}),
        ("ENV A=1 \\\n    B=2", {"A": "1", "B": "2"}),
    ],
)
def test_every_form_of_env_is_read(line: str, expected: dict[str, str]) -> None:
    assert dict(read_dockerfile(f"FROM x:1\n{line}\n").environment) == expected


def test_working_folders_add_up_and_the_last_stage_counts() -> None:
    text = "FROM a:1 AS build\nWORKDIR /build\nFROM b:2\nWORKDIR /srv\nWORKDIR app\nUSER web\nEXPOSE 80/tcp 53/udp\n"
    facts = read_dockerfile(text)
    assert (facts.base, facts.workdir, facts.user, tuple(facts.ports)) == ("b:2", "/srv/app", "web", (80,))


def test_an_instruction_knows_its_line() -> None:
    found = [(one.keyword, one.line) for one in parse_dockerfile("# x\nFROM a\n\nRUN b && \\\n  c\ncmd d\n")]
    assert found == [("FROM", 2), ("RUN", 4), ("CMD", 6)]


@settings(max_examples=60)
@given(st.text(st.sampled_from("FROM RUNENVEXPOSE=\"'\\${}:-[]<\n\t a1/"), max_size=200))
def test_no_text_makes_it_fail(text: str) -> None:
    read_dockerfile(text)
