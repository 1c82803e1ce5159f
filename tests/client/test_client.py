"""The clients: rows of any form in, arrays out; what a server says and what is no server become errors of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

from fakes.models import adding, classifying, loaded, raising, sleeping
from fakes.process import ServerProcess
from fakes.server import FakeServer
from shipway.bundle.store import Store
from shipway.client.client import AsyncClient, Client, rows_to_json
from shipway.errors import (
    InvalidInput,
    MalformedBody,
    Overloaded,
    RemoteError,
    RequestError,
    ShipwayError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownModel,
    UnsupportedMediaType,
)
from shipway.serving.http.keys import ApiKeys, hash_key
from shipway.spec.settings import Limits, Settings
from shipway.spec.signature import Column, Method, Signature

FRAME = load_diabetes(as_frame=True).data.head(5)
FORMS: dict[str, Any] = {
    "frame": FRAME,
    "columns of lists": FRAME.to_dict("list"),
    "columns of arrays": {name: FRAME[name].to_numpy() for name in FRAME.columns},
    "records": FRAME.to_dict("records"),
    "array": FRAME.to_numpy(),
    "lists": FRAME.to_numpy().tolist(),
    "tuples": tuple(map(tuple, FRAME.to_numpy())),
}
WITH_KEY = ApiKeys.parse(hash_key("secret"))


@pytest.fixture(scope="module")
def address(diabetes_store: Store) -> Iterator[str]:
    environ = {"SHIPWAY_STORE": str(diabetes_store.layout.path)}
    with ServerProcess("serve", "diabetes", environ=environ, module="shipway") as server:
        yield server.address()


@pytest.fixture(scope="module")
def expected() -> Any:
    data = load_diabetes(as_frame=True)
    return LinearRegression().fit(data.data, data.target).predict(FRAME)


def talk(server: FakeServer, conversation: Callable[[AsyncClient], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Runs a conversation of the asynchronous client with a server in this process."""

    async def run() -> Any:
        transport = httpx.ASGITransport(server.application.asgi)
        async with AsyncClient("http://server", transport=transport, **options) as client:
            return await conversation(client)

    try:
        return asyncio.run(run())
    finally:
        server.application.close()


