"""What is said of answers is what Flask, FastAPI and Django do with them; the mended line answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from textwrap import dedent, indent
from typing import Any

import httpx
import pytest
from sklearn.linear_model import LogisticRegression

from fakes.reviews import facts_of
from shipway.apps.findings import Finding, review

HEAD = {
    "flask": "import json\nimport numpy as np\nimport pandas as pd\nfrom flask import Flask, jsonify, request\n"
    "app = Flask(__name__)\n",
    "fastapi": "import numpy as np\nimport pandas as pd\nfrom fastapi import FastAPI\n"
    "from fastapi.responses import JSONResponse\napp = FastAPI()\n",
}

FAIL = {
    "flask": (
        "return jsonify({'prediction': model.predict(X)})",
        "return jsonify(prediction=model.predict(X))",
        "return {'prediction': model.predict_proba(X)[0]}",
        "return {'prediction': model.predict(X)}, 200",
        "p = model.predict(X)\nq = p\nreturn jsonify({'a': [1, {'b': q}]})",
        "p = model.predict(X)\nout = {'p': p}\nreturn jsonify(out)",
        "out = {}\nout['p'] = model.predict(X)\nreturn out",
        "out = []\nout.append(model.predict(X))\nreturn jsonify(out)",
        "return jsonify(p=model.predict_proba(X).argmax())",
        "return jsonify(p=np.argmax(model.predict_proba(X)))",
        "return json.dumps({'p': np.array([1, 2])})",
        "return jsonify(p=model.predict(X) * 2)",
        "return jsonify(p=-model.predict(X))",
        "return jsonify(p=np.round(model.predict_proba(X), 2))",
        "p: object = model.predict(X)\nif p is not None:\n    return jsonify(p=p)",
        "try:\n    return jsonify(p=model.predict(X))\nfinally:\n    pass",
        "return jsonify(p=pd.DataFrame({'a': [1]}))",
        "table = pd.DataFrame({'a': [1]})\nreturn jsonify(p=table['a'])",
        "a, b = 1, model.predict(X)\nreturn jsonify(a=a, b=b)",
        "return jsonify(p=[row for row in model.predict_proba(X)])",
        "return jsonify(p=model.predict(X) if True else 0)",
        "name, p = 'größe', model.predict(X)\nreturn jsonify(grüße=[p], p=p)",
    ),
    "fastapi": (
        "return {'prediction': model.predict(X)}",
        "return model.predict(X)",
        "return JSONResponse({'p': model.predict(X)})",
        "return {'p': model.predict_proba(X)[0].argmax()}",
    ),
}
PASS = {
    "flask": (
        "return jsonify({'prediction': model.predict(X).tolist()})",
        "return jsonify(p=int(model.predict(X)[0]))",
        "return jsonify(p=model.predict_proba(X)[0][1])",
        "return jsonify(p=model.predict_proba(X)[0, 1])",
        "return jsonify(p=round(model.predict_proba(X)[0][1], 2))",
        "return jsonify(p=[float(x) for x in model.predict(X)])",
        "return jsonify(p=list(model.predict_proba(X)[0]))",
        "return jsonify(p=str(model.predict(X)))",
        "return jsonify(p=f'{model.predict(X)}')",
        "p = model.predict(X)\np = p.tolist()\nreturn jsonify(p=p)",
        "return jsonify(p=len(model.predict(X)), q=model.predict(X).shape[0])",
        "return jsonify(p=pd.DataFrame({'a': [1]}).to_dict(orient='records'))",
        "return json.dumps({'p': model.predict(X)}, default=str)",
        "return jsonify(p=bool(model.predict(X)[0] == 1))",
        "for p in model.predict(X):\n    p = 'yes'\nreturn jsonify(p=p)",
    ),
    "fastapi": (
        "return {'prediction': model.predict(X).tolist()}",
        "return {'p': model.predict_proba(X)[0][1]}",
    ),
}
PERHAPS = (
    "return jsonify(p=model.predict(X)[0])",
    "return jsonify(p=list(model.predict(X)))",
    "return jsonify(p=[x for x in model.predict(X)])",
    "for p in model.predict(X):\n    return jsonify(p=p)",
    "return jsonify(p=max(model.predict(X)))",
)

WRONG = [(framework, body) for framework, bodies in FAIL.items() for body in bodies]
RIGHT = [(framework, body) for framework, bodies in PASS.items() for body in bodies]


def source(framework: str, body: str) -> str:
    return f"{HEAD[framework]}\n@app.get('/')\ndef answer():\n{indent(dedent(body), '    ')}\n"


def findings(text: str) -> list[Finding]:
    return [one for one in review(facts_of({"app.py": text})) if one.kind == "numpy-answer"]


def mended(text: str, found: list[Finding]) -> str:
    """Gives the source with each line written as its finding says."""
    lines = text.splitlines()
    for one in found:
        number = int(one.where.rpartition(":")[2]) - 1
        before = lines[number]
        lines[number] = before[: len(before) - len(before.lstrip())] + one.fix.removeprefix("write ")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def ask() -> Callable[[str, str], int]:
    """Runs an app's source and gives the status of its answer."""
    model = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 1])

    def run(framework: str, text: str) -> int:
        names: dict[str, Any] = {"__name__": "app", "model": model, "X": [[1.0], [0.0]]}
        exec(compile(text, "app.py", "exec", dont_inherit=True), names)
        if framework == "flask":
            return int(names["app"].test_client().get("/").status_code)
        return asyncio.run(get(names["app"]))

    return run


