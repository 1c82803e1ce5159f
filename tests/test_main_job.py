"""The main job: a trained linear regression, packed and served, answers what its coefficients say."""

from __future__ import annotations

from pathlib import Path

import httpx
import joblib
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

from fakes.process import ServerProcess
from shipway.bundle.pack import PackRequest, pack
from shipway.bundle.records import read_sample
from shipway.bundle.store import Store
from shipway.client.client import Client


def test_a_served_linear_regression_answers_coef_times_x_plus_intercept(tmp_path: Path) -> None:
    data = load_diabetes(as_frame=True)
    model = LinearRegression().fit(data.data, data.target)
    joblib.dump(model, tmp_path / "model.joblib")
    data.frame.to_csv(tmp_path / "train.csv", index=False)
    expected = data.data.to_numpy() @ model.coef_ + model.intercept_

    store = Store.at(tmp_path / "store")
    sample = read_sample(tmp_path / "train.csv")
    bundle = pack(PackRequest(tmp_path / "model.joblib", "diabetes", sample, target="target"), store).bundle
    assert bundle.model.compiled is not None
    assert not bundle.model.golden.synthetic

    environ = {"SHIPWAY_STORE": str(tmp_path / "store"), "NO_COLOR": "1"}
    with ServerProcess("serve", "diabetes", environ=environ, module="shipway") as server:
        address = server.address()
        records = data.data.to_dict("records")
        one_by_one = [server.client.post(f"{address}/", json=record).json()["prediction"] for record in records]
        np.testing.assert_allclose(one_by_one, expected, rtol=0, atol=1e-12)

        at_once = httpx.post(f"{address}/", json=records).json()["prediction"]
        np.testing.assert_allclose(at_once, expected, rtol=0, atol=1e-12)

        with Client(address) as client:
            np.testing.assert_allclose(client.predict(data.data), expected, rtol=0, atol=1e-12)
