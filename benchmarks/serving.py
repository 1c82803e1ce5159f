"""One linear row by `POST /`, on one pinned core, 32 keep-alive connections: Shipway beside the usual FastAPI app.

Both keep their access logs on, as both have them on by default. The rounds alternate, so that a machine whose speed
drifts does not favour one.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import joblib
from load import free_port, rate, server
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

import shipway

ROUNDS = 7

FASTAPI_APP = """
import joblib
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
model = joblib.load("model.joblib")

class Row(BaseModel):
    age: float
    sex: float
    bmi: float
    bp: float
    s1: float
    s2: float
    s3: float
    s4: float
    s5: float
    s6: float

@app.get("/readyz")
def ready():
    return {}

@app.post("/")
def predict(row: Row):
    values = [row.age, row.sex, row.bmi, row.bp, row.s1, row.s2, row.s3, row.s4, row.s5, row.s6]
    return {"prediction": model.predict([values])[0]}
"""


def main() -> None:
    data = load_diabetes(as_frame=True)
    model = LinearRegression().fit(data.data.to_numpy(), data.target)
    record = data.data.iloc[0].to_dict()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        joblib.dump(model, folder / "model.joblib")
        (folder / "fastapi_app.py").write_text(FASTAPI_APP)
        shipway.pack(model, name="diabetes", sample=data.data, store=folder / "store")
        theirs, ours = free_port(), free_port()
        uvicorn = [sys.executable, "-m", "uvicorn", "--app-dir", name, "--port", str(theirs), "fastapi_app:app"]
        command = [sys.executable, "-m", "shipway", "serve", "diabetes", "--port", str(ours)]
        rates: dict[str, list[float]] = {"fastapi": [], "shipway": []}
        for _ in range(ROUNDS):
            with server(["env", "-C", name, *uvicorn], theirs):
                rates["fastapi"].append(rate(theirs, record, seconds=3))
            with server(command, ours, environ={"SHIPWAY_STORE": str(folder / "store")}):
                rates["shipway"].append(rate(ours, record, seconds=3))
    for who, values in rates.items():
        print(f"{who:8} {statistics.median(values):9,.0f} right answers a second")
    pairs = zip(rates["shipway"], rates["fastapi"], strict=True)
    ratios = [ours_ / theirs_ for ours_, theirs_ in pairs]
    rounds = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"ratio    {statistics.median(ratios):9.2f}  (goal: at least 4; rounds: {rounds})")


if __name__ == "__main__":
    main()
