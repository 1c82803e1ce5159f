"""The library, as a user of Python meets it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

import shipway
from shipway.bundle.bundle import Bundle
from shipway.errors import InvalidInput, SampleMismatch, UnknownBundle, UnknownModel, UsageError

IRIS = load_iris(as_frame=True)
FRAME = IRIS.data.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
LABELS = IRIS.target_names[IRIS.target]


@pytest.fixture(scope="module")
def model() -> LogisticRegression:
    return LogisticRegression(max_iter=500).fit(FRAME, LABELS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api") / "store"


@pytest.fixture(scope="module")
def bundle(model: LogisticRegression, store: Path) -> Bundle:
    return shipway.pack(model, name="iris", sample=FRAME, store=store)


FORMS: list[Any] = [FRAME, FRAME.to_dict("list"), FRAME.to_dict("records"), FRAME.to_numpy(), FRAME.to_numpy().tolist()]


@pytest.mark.parametrize("rows", FORMS, ids=["frame", "columns", "records", "array", "lists"])
def test_every_form_of_rows_gives_the_models_answers(
    bundle: Bundle, store: Path, model: LogisticRegression, rows: Any
) -> None:
    predictor = shipway.load("iris", store=store)
    np.testing.assert_array_equal(predictor.predict(rows), model.predict(FRAME))
    np.testing.assert_allclose(predictor.predict_proba(rows), model.predict_proba(FRAME), rtol=1e-9)


def test_one_record_gives_one_plain_value(bundle: Bundle, store: Path) -> None:
    prediction = shipway.load("iris:1", store=store).predict(FRAME.iloc[0].to_dict())
    assert type(prediction) is str
    assert prediction == "setosa"


def test_what_is_wrong_is_said_by_errors_of_ours(bundle: Bundle, store: Path) -> None:
    predictor = shipway.load(bundle)
    with pytest.raises(InvalidInput, match="sepal_length"):
        predictor.predict(FRAME.drop(columns="sepal_length"))
    with pytest.raises(UnknownModel, match="predict"):
        predictor.call("predcit", FRAME)
    with pytest.raises(UnknownBundle, match="irsi"):
        shipway.load("irsi", store=store)
    with pytest.raises(SampleMismatch):
        shipway.pack(LogisticRegression(max_iter=500).fit(FRAME, LABELS), name="x", sample=3, store=store)


@pytest.mark.parametrize(
    "sample", [FRAME, FRAME.to_dict("list"), FRAME.to_dict("records"), FRAME.to_numpy()], ids=lambda s: type(s).__name__
)
def test_a_sample_may_be_any_table(store: Path, sample: Any) -> None:
    plain = LogisticRegression(max_iter=500).fit(FRAME.to_numpy(), LABELS)
    assert not shipway.pack(plain, name="iris-table", sample=sample, store=store).model.golden.synthetic


def test_missing_values_of_a_frame_are_missing_values_of_the_sample(store: Path) -> None:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    holes = FRAME.mask(np.eye(len(FRAME), FRAME.shape[1], dtype=bool))
    model = make_pipeline(SimpleImputer(), LogisticRegression(max_iter=500)).fit(holes, LABELS)
    bundle = shipway.pack(model, name="holes", sample=holes, store=store)
    assert all(column.nullable for column in bundle.model.signature.inputs)
    given = shipway.load(bundle).predict_proba(holes)
    np.testing.assert_allclose(given, model.predict_proba(holes), rtol=1e-9)


def test_an_asgi_application_mounts_in_another(bundle: Bundle) -> None:
    inner = shipway.asgi(bundle)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "root_path": "/ml"}, receive, send)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://x") as client:
            return await client.post("/ml/models/iris/predict", json=FRAME.iloc[0].to_dict())

    assert asyncio.run(ask()).json() == {"prediction": "setosa"}


def test_serving_where_a_loop_runs_already_says_what_to_do(bundle: Bundle) -> None:
    async def notebook() -> None:
        shipway.serve(bundle, port=0)

    with pytest.raises(UsageError) as caught:
        asyncio.run(notebook())
    assert "shipway.asgi" in caught.value.fix


def test_importing_the_package_imports_none_of_its_rooms() -> None:
    code = "import sys, shipway; print([name for name in sys.modules if name[:8] in ('shipway.', 'numpy')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['shipway._version']"


def test_every_public_name_is_there_and_sorted() -> None:
    assert sorted(shipway.__all__) == shipway.__all__
    for name in shipway.__all__:
        assert getattr(shipway, name) is not None
    with pytest.raises(AttributeError, match="pakc"):
        _ = shipway.pakc


def test_a_frame_of_texts_and_numbers_is_read_by_its_columns(store: Path) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.DataFrame({"city": ["Ulm", "Bonn", "Ulm", "Trier"] * 5, "rooms": range(20)})
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression(max_iter=500)).fit(frame, frame["city"] == "Ulm")
    predictor = shipway.load(shipway.pack(model, name="rent", sample=frame, store=store))
    np.testing.assert_array_equal(predictor.predict(frame), model.predict(frame))
    assert predictor.predict({"city": "Ulm", "rooms": 3}) is True
