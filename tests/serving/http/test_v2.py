"""V2 (Open Inference Protocol): the shapes that real clients send are taken, in their own error shape refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from fakes.models import adding, classifying, loaded, sleeping
from fakes.server import FakeServer
from shipway.spec.settings import Limits, Settings
from shipway.spec.signature import Column, Method, Signature

INFER = "/v2/models/sum/infer"


def tensor(name: str, shape: list[int], data: Any, datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


def infer(*inputs: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"inputs": list(inputs), **others}


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor("input", [2, 2], [1, 2, 3, 4])],
        [tensor("input", [2, 2], [[1, 2], [3, 4]])],
        [tensor("anything", [2, 2], [[1, 2], [3, 4]])],
        [tensor("input", [2, 2], [1, 2, 3, 4], "INT64")],
        [tensor("input", [2, 2], [1, 2, 3, 4], "FP32")],
        [tensor("a", [2, 1], [1, 3]), tensor("b", [2, 1], [[2], [4]])],
        [tensor("b", [2], [2, 4]), tensor("a", [2], [1, 3])],
    ],
)
def test_a_table_is_one_matrix_or_a_tensor_a_column(inputs: list[dict[str, Any]]) -> None:
    answer = FakeServer(adding()).post(INFER, infer(*inputs, id="mine"))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "model_name": "sum",
        "model_version": "3",
        "id": "mine",
        "outputs": [{"name": "predict", "datatype": "FP64", "shape": [2], "data": [3.0, 7.0]}],
    }


CITIES = infer(tensor("a", [2, 1], [1, None]), tensor("city", [2, 1], ["Ulm", "Bonn"], "BYTES"))


def test_outputs_are_the_methods_and_all_of_them_where_none_is_named() -> None:
    outputs = FakeServer(classifying()).post("/v2/models/city/infer", CITIES).json()["outputs"]
    assert outputs == [
        {"name": "predict", "datatype": "BYTES", "shape": [2], "data": ["yes", "no"]},
        {"name": "predict_proba", "datatype": "FP64", "shape": [2, 2], "data": [0.0, 1.0, 1.0, 0.0]},
    ]


def test_only_the_outputs_asked_for_are_given() -> None:
    body = CITIES | {"outputs": [{"name": "predict_proba"}]}
    outputs = FakeServer(classifying()).post("/v2/models/city/versions/3/infer", body).json()["outputs"]
    assert [output["name"] for output in outputs] == ["predict_proba"]


def test_tensor_models_keep_their_names_and_shapes() -> None:
    method = Method("predict", (Column("y", "float32", (2,), kind="tensor"), Column("z", "int64", kind="tensor")))
    signature = Signature((Column("x", "float32", (2,), kind="tensor"),), (method,))
    model = loaded("net", signature, lambda _, c: {"y": c["x"] * 2, "z": np.arange(len(c["x"]))})
    server = FakeServer(model)
    assert server.request("GET", "/v2/models/net").json()["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    ]
    body = infer(tensor("x", [2, 2], [1, 2, 3, 4], "FP32"), outputs=[{"name": "z"}, {"name": "y"}])
    assert server.post("/v2/models/net/infer", body).json()["outputs"] == [
        {"name": "z", "datatype": "INT64", "shape": [2], "data": [0, 1]},
        {"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [2.0, 4.0, 6.0, 8.0]},
    ]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "empty"),
        (b"{", 400, "JSON"),
        (b"[]", 400, "inference request"),
        (b"{}", 400, "inputs"),
        (infer(), 422, "first dimension"),
        (infer(tensor("input", [2, 3], [1] * 6)), 422, "expected [2, 2]"),
        (infer(tensor("input", [2, 2], [1, 2, 3])), 422, "3 values"),
        (infer(tensor("input", [0, 2], [])), 422, "first dimension"),
        (infer(tensor("input", [-1, 2], [1, 2])), 422, "first dimension"),
        (infer(tensor("input", [1, -2], [1, 2])), 422, "shape"),
        (infer(tensor("input", [1, 2], None)), 400, "no data"),
        (infer(tensor("input", [1, 2], [1, None])), 422, "null"),
        (infer(tensor("input", [1, 2], ["1", "2"])), 422, "text"),
        (infer(tensor("input", [1, 2], ["1", "2"], "BYTES")), 422, "expected FP64"),
        (infer(tensor("input", [1, 2], [1, 2], "STRING")), 400, "unknown datatype"),
        (infer(tensor("a", [1], [1])), 422, "missing input 'b'"),
        (infer(tensor("a", [1], [1]), tensor("a", [1], [1])), 400, "same name"),
        (infer(tensor("a", [1], [1]), tensor("bb", [1], [1])), 422, "unknown input 'bb'"),
        (infer(tensor("a", [1], [1]), tensor("b", [2], [1, 2])), 422, "first dimension"),
        (infer(tensor("input", [1, 2], [1, 2]), outputs=[{"name": "predcit"}]), 400, "did you mean 'predict'"),
        (infer(tensor("input", [11, 2], [1] * 22)), 413, "11 rows"),
    ],
)
def test_bad_requests_are_refused_in_v2s_own_shape(body: Any, status: int, words: str) -> None:
    server = FakeServer(adding(), settings=Settings(limits=Limits(rows=10)))
    answer = server.request("POST", INFER, content=body) if isinstance(body, bytes) else server.post(INFER, body)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]


def test_bare_nan_of_pythons_json_is_read_as_missing() -> None:
    body = json.dumps(infer(tensor("a", [1], [math.nan]), tensor("city", [1], ["Ulm"], "BYTES"))).encode()
    assert FakeServer(classifying()).request("POST", "/v2/models/city/infer", content=body).status_code == 200


def test_metadata_and_health_are_as_the_specification_has_them() -> None:
    server = FakeServer(adding())
    assert server.request("GET", "/v2").json()["name"] == "shipway"
    assert server.request("GET", "/v2/health/live").json() == {"live": True}
    assert server.request("GET", "/v2/health/ready").json() == {"ready": True}
    assert server.request("GET", "/v2/models").json() == {"models": ["sum"]}
    assert server.request("GET", "/v2/models/sum/ready").json() == {"name": "sum", "ready": True}
    metadata = server.request("GET", "/v2/models/sum/versions/3").json()
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 2]}]
    assert metadata["outputs"] == [{"name": "predict", "datatype": "FP64", "shape": [-1]}]
    assert metadata["versions"] == ["3"]


@pytest.mark.parametrize("path", ["/v2/models/smu", "/v2/models/sum/versions/9", "/v2/models/smu/ready", "/v2/nothing"])
def test_unknown_models_and_paths_are_404(path: str) -> None:
    assert FakeServer(adding()).request("GET", path).status_code == 404


def test_an_unknown_path_below_v2_is_refused_in_its_shape() -> None:
    answer = FakeServer(adding()).request("GET", "/v2/models/sum/config")
    assert answer.status_code == 404
    assert isinstance(answer.json()["error"], str)


def test_a_wrong_method_is_405_in_v2s_shape() -> None:
    answer = FakeServer(adding()).request("GET", INFER)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert isinstance(answer.json()["error"], str)


def test_the_callers_deadline_is_kept() -> None:
    body = infer(tensor("input", [1, 2], [1, 2]))
    assert (
        FakeServer(sleeping(0.4)).post("/v2/models/slow/infer", body, headers={"prefer": "wait=0.2"}).status_code == 503
    )


def test_lists_deeper_than_the_shape_are_refused_and_not_walked() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    answer = FakeServer(adding()).post(INFER, infer(tensor("input", [2, 2], [1, 2, 3, deep])))
    assert answer.status_code == 422
    assert "got a list" in answer.json()["error"]


def test_binary_tensors_are_refused_with_the_way_out() -> None:
    body = json.dumps(
        infer({"name": "input", "shape": [1, 2], "datatype": "FP64", "parameters": {"binary_data_size": 16}})
    )
    answer = FakeServer(adding()).request(
        "POST", INFER, content=body.encode() + bytes(16), headers={"inference-header-content-length": str(len(body))}
    )
    assert answer.status_code == 415
    assert "JSON" in answer.json()["error"]
