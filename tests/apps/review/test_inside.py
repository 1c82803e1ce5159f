"""An app is told to be nothing but its model only where it is."""

from __future__ import annotations

import pytest

from fakes.reviews import app, facts_of
from shipway.apps.findings import model_inside
from shipway.apps.review.facts import ModelFile

MODEL = ModelFile("m/model.joblib", "sklearn", "pickle of sklearn.linear_model._base.LinearRegression")
HEAD = "import joblib\nimport numpy as np\nimport pandas as pd\nmodel = joblib.load('m/model.joblib')\n"
ROUTE = "@app.post('/')\ndef f():\n"
PLAIN = f"{HEAD}{ROUTE}    return jsonify(model.predict([request.get_json()]).tolist())\n"


def found(body: str, *models: ModelFile) -> bool:
    return model_inside(facts_of(app(body), models=models or (MODEL,))) is not None


def test_it_is_told_with_its_file_and_its_function() -> None:
    inside = model_inside(facts_of(app(PLAIN), models=(MODEL,)))
    assert inside is not None
    assert (inside.path, inside.framework, inside.evidence) == (MODEL.path, MODEL.framework, MODEL.evidence)
    assert inside.where == "app.py:8"


@pytest.mark.parametrize(
    "body",
    [
        "    data = request.get_json(force=True)\n    p = model.predict(pd.DataFrame([data]))\n"
        "    return jsonify({'p': float(p[0])})\n",
        "    x = np.array(request.json['x']).reshape(1, -1)\n    return {'p': model.predict_proba(x)[0].tolist()}\n",
        "    try:\n        return jsonify(model.predict(request.json).tolist())\n    except ValueError as e:\n"
        "        return jsonify(error=str(e)), 400\n",
    ],
)
def test_json_in_a_prediction_and_json_out_is_nothing_but_the_model(body: str) -> None:
    assert found(HEAD + ROUTE + body)


def test_a_route_that_says_that_it_is_alive_is_no_work() -> None:
    assert found(PLAIN + "@app.get('/health')\ndef g():\n    return jsonify(status='ok')\n")


def test_a_class_that_describes_the_json_is_no_work() -> None:
    text = """
    import joblib
    from fastapi import FastAPI
    from pydantic import BaseModel
    app = FastAPI()
    model = joblib.load('m/model.joblib')
    class Row(BaseModel):
        x: float
    @app.post('/predict')
    def f(row: Row):
        return {'p': model.predict([[row.x]])[0].item()}
    """
    assert model_inside(facts_of({"main.py": text}, models=(MODEL,))) is not None


@pytest.mark.parametrize(
    "body",
    [
        "    return jsonify(model.predict(scale(request.json)).tolist())\n",
        "    x = [v * 2 for v in request.json]\n    return jsonify(model.predict([x]).tolist())\n",
        "    for row in request.json:\n        p = model.predict([row])\n    return jsonify(p.tolist())\n",
        "    save(request.json)\n    return jsonify(model.predict(request.json).tolist())\n",
        "    p = model.predict(request.json)\n    return render_template('page.html', p=p)\n",
    ],
)
def test_an_app_that_works_beside_its_model_is_more(body: str) -> None:
    assert not found(HEAD + ROUTE + body)


@pytest.mark.parametrize(
    "more",
    [
        "@app.get('/page')\ndef g():\n    return render_template('page.html')\n",
        "@app.post('/two')\ndef g():\n    return jsonify(model.predict([request.get_json()]).tolist())\n",
        "def other():\n    client.query('x')\n",
    ],
)
def test_an_app_with_more_than_one_thing_to_do_is_more(more: str) -> None:
    assert not found(PLAIN + more)


@pytest.mark.parametrize(
    "models",
    [
        (MODEL, ModelFile("b.onnx", "onnx")),
        (MODEL, ModelFile("scaler.pkl")),
        (ModelFile("m/model.joblib", broken="no end"),),
    ],
)
def test_other_than_one_model_that_shipway_knows_is_no_model_inside(models: tuple[ModelFile, ...]) -> None:
    assert not found(PLAIN, *models)
