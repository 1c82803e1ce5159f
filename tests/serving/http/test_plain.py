"""The plain form: what goes in decides the form of what comes out, and no input gives a 500."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.models import DIGEST, adding, classifying, loaded, losing_rows, raising
from fakes.server import FakeServer
from shipway.spec.settings import Limits, ModelSettings, Server, Settings
from shipway.spec.signature import Column, Method, Signature


@pytest.mark.parametrize(
    ("rows", "prediction"),
    [
        ({"a": 1, "b": 2}, 3.0),
        ([1, 2], 3.0),
        ([[1, 2]], [3.0]),
        ([{"a": 1, "b": 2}, {"b": 5, "a": 4}], [3.0, 9.0]),
        ({"a": [1, 4], "b": [2, 5]}, [3.0, 9.0]),
    ],
)
def test_one_record_gets_one_answer_and_rows_get_a_list(rows: Any, prediction: Any) -> None:
    answer = FakeServer(adding()).post("/", rows)
    assert answer.status_code == 200
    assert answer.json() == {"prediction": prediction}
    assert answer.headers["shipway-bundle"] == f"sum:3@{DIGEST}"


def test_probabilities_come_with_their_classes() -> None:
    answer = FakeServer(classifying()).post("/models/city/predict_proba", {"a": None, "city": "Ulm"}).json()
    assert answer == {"prediction": [0.0, 1.0], "classes": ["no", "yes"]}


def test_several_outputs_are_an_object_of_columns() -> None:
    method = Method("predict", (Column("low", "float64"), Column("high", "float64")))
    signature = Signature((Column("a", "float64"),), (method,))
    server = FakeServer(loaded("range", signature, lambda _, c: {"low": c["a"] - 1, "high": c["a"] + 1}))
    assert server.post("/", [1, 2]).json() == {"prediction": {"low": [0, 1], "high": [2, 3]}}
    assert server.post("/", {"a": 1}).json() == {"prediction": {"low": 0, "high": 2}}


def test_with_several_models_the_answer_says_which_it_took() -> None:
    chosen = Settings(server=Server(default="second"))
    server = FakeServer(adding("first"), adding("second"), settings=chosen)
    assert server.post("/", [1, 2]).json()["model"] == "second:3"
    assert FakeServer(adding("first"), adding("second")).post("/", [1, 2]).json()["model"] == "first:3"
    assert "model" not in server.post("/models/first", [1, 2]).json()


@pytest.mark.parametrize(
    "path", ["/models/sum", "/models/sum/predict", "/models/sum/versions/3", "/models/sum/versions/3/predict"]
)
def test_every_path_of_a_model_answers_the_same(path: str) -> None:
    assert FakeServer(adding()).post(path, [1, 2]).json() == {"prediction": 3.0}


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("POST", "/models/smu", 404, "did you mean 'sum'"),
        ("POST", "/models/sum/versions/4", 404, "served: 3"),
        ("POST", "/models/sum/predcit", 404, "did you mean 'predict'"),
        ("POST", "/nothing/here", 404, "openapi"),
        ("GET", "/models/sum/predict", 405, "use POST"),
        ("DELETE", "/", 405, "use GET or HEAD or POST"),
        ("PUT", "/livez", 405, "GET"),
    ],
)
def test_what_is_not_served_says_what_is(method: str, path: str, status: int, words: str) -> None:
    answer = FakeServer(adding()).request(method, path, content=b"[1,2]")
    assert answer.status_code == status
    assert words in answer.text
    if status == 405:
        assert answer.headers["allow"].split(", ")[0] in words


BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "empty"),
    (b"{", 400, "no JSON"),
    (b"\xff\xfe", 400, ""),
    (b"nonsense", 400, "no JSON"),
    (b"NaN", 422, "expected an object or a list"),
    (b"[" * 100_000, 413, "nested too deep"),
    (b'{"a":' * 100_000, 413, "nested too deep"),
    (b"[]", 422, "empty"),
    (b"{}", 422, "missing column 'a'"),
    (b"3", 422, "got the number 3"),
    (b'{"a":1}', 422, "missing column 'b'"),
    (b'{"a":1,"b":2,"c":3}', 422, "unknown column 'c'"),
    (b'{"a":1,"b":"2"}', 422, "the text '2'"),
    (b'{"a":1,"b":null}', 422, "got null"),
    (b'{"a":1,"b":NaN}', 422, "column 'b'"),
    (b'{"a":1,"b":1e999}', 422, "column 'b'"),
    (b'{"a":1,"b":-Infinity}', 422, "column 'b'"),
    (b'{"a":1,"b":' + b"9" * 5000 + b"}", 422, "column 'b'"),
    (b"[[1,2],[3]]", 422, "row 1 has 1 values"),
    (b'[{"a":1,"b":2},{"a":1}]', 422, "row 1: missing column 'b'"),
    (b'{"a":[1,2],"b":[1]}', 422, "1 rows"),
]


@pytest.mark.parametrize(("body", "status", "words"), BAD_BODIES, ids=[str(case[0][:20]) for case in BAD_BODIES])
def test_bad_bodies_are_the_callers_fault_and_say_what_is_wrong(body: bytes, status: int, words: str) -> None:
    answer = FakeServer(adding()).request("POST", "/", content=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert words in error["message"] + error.get("fix", "")
    assert error["request_id"] == answer.headers["x-request-id"]


def test_the_column_and_row_to_blame_are_named() -> None:
    error = FakeServer(adding()).post("/", [{"a": 1, "b": 2}, {"a": 1, "b": "x"}]).json()["error"]
    assert (error["column"], error["row"]) == ("b", 1)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/vnd.api+json", 200),
        ("application/x-www-form-urlencoded", 200),
        ("text/html", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/x-python-pickle", 415),
    ],
)
def test_only_json_is_read_and_what_curl_sends_by_itself(content_type: str, status: int) -> None:
    answer = FakeServer(adding()).request("POST", "/", content=b"[1,2]", headers={"content-type": content_type})
    assert answer.status_code == status


LIMITED = Settings(limits=Limits(body_bytes=1000, rows=10))


def test_bodies_and_rows_over_the_limit_are_refused() -> None:
    server = FakeServer(adding(), settings=LIMITED)
    assert server.request("POST", "/", content=b" " * 1001).status_code == 413
    assert server.post("/", [[1, 2]] * 11).status_code == 413
    assert server.post("/", [[1, 2]] * 10).status_code == 200


async def _endless() -> Any:
    for _ in range(100):
        yield b" " * 100


def test_a_body_without_a_length_is_cut_off_at_the_limit() -> None:
    assert FakeServer(adding(), settings=LIMITED).request("POST", "/", content=_endless()).status_code == 413


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_read_within_the_same_limit(coding: str, compress: Any) -> None:
    headers = {"content-encoding": coding}
    server = FakeServer(adding(), settings=LIMITED)
    assert server.request("POST", "/", content=compress(b"[1,2]"), headers=headers).json() == {"prediction": 3.0}
    bomb = compress(b" " * 10_000_000)[:990]
    assert server.request("POST", "/", content=bomb, headers=headers).status_code == 413
    assert server.request("POST", "/", content=compress(b"[1,2]")[:-4], headers=headers).status_code == 400
    assert server.request("POST", "/", content=b"[1,2]", headers=headers).status_code == 400


def test_an_unknown_coding_is_refused() -> None:
    assert (
        FakeServer(adding()).request("POST", "/", content=b"x", headers={"content-encoding": "br"}).status_code == 415
    )


def test_answers_are_compressed_where_that_is_asked_and_pays() -> None:
    server = FakeServer(adding())
    long = server.post("/", [[1, 2]] * 5000, headers={"accept-encoding": "gzip"})
    assert long.headers["content-encoding"] == "gzip"
    assert len(long.json()["prediction"]) == 5000
    assert "content-encoding" not in server.post("/", [[1, 2]], headers={"accept-encoding": "gzip"}).headers
    for refusing in ("", "gzip;q=0", "br, gzip; q=0.0", "identity"):
        plain = server.post("/", [[1, 2]] * 5000, headers={"accept-encoding": refusing})
        assert "content-encoding" not in plain.headers, refusing
    assert "content-encoding" in server.post("/", [[1, 2]] * 5000, headers={"accept-encoding": "GZIP;q=0.5"}).headers


def test_extra_columns_are_ignored_for_a_model_that_is_set_so() -> None:
    chosen = Settings(models={"sum": ModelSettings(extra_columns="ignore")})
    assert FakeServer(adding(), settings=chosen).post("/", {"a": 1, "b": 2, "c": 3}).json() == {"prediction": 3.0}


def test_a_model_that_refuses_values_is_no_failure_of_the_server() -> None:
    assert FakeServer(raising(ValueError("unknown category 'x'"))).post("/", [1, 2]).status_code == 422


def test_a_model_that_fails_gives_an_id_and_no_internals() -> None:
    answer = FakeServer(raising(KeyError("secret"))).post("/", [1, 2])
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["request_id"]


def test_answers_with_other_rows_than_asked_are_never_given() -> None:
    assert FakeServer(losing_rows()).post("/", [[1, 2], [3, 4]]).status_code == 500


def test_what_json_cannot_say_is_null() -> None:
    infinite = loaded("sum", adding().served.signature, lambda _, c: {"predict": np.array([np.nan, np.inf])})
    assert FakeServer(infinite).post("/", [[1, 2], [1, 2]]).json() == {"prediction": [None, None]}


def test_models_are_listed_and_described() -> None:
    server = FakeServer(adding(), classifying())
    assert [model["name"] for model in server.request("GET", "/models").json()["models"]] == ["sum", "city"]
    described = server.request("GET", "/models/city").json()
    assert [column["name"] for column in described["signature"]["inputs"]] == ["a", "city"]


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.floats() | st.text(max_size=4),
        lambda i: st.lists(i, max_size=3) | st.dictionaries(st.sampled_from("abc"), i),
        max_leaves=8,
    ).map(lambda v: json.dumps(v).encode())
)
def test_no_body_gives_a_500(body: bytes) -> None:
    assert FUZZED.request("POST", "/", content=body).status_code in (200, 400, 413, 422)


FUZZED = FakeServer(adding())


def test_a_bad_request_does_not_disturb_its_neighbours() -> None:
    import asyncio

    async def conversation(client: httpx.AsyncClient) -> list[httpx.Response]:
        calls = [client.post("/", json=[number, 1] if number % 2 else ["x"]) for number in range(40)]
        return await asyncio.gather(*calls)

    for number, answer in enumerate(FakeServer(adding()).ask(conversation)):
        if number % 2:
            assert answer.json() == {"prediction": number + 1.0}
        else:
            assert answer.status_code == 422


def test_what_follows_a_compressed_body_is_not_passed_over() -> None:
    body = gzip.compress(b"[1,2]") + gzip.compress(b"[3,4]")
    answer = FakeServer(adding()).request("POST", "/", content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code == 400
    assert "follows" in answer.json()["error"]["message"]


def test_the_loop_turns_while_a_large_body_is_read() -> None:
    import asyncio

    # The last row is wrong, so that all are read and no model is called.
    content = json.dumps([[1, 2]] * 300_000 + [[1]]).encode()
    allowing = Settings(limits=Limits(rows=1_000_000))

    async def conversation(client: httpx.AsyncClient) -> int:
        call = asyncio.create_task(client.post("/", content=content))
        turns = 0
        while not call.done():
            await asyncio.sleep(0)
            turns += 1
        assert call.result().status_code == 422
        return turns

    assert FakeServer(adding(), settings=allowing).ask(conversation) > 3