def answering(status: int, body: Any, **headers: str) -> Client:
    """A client of something that gives every call the same answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler = httpx.MockTransport(lambda request: httpx.Response(status, content=content, headers=headers))
    return Client("http://server", transport=handler)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_rows_is_answered_by_an_array(address: str, expected: Any, form: str) -> None:
    with Client(address) as client:
        answer = client.predict(FORMS[form])
    assert isinstance(answer, np.ndarray)
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("record", [FRAME.iloc[0].to_dict(), FRAME.iloc[0], FRAME.to_numpy()[0]], ids=type)
def test_one_record_is_answered_by_a_number(address: str, expected: Any, record: Any) -> None:
    with Client(address) as client:
        answer = client.predict(record)
    assert type(answer) is float
    assert answer == pytest.approx(expected[0], abs=1e-12)


def test_both_clients_give_the_same(address: str) -> None:
    async def ask() -> tuple[Any, ...]:
        async with AsyncClient(address) as client:
            answers = await asyncio.gather(*(client.predict(FRAME) for _ in range(5)))
            return *answers, await client.models()

    *answers, models = asyncio.run(ask())
    with Client(address) as client:
        assert client.models() == models
        for answer in answers:
            np.testing.assert_array_equal(answer, client.predict(FRAME))


def test_the_signature_is_the_models(address: str) -> None:
    with Client(address) as client:
        assert client.signature().names == tuple(FRAME.columns)
        assert client.signature("diabetes") == client.signature()
        with pytest.raises(UnknownModel, match="diabetes"):
            client.signature("iris")


def test_classes_and_probabilities() -> None:
    rows = [{"a": 1, "city": "Ulm"}, {"a": None, "city": "Bonn"}]

    async def ask(client: AsyncClient) -> tuple[Any, Any]:
        return await client.predict(rows), await client.predict_proba(rows)

    labels, probabilities = talk(FakeServer(classifying()), ask)
    assert labels.tolist() == ["yes", "no"]
    assert probabilities.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_several_outputs_are_a_dict_of_arrays() -> None:
    method = Method("predict", (Column("sum", "float64"), Column("pair", "float64", (2,))))
    signature = Signature((Column("a", "float64"), Column("b", "float64")), (method,))

    def answer(_: str, columns: Any) -> Any:
        pair = np.column_stack([columns["a"], columns["b"]])
        return {"sum": pair.sum(axis=1), "pair": pair}

    outputs = talk(FakeServer(loaded("both", signature, answer)), lambda client: client.predict([[1, 2], [3, 4]]))
    assert {name: array.tolist() for name, array in outputs.items()} == {"sum": [3, 7], "pair": [[1, 2], [3, 4]]}


def test_one_of_several_models_is_asked_by_its_name() -> None:
    assert talk(FakeServer(adding(), classifying()), lambda client: client.predict([1, 2], model="sum")) == 3.0
    with pytest.raises(UnknownModel, match="2 models") as caught:
        talk(FakeServer(adding(), classifying()), lambda client: client.predict_proba([1, 2]))
    assert "model=" in caught.value.fix


@pytest.mark.parametrize(
    ("rows", "sent"),
    [
        (pd.DataFrame({"a": [1.5, np.nan]}), {"a": [1.5, None]}),
        (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), {"a": [1, None]}),
        (pd.DataFrame({"a": pd.array([True, None], dtype="boolean")}), {"a": [True, None]}),
        (pd.DataFrame({"a": ["x", None]}), {"a": ["x", None]}),
        (pd.DataFrame({"a": pd.Categorical(["x", None])}), {"a": ["x", None]}),
        ({"a": np.float32(1.5), "b": np.int8(2)}, {"a": 1.5, "b": 2}),
        ([{"a": np.array([1, 2])}], [{"a": [1, 2]}]),
    ],
)
def test_values_of_numpy_and_pandas_become_plain_ones(rows: Any, sent: Any) -> None:
    assert rows_to_json(rows) == sent


@pytest.mark.parametrize(
    "rows",
    [{"a": float("inf")}, [[1.0, -np.inf]], {"a": object()}, pd.DataFrame({"a": pd.to_datetime(["2026-11-24"])})],
)
def test_what_json_cannot_say_is_refused_before_anything_is_sent(rows: Any) -> None:
    with answering(500, b"") as client, pytest.raises(InvalidInput) as caught:
        client.predict(rows)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("kind", "server", "ask"),
    [
        (InvalidInput, lambda: FakeServer(adding()), lambda client: client.predict({"a": 1, "bb": 2})),
        (InvalidInput, lambda: FakeServer(adding()), lambda client: client.predict([])),
        (UnknownModel, lambda: FakeServer(adding()), lambda client: client.predict([1, 2], model="product")),
        (UnknownModel, lambda: FakeServer(adding()), lambda client: client.predict([1, 2], model="../a b/?")),
        (UnknownModel, lambda: FakeServer(adding()), lambda client: client.call("explain", [1, 2])),
        (Unauthorized, lambda: FakeServer(adding(), keys=WITH_KEY), lambda client: client.predict([1, 2])),
        (
            TooLarge,
            lambda: FakeServer(adding(), settings=Settings(limits=Limits(rows=1))),
            lambda client: client.predict([[1, 2], [3, 4]]),
        ),
        (
            Unavailable,
            lambda: FakeServer(sleeping(0.5), settings=Settings(limits=Limits(seconds=0.05))),
            lambda client: client.predict([1, 2]),
        ),
        (Unavailable, FakeServer, lambda client: client.predict([1, 2])),
        (RemoteError, lambda: FakeServer(raising(RuntimeError("inside"))), lambda client: client.predict([1, 2])),
    ],
)
def test_what_the_server_refuses_is_raised_as_the_error_it_is(
    kind: type[ShipwayError], server: Callable[[], FakeServer], ask: Any
) -> None:
    with pytest.raises(kind) as caught:
        talk(server(), ask)
    assert "(request " in caught.value.message
    assert "inside" not in caught.value.message


def test_an_error_of_input_names_column_and_row() -> None:
    with pytest.raises(InvalidInput) as caught:
        talk(FakeServer(adding()), lambda client: client.predict([{"a": 1, "b": 2}, {"a": 1, "b": "x"}]))
    assert (caught.value.column, caught.value.row) == ("b", 1)


def test_the_key_is_sent_and_never_shown() -> None:
    assert talk(FakeServer(adding(), keys=WITH_KEY), lambda client: client.predict([1, 2]), api_key="secret") == 3.0
    with Client("http://server", api_key="secret") as client:
        assert "secret" not in repr(client)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, MalformedBody),
        (401, Unauthorized),
        (404, UnknownModel),
        (405, RequestError),
        (413, TooLarge),
        (415, UnsupportedMediaType),
        (422, InvalidInput),
        (429, Overloaded),
        (500, RemoteError),
        (503, Unavailable),
    ],
)
def test_every_status_is_the_error_that_it_stands_for(status: int, kind: type[ShipwayError]) -> None:
    body = {"error": {"message": "no", "fix": "do", "request_id": "r1"}}
    with answering(status, body, **{"retry-after": "7"}) as client, pytest.raises(kind) as caught:
        client.predict([1])
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.fix) == ("no (request r1)", "do")
    if isinstance(caught.value, Unavailable):
        assert caught.value.retry_after == 7


@pytest.mark.parametrize("status", [200, 302, 404, 502])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b'{"error": "no"}', b'{"models": 3}', b"\xff"])
@pytest.mark.parametrize("ask", [lambda client: client.predict([1]), lambda client: client.models()])
def test_what_is_no_server_of_ours_is_said_to_be_none(status: int, body: bytes, ask: Callable[[Client], Any]) -> None:
    with answering(status, body) as client, pytest.raises(RemoteError, match="none of a Shipway server") as caught:
        ask(client)
    assert caught.value.fix


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://", "http://[", "http://nowhere.invalid", "server", ""])
def test_no_server_at_all_is_an_error_with_a_fix(url: str) -> None:
    with pytest.raises(RemoteError) as caught, Client(url, timeout=5) as client:
        client.predict([1])
    assert "shipway serve" in caught.value.fix

    async def ask() -> None:
        async with AsyncClient(url, timeout=5) as client:
            await client.predict([1])

    with pytest.raises(RemoteError):
        asyncio.run(ask())


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    def late(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out", request=request)

    with (
        Client("http://server", transport=httpx.MockTransport(late)) as client,
        pytest.raises(RemoteError, match="timed out"),
    ):
        client.predict([1])


def test_null_among_numbers_is_nan_and_among_texts_stays() -> None:
    numbers = Client(
        "http://server", transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"prediction": [1, None]}))
    )
    assert np.array_equal(numbers.predict([[1], [2]]), [1.0, np.nan], equal_nan=True)
    texts = Client(
        "http://server", transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"prediction": ["1", None]}))
    )
    assert texts.predict([[1], [2]]).tolist() == ["1", None]


def test_an_answer_that_is_not_what_its_coding_says_is_none_of_ours() -> None:
    broken = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))
    )
    with pytest.raises(RemoteError):
        Client("http://server", transport=broken).models()


class Flaky(httpx.BaseTransport):
    """Loses the first calls, as a server that crashes does, then answers."""

    def __init__(self, errors: list[Exception]) -> None:
        self.errors = errors
        self.calls = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return httpx.Response(200, json={"prediction": 1.0})


@pytest.mark.parametrize(
    "lost",
    [
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("closed"),
        httpx.ConnectTimeout("black hole"),
        httpx.ReadTimeout("hangs"),
    ],
)
def test_a_call_whose_server_went_away_or_hangs_is_sent_again(lost: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    flaky = Flaky([lost, lost])
    with Client("http://server.test", transport=flaky) as client:
        assert client.predict({"x": 1}) == 1.0
    assert flaky.calls == 3


@pytest.mark.parametrize("retries", [0, -1])
def test_no_call_is_sent_again_where_that_is_not_wanted(retries: int) -> None:
    flaky = Flaky([httpx.ReadError("reset")])
    with Client("http://server.test", transport=flaky, retries=retries) as client, pytest.raises(RemoteError):
        client.predict({"x": 1})
    assert flaky.calls == 1


def test_a_call_that_waits_for_a_connection_of_this_client_is_not_sent_again() -> None:
    flaky = Flaky([httpx.PoolTimeout("all in use")])
    with Client("http://server.test", transport=flaky) as client, pytest.raises(RemoteError):
        client.predict({"x": 1})
    assert flaky.calls == 1


def test_a_server_is_told_how_long_is_waited_so_that_it_can_refuse_in_time() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        assert request.headers["prefer"] == "wait=2.5"
        assert request.extensions["timeout"]["read"] > 2.5
        calls.append(request)
        return httpx.Response(503, json={"error": {"message": "out of time"}})

    calls: list[httpx.Request] = []
    client = Client("http://server.test", timeout=2.5, transport=httpx.MockTransport(refuse))
    with client, pytest.raises(Unavailable):
        client.predict({"x": 1})
    assert len(calls) == 1
