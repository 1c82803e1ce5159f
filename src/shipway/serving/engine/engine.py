"""The engine: it admits a request or refuses it at once, and runs it on the path that its model's cost asks for.

Every protocol calls `submit`; a batcher or worker processes can take its place behind the same method.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from shipway.errors import DeadlineExceeded, InvalidInput, ModelError, Overloaded, ShipwayError, UnknownModel
from shipway.models.adapter import Predictor
from shipway.monitor.metrics import Metrics
from shipway.serving.engine.request import Request
from shipway.serving.engine.thread import ModelThread
from shipway.serving.engine.warmup import Cost
from shipway.spec.reference import BundleId
from shipway.spec.served import ServedModel
from shipway.spec.signature import Columns
from shipway.spec.words import did_you_mean

__all__ = ["Engine", "LoadedModel"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is warmed up and ready to answer.

    Attributes:
        served: what is told about it.
        predictor: what answers.
        cost: of a call.
        golden_rows: how many of them it gave the recorded answers to, which is all that it has.
    """

    served: ServedModel
    predictor: Predictor
    cost: Cost
    golden_rows: int = 0

    @property
    def id(self) -> BundleId:
        """Which bundle it is of."""
        return self.served.id


class Engine:
    """The models of one process.

    Args:
        models: in the order in which they were named.
        metrics: where calls are counted.
        waiting: most requests that may wait for a model at once.
        default: the model that callers get who name none; empty: the first.
    """

    def __init__(self, models: Iterable[LoadedModel], metrics: Metrics, *, waiting: int, default: str = "") -> None:
        self._models: Mapping[str, LoadedModel] = {model.id.name: model for model in models}
        self._metrics = metrics
        self._paths: Mapping[str, _ThreadPath] = {
            name: _ThreadPath(model, metrics, waiting) for name, model in self._models.items()
        }
        self._default = default or next(iter(self._models), "")
        for model in self._models.values():
            metrics.loaded(model.id, model.golden_rows)

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """The models served, in the order in which they were named."""
        return tuple(model.served for model in self._models.values())

    def find(self, name: str | None = None, version: str | None = None) -> ServedModel:
        """Gives the model called `name`, or the default one.

        Raises:
            UnknownModel: no such model, or not in that version.
        """
        model = self._models.get(name if name is not None else self._default)
        if model is None:
            near = did_you_mean(name or "", self._models)
            raise UnknownModel(
                f"no model {name!r} is served", fix=near or f"served: {', '.join(self._models) or 'none'}"
            )
        if version is not None and version != str(model.id.version):
            raise UnknownModel(
                f"version {version!r} of {model.id.name!r} is not served", fix=f"served: {model.id.version}"
            )
        return model.served

    async def submit(self, request: Request) -> Columns:
        """Answers a request.

        Returns:
            The method's outputs, rows in the order of the request's.

        Raises:
            Overloaded: too many wait already.
            DeadlineExceeded: the answer would come too late, or did.
            InvalidInput: the model refused the values.
            ModelError: the model failed.
            ConnectionError: the caller has gone.
        """
        model = self._models[request.model]
        try:
            if request.rows <= model.cost.inline_rows:
                columns = _timed_call(model, request, self._metrics)
            else:
                columns = await self._paths[request.model].call(request)
        except ModelError as error:
            raise _whose_fault(error) from error
        if request.outputs is None:
            return columns
        return {name: columns[name] for name in request.outputs}

    def close(self) -> None:
        """Ends the threads; calls that run are not waited for."""
        for path in self._paths.values():
            path.close()


class _ThreadPath:
    """Calls of a dear model: one at a time on a thread, the others wait, up to a limit."""

    def __init__(self, model: LoadedModel, metrics: Metrics, waiting: int) -> None:
        self._model = model
        self._metrics = metrics
        self._limit = waiting
        self._pending = 0
        self._seconds = model.cost.call
        # One thread a model: the runtimes use the other cores themselves.
        self._thread = ModelThread(f"shipway-{model.id.name}")

    async def call(self, request: Request) -> Columns:
        loop = asyncio.get_running_loop()
        self._admit(request, loop.time())
        self._change_pending(+1)
        future = self._thread.submit(functools.partial(self._run, request, time.perf_counter()))

        def free_place(_: Future[Columns]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody counts any more
                loop.call_soon_threadsafe(self._change_pending, -1)

        # The place is freed when the thread is done with the call, not when its caller has gone.
        future.add_done_callback(free_place)
        answer = asyncio.wrap_future(future)
        hang_up = asyncio.create_task(request.gone()) if request.gone else None
        try:
            waiting: set[asyncio.Future[Any]] = {answer, hang_up} if hang_up else {answer}
            await asyncio.wait(waiting, timeout=request.deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if hang_up and hang_up.done():
                self._metrics.rejected("caller_gone")
                raise ConnectionError("the caller has gone")
            self._metrics.rejected("deadline")
            raise DeadlineExceeded(
                f"{self._model.id.name} did not answer within the time limit", retry_after=self._retry_after()
            )
        finally:
            answer.cancel()
            if hang_up:
                hang_up.cancel()

    def _run(self, request: Request, queued: float) -> Columns:
        begin = time.perf_counter()
        self._metrics.queued(self._model.id, request.method, begin - queued)
        columns = _timed_call(self._model, request, self._metrics)
        self._seconds += 0.1 * (time.perf_counter() - begin - self._seconds)
        return columns

    def close(self) -> None:
        self._thread.close()

    def _admit(self, request: Request, now: float) -> None:
        if self._pending > self._limit:
            self._metrics.rejected("queue_full")
            raise Overloaded(
                f"{self._pending} requests wait for {self._model.id.name}", retry_after=self._retry_after()
            )
        if now + self._pending * self._seconds >= request.deadline:
            self._metrics.rejected("deadline")
            raise DeadlineExceeded(
                f"{self._pending} requests wait for {self._model.id.name}, too many to answer in time",
                retry_after=self._retry_after(),
            )

    def _retry_after(self) -> int:
        return max(1, round(self._pending * self._seconds))

    def _change_pending(self, change: int) -> None:
        self._pending += change
        self._metrics.queue_depth(self._model.id, max(0, self._pending - 1))


def _timed_call(model: LoadedModel, request: Request, metrics: Metrics) -> Columns:
    begin = time.perf_counter()
    columns = model.predictor.call(request.method, request.columns, request.parameters)
    metrics.predicted(model.id, request.method, time.perf_counter() - begin)
    for name, array in columns.items():
        if len(array) != request.rows:
            raise ModelError(f"{model.id.name} gave {len(array)} rows of {name!r} for {request.rows}")
    return columns


def _whose_fault(error: ModelError) -> ShipwayError:
    """A model that raises ValueError says that it cannot take these values (an unknown category, say)."""
    if isinstance(error.__cause__, ValueError):
        return InvalidInput("the model cannot take these values", fix="the server's log has the model's own words")
    return error
