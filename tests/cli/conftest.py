"""What the tests of commands stand on: a shell of their own, and a store of real models, packed once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fakes.shell import Shell, Workshop
from shipway.bundle.pack import PackRequest, pack
from shipway.bundle.records import read_sample
from shipway.bundle.store import Store


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell with an empty working folder and no store yet."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SHIPWAY_STORE", str(tmp_path / "store"))
    return Shell(folder, tmp_path / "store", capsys, monkeypatch)


@pytest.fixture
def stocked(shell: Shell, workshop: Workshop) -> Shell:
    """A shell whose store holds `diabetes:1` and `churn:1`."""
    shutil.copytree(workshop.store, shell.store)
    return shell


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("workshop")
    data = load_diabetes(as_frame=True)
    joblib.dump(LinearRegression().fit(data.data, data.target), folder / "diabetes.joblib")
    data.data.assign(progression=data.target).to_csv(folder / "diabetes.csv", index=False)
    people, churn = _churn()
    joblib.dump(churn, folder / "churn.joblib")
    people.assign(outcome=churn.predict(people)).to_csv(folder / "churn.csv", index=False)
    store = Store.at(folder / "store")
    for name, target in (("diabetes", "progression"), ("churn", "outcome")):
        sample = read_sample(folder / f"{name}.csv")
        pack(PackRequest(folder / f"{name}.joblib", name, sample, target), store)
    return Workshop(folder, folder / "store", people, churn)


def _churn() -> tuple[pd.DataFrame, Any]:
    draw = np.random.default_rng(0)
    people = pd.DataFrame(
        {
            "age": draw.integers(18, 80, 120).astype(float),
            "income": draw.normal(3000, 500, 120).round(2),
            "city": draw.choice(["Bonn", "Ulm", "Köln, West"], 120),
        }
    )
    outcome = np.where(people["age"] + people["income"] / 100 > 75, "stays", "leaves")
    people.loc[::7, "income"] = np.nan
    people.loc[::11, "city"] = None
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = make_column_transformer((numbers, ["age", "income"]), (words, ["city"]))
    return people, make_pipeline(columns, LogisticRegression()).fit(people, outcome)
