"""The engine: each answer goes to its caller, whoever comes too late or goes away holds no place."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.models import DEAR, SUM, adding, loaded, raising, sleeping
from shipway.errors import DeadlineExceeded, InvalidInput, ModelError, Overloaded, UnknownModel
from shipway.monitor.metrics import Metrics
from shipway.serving.engine.engine import Engine, LoadedModel
from shipway.serving.engine.request import Request
from shipway.serving.engine.warmup import INLINE_SECONDS, Cost
from shipway.spec.signature import Columns

Result = TypeVar("Result")


def request(name: str, value: float, deadline: float, **others: object) -> Request:
    columns = {"a": np.array([value]), "b": np.array([1.0])}
    return Request(name, "predict", columns, 1, deadline, **others)  # type: ignore[arg-type]


def run(conversation: Callable[[Engine, float], Awaitable[Result]], *models: LoadedModel, waiting: int = 100) -> Result:
    """Runs a conversation with an engine, given the loop's time."""

    async def main() -> Result:
        engine = Engine(models, Metrics(), waiting=waiting)
        try:
            return await conversation(engine, asyncio.get_running_loop().time())
        finally:
            engine.close()

    return asyncio.run(main())


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.sampled_from([Cost(1e-5, 1e-8), Cost(0.001, 0.001)]))
def test_each_caller_gets_the_answer_to_its_own_rows(values: list[float], cost: Cost) -> None:
    async def conversation(engine: Engine, now: float) -> list[Columns]:
        return await asyncio.gather(*(engine.submit(request("sum", value, now + 30)) for value in values))

    answers = run(conversation, adding(cost=cost))
    assert [answer["predict"][0] for answer in answers] == [value + 1.0 for value in values]


def test_a_cheap_call_runs_on_the_loop_and_a_dear_one_on_a_thread() -> None:
    threads: list[str] = []

    def answer(_: str, columns: Columns) -> Columns:
        threads.append(threading.current_thread().name)
        return {"predict": columns["a"]}

    models = (loaded("cheap", SUM, answer), loaded("dear", SUM, answer, DEAR))

    async def conversation(engine: Engine, now: float) -> None:
        await engine.submit(request("cheap", 1, now + 30))
        await engine.submit(request("dear", 1, now + 30))

    run(conversation, *models)
    assert threads == [threading.main_thread().name, "shipway-dear"]


def test_many_rows_of_a_cheap_model_leave_the_loop() -> None:
    assert Cost(call=INLINE_SECONDS * 2, row=0).inline_rows == 0
    assert Cost(call=INLINE_SECONDS / 2, row=INLINE_SECONDS / 200).inline_rows == 101
    assert Cost(call=0, row=0).inline_rows > 1000


def test_a_call_that_cannot_be_in_time_is_refused_at_once() -> None:
    async def conversation(engine: Engine, now: float) -> float:
        calls = [asyncio.create_task(engine.submit(request("slow", 1, now + 30))) for _ in range(3)]
        await asyncio.sleep(0)
        begin = time.perf_counter()
        with pytest.raises(DeadlineExceeded) as caught:
            await engine.submit(request("slow", 1, now + 0.25))
        took = time.perf_counter() - begin
        assert caught.value.retry_after >= 1
        await asyncio.gather(*calls)
        return took

    assert run(conversation, sleeping(0.1)) < 0.05


def test_a_caller_who_goes_frees_its_place() -> None:
    called: list[float] = []

    def answer(_: str, columns: Columns) -> Columns:
        called.append(float(columns["a"][0]))
        time.sleep(0.2)
        return {"predict": columns["a"]}

    async def gone() -> None:
        await asyncio.sleep(0.05)

    async def conversation(engine: Engine, now: float) -> None:
        first = asyncio.create_task(engine.submit(request("slow", 1, now + 30)))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await engine.submit(request("slow", 2, now + 30, gone=gone))
        await asyncio.sleep(0.01)
        assert (await engine.submit(request("slow", 3, now + 30)))["predict"][0] == 3
        await first

    run(conversation, loaded("slow", SUM, answer, DEAR), waiting=1)
    assert called == [1, 3]


def test_more_than_may_wait_are_refused() -> None:
    async def conversation(engine: Engine, now: float) -> list[object]:
        calls = (engine.submit(request("slow", value, now + 30)) for value in range(5))
        return await asyncio.gather(*calls, return_exceptions=True)

    kinds = [type(answer) for answer in run(conversation, sleeping(0.05), waiting=2)]
    assert kinds == [dict, dict, dict, Overloaded, Overloaded]


def test_only_the_outputs_asked_for_are_given() -> None:
    async def conversation(engine: Engine, now: float) -> Columns:
        return await engine.submit(request("sum", 1, now + 30, outputs=("predict",)))

    assert list(run(conversation, adding())) == ["predict"]


@pytest.mark.parametrize(("cause", "kind"), [(ValueError("x"), InvalidInput), (KeyError("x"), ModelError)])
def test_whose_fault_a_failure_is_follows_from_what_the_model_raised(cause: Exception, kind: type[Exception]) -> None:
    async def conversation(engine: Engine, now: float) -> Columns:
        return await engine.submit(request("broken", 1, now + 30))

    with pytest.raises(kind):
        run(conversation, raising(cause))


def test_models_are_found_by_name_and_version_and_the_first_without() -> None:
    async def conversation(engine: Engine, now: float) -> None:
        assert engine.find().name == "first"
        assert engine.find("second", "3").name == "second"
        for name, version in (("third", None), ("first", "4"), ("", None)):
            with pytest.raises(UnknownModel):
                engine.find(name, version)

    run(conversation, adding("first"), adding("second"))
