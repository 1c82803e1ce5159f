"""config, doctor, keys and completion: what surrounds the models."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.shell import Shell
from shipway.cli.entry import VERBS
from shipway.errors import Unauthorized
from shipway.serving.http.keys import ApiKeys


def test_config_tells_each_value_and_where_it_comes_from(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.write("shipway.toml", "[server]\nport = 9001\n[limits]\nrows = 7\n")
    monkeypatch.setenv("SHIPWAY_SERVER__PORT", "9002")
    facts = shell("config", "--json").facts
    assert facts["server.port"] == {"value": 9002, "origin": "SHIPWAY_SERVER__PORT"}
    assert facts["limits.rows"]["value"] == 7
    assert facts["limits.rows"]["origin"].endswith("shipway.toml")
    assert facts["server.host"] == {"value": "127.0.0.1", "origin": "default"}
    assert shell("config").out.splitlines()[0].split() == ["KEY", "VALUE", "FROM"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[server]\nprot = 1\n", "fix: did you mean 'port'?"),
        ("[sever]\nport = 1\n", "fix: did you mean 'server'?"),
        ("[models.m]\nbatch = 1\n", "extra_columns"),
        ("[server]\nport = '9'\n", "server.port"),
        ("[server]\nport = 99999\n", "<= 65535"),
        ("[limits]\nrows = 0\n", ">= 1"),
        ("server = 3\n", "is a table"),
        ("[server\n", "line 1"),
    ],
)
@pytest.mark.parametrize("words", [("config",), ("serve", "m")], ids=" ".join)
def test_settings_that_cannot_be_are_refused(shell: Shell, content: str, said: str, words: tuple[str, ...]) -> None:
    shell.write("shipway.toml", content)
    assert said in shell(*words).refusal(2)


def test_an_unknown_key_of_the_environment_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIPWAY_SERVER__PROT", "1")
    assert "did you mean 'port'?" in shell("config").refusal(2)


def test_doctor_tells_what_is_here(stocked: Shell) -> None:
    findings = stocked("doctor", "--json").facts
    assert all(set(finding) == {"severity", "subject", "message", "fix"} for finding in findings)
    assert all(finding["fix"] for finding in findings if finding["severity"] != "ok")
    found = {finding["subject"]: finding for finding in findings}
    assert found["store"]["severity"] == "ok"
    assert "2 bundles" in found["store"]["message"]
    assert {"Shipway", "scikit-learn", "onnxruntime", "kubectl", "port 8000"} <= set(found)


def test_doctor_fails_where_something_is_broken(shell: Shell) -> None:
    shell.store.write_text("mine", encoding="utf-8")
    shell.write("shipway.toml", "[server]\nprot = 1\n")
    ran = shell("doctor")
    assert str(shell.store) in ran.refusal(1)
    assert ran.out.count("PROBLEM") == 2
    assert "did you mean 'port'?" in ran.out


def test_a_key_is_shown_once_and_its_hash_opens(shell: Shell) -> None:
    facts = shell("keys", "new", "--api", "--remark", "web\nshop", "--json").facts
    assert set(facts) == {"key", "line"}
    assert facts["key"] not in facts["line"]
    assert facts["line"].endswith(" web shop")
    printed = shell("keys", "new", "--api", "--quiet")
    key, line = printed.out.splitlines()
    ApiKeys.parse(line).check(f"Bearer {key}")
    with pytest.raises(Unauthorized):
        ApiKeys.parse(line).check(f"Bearer {facts['key']}")


def test_keys_are_added_to_a_file_that_only_its_owner_reads(shell: Shell) -> None:
    keys = [shell("keys", "new", "--api", "--file", "keys.txt").out.strip() for _ in range(2)]
    path = Path("keys.txt")
    known = ApiKeys.parse(path.read_text(encoding="utf-8"))
    for key in keys:
        known.check(f"Bearer {key}")
    if os.name == "posix":
        assert path.stat().st_mode & 0o077 == 0


def test_a_file_of_keys_that_cannot_be_written_is_refused(shell: Shell) -> None:
    assert "nowhere" in shell("keys", "new", "--api", "--file", "nowhere/keys.txt").refusal(1)
    assert "--api" in shell("keys", "new").refusal(2)


def test_a_port_in_use_is_refused_with_the_flag_that_mends_it(stocked: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = stocked("serve", "churn", "--port", port).refusal(1)
    assert port in said
    assert "--port 0" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("chrun",), 1, "did you mean 'churn'?"),
        (("churn", "churn:1"), 2, "two of the models"),
        (("churn", "--default", "diabetes"), 2, "served: churn"),
        (("churn", "--host", "192.0.2.1"), 1, "--host 127.0.0.1"),
    ],
)
def test_serve_refuses_what_cannot_be_served(stocked: Shell, words: tuple[str, ...], code: int, said: str) -> None:
    assert said in stocked("serve", *words, "--port", "0").refusal(code)


def test_serve_refuses_without_its_file_of_keys(stocked: Shell) -> None:
    stocked.write("shipway.toml", "[auth]\nkeys = 'nowhere.txt'\n")
    assert "shipway keys new --api" in stocked("serve", "churn", "--port", "0").refusal(2)


COMPLETE = {
    "bash": """
