"""`shipway doctor FOLDER`."""

from __future__ import annotations

import json
from importlib import metadata

from fakes.shell import Shell

APP = "from flask import Flask, jsonify\napp = Flask(__name__)\n@app.get('/')\ndef f():\n    return {}\n"
BAD = APP.format("jsonify(model.predict(x))")
GOOD = APP.format("'yes'")


def write(shell: Shell, source: str, name: str = "app.py") -> None:
    (shell.folder / "shop").mkdir()
    shell.write(f"shop/{name}", source)
    shell.write("shop/requirements.txt", f"flask=={metadata.version('flask')}\n")


def test_it_fails_with_the_first_error_and_lists_all(shell: Shell) -> None:
    write(shell, BAD)
    ran = shell("doctor", "shop")
    assert "app.py:5" in ran.refusal(1)
    assert "  ERROR    app.py:5: model.predict(x) is a numpy array" in ran.out
    assert "           fix: write return jsonify(model.predict(x).tolist())" in ran.out
    assert ran.out.splitlines()[-1] == "1 error"
    assert "\x1b" not in ran.out


def test_its_facts_are_a_list_of_findings(shell: Shell) -> None:
    write(shell, BAD)
    ran = shell("doctor", "shop", "--json")
    assert ran.code == 1
    (found,) = json.loads(ran.out)
    assert set(found) == {"kind", "where", "what", "fix", "severity"}
    assert (found["where"], found["severity"]) == ("app.py:5", "error")


def test_a_folder_without_a_fault_is_fine(shell: Shell) -> None:
    write(shell, GOOD)
    ran = shell("doctor", "shop")
    assert (ran.code, ran.out) == (0, "nothing to mend\n")


def test_the_app_of_a_folder_with_several_is_named(shell: Shell) -> None:
    write(shell, GOOD, "one.py")
    shell.write("shop/two.py", GOOD)
    assert "--app one:app" in shell("doctor", "shop").refusal(1)
    assert shell("doctor", "shop", "--app", "two:app").code == 0


def test_it_is_misuse_to_name_no_folder(shell: Shell) -> None:
    assert "nothing" in shell("doctor", "nothing").refusal(2)
    assert "FOLDER" in shell("doctor", "--app", "a:b").refusal(2)