async def get(app: Any) -> int:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://app.example") as client:
        return (await client.get("/")).status_code


@pytest.mark.parametrize(("framework", "body"), WRONG)
def test_an_answer_that_is_said_to_fail_fails_and_the_mended_line_answers(
    framework: str, body: str, ask: Callable[[str, str], int]
) -> None:
    text = source(framework, body)
    found = findings(text)
    assert [one.severity for one in found] == ["error"]
    assert ask(framework, text) == 500
    if found[0].fix.startswith("write "):
        assert ask(framework, mended(text, found)) == 200


@pytest.mark.parametrize(("framework", "body"), RIGHT)
def test_an_answer_of_which_nothing_is_said_answers(framework: str, body: str, ask: Callable[[str, str], int]) -> None:
    text = source(framework, body)
    assert findings(text) == []
    assert ask(framework, text) == 200


@pytest.mark.parametrize("body", PERHAPS)
def test_one_value_is_a_warning_for_its_type_is_not_known_and_the_mended_line_answers(
    body: str, ask: Callable[[str, str], int]
) -> None:
    text = source("flask", body)
    found = findings(text)
    assert [one.severity for one in found] == ["warning"]
    assert ask("flask", text) == 500  # of this model, whose classes are integers
    assert ask("flask", mended(text, found)) == 200


def test_two_values_on_one_line_are_mended_together() -> None:
    (found,) = findings(source("flask", "return jsonify(a=model.predict(X), b=model.predict(X)[0])"))
    assert found.fix == "write return jsonify(a=model.predict(X).tolist(), b=model.predict(X)[0].item())"


def test_an_expression_over_several_lines_is_mended_by_its_end() -> None:
    (found,) = findings(source("flask", "return jsonify(a=model.predict(\n    X\n))"))
    assert found.fix == "add .tolist() to model.predict(X)"
    assert found.where == "app.py:9"


@pytest.mark.parametrize(
    "line",
    [
        "app.json = NumpyProvider(app)",
        "app.json_encoder = NumpyEncoder",
        "class Model:\n    def predict(self, X):\n        return [1]",
    ],
)
def test_an_app_that_encodes_or_predicts_by_itself_is_left_alone(line: str) -> None:
    assert findings(source("flask", "return jsonify(model.predict(X))") + line + "\n") == []


def test_what_is_returned_counts_only_where_a_route_answers() -> None:
    text = source("flask", "return 'yes'") + "def helper():\n    return {'p': model.predict(X)}\n"
    assert findings(text) == []


def test_code_that_no_app_imports_is_not_looked_at() -> None:
    files = {
        "app.py": source("flask", "return 'yes'"),
        "train.py": "import json\ndef f():\n    json.dumps(m.predict(X))\n",
    }
    assert [one for one in review(facts_of(files)) if one.where.startswith("train.py")] == []
    files["app.py"] += "import train\n"
    assert [one.where for one in review(facts_of(files)) if one.kind == "numpy-answer"] == ["train.py:3"]