eval "$("$@" completion bash)"
complete_words() { COMPREPLY=(); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shipway_completion shipway
                   printf '%s ' "${COMPREPLY[@]}"; echo; }
complete_words shipway p
complete_words shipway store ""
complete_words shipway pack --n
complete_words shipway show ch
complete_words shipway show churn@
""",
    "fish": """
$argv completion fish | source
function complete_words; complete -C "$argv" | string split -f 1 \\t | string join ' '; end
complete_words "shipway p"
complete_words "shipway store "
complete_words "shipway pack --n"
complete_words "shipway show ch"
complete_words "shipway show churn@"
""",
}


@pytest.mark.parametrize("shell_name", COMPLETE)
def test_the_shell_completes_verbs_options_and_names(stocked: Shell, shell_name: str) -> None:
    """With a `shipway` on the path, as pip installs it, that is this Python's."""
    if not shutil.which(shell_name):
        pytest.skip(f"there is no {shell_name} here")
    stocked("alias", "churn:1", "best")
    program = stocked.folder / "shipway"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shipway "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    environ = stocked.environ | {
        "PATH": f"{stocked.folder}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(stocked.folder),
    }
    script = stocked.folder / "script"
    script.write_text(COMPLETE[shell_name], encoding="utf-8")
    done = subprocess.run(
        [shell_name, str(script), str(program)], env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    lines = [sorted(line.split()) for line in done.stdout.splitlines()]
    verbs = ["pack", "predict", "promote", "pull", "push"]
    assert lines == [verbs, ["check", "gc"], ["--name", "--new-version"], ["churn"], ["churn@best"]], done.stderr


def test_the_script_of_zsh_is_one_that_zsh_reads(shell: Shell) -> None:
    script = shell("completion", "zsh").out
    assert script.startswith("#compdef shipway")
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=script, text=True, check=True)


def test_completion_names_every_verb_and_never_fails(shell: Shell) -> None:
    shell.store.write_text("no store", encoding="utf-8")
    for words, cword, expected in (("shipway ", "1", set(VERBS)), ("shipway show ", "2", set())):
        environ = {"COMP_WORDS": words, "COMP_CWORD": cword, "_SHIPWAY_COMPLETE": "bash_complete"}
        ran = shell.apart(env=shell.environ | environ)
        assert {line.partition(",")[2] for line in ran.out.split()} == expected
    assert shell.store.read_text(encoding="utf-8") == "no store"


def test_a_container_that_will_not_ask_for_the_keys_of_here_is_spoken_of(stocked: Shell, tmp_path: Path) -> None:
    settings = tmp_path / "keys.toml"
    settings.write_text('[auth]\nkeys = "api-keys.txt"\n', encoding="utf-8")
    render = ("render", "churn", "--to", "kubernetes", "--image", "churn:1")
    assert "API keys" in stocked(*render, "--config", str(settings)).err
    assert "API keys" not in stocked(*render).err
