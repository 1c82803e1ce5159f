"""Where the server is put together: settings, state, metrics, log, engine and protocols to its handlers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shipway._version import __version__
from shipway.bundle.bundle import Bundle
from shipway.errors import UsageError
from shipway.monitor.metrics import Metrics
from shipway.serving.engine.engine import Engine, LoadedModel
from shipway.serving.http.access import AccessLog
from shipway.serving.http.app import App
from shipway.serving.http.asgi import AsgiFront
from shipway.serving.http.keys import ApiKeys, read_keys
from shipway.serving.http.operations import health_routes, information_routes, metrics_route
from shipway.serving.http.plain import plain_routes
from shipway.serving.http.v2 import v2_health_routes, v2_routes
from shipway.serving.loading import load_model
from shipway.serving.state import Phase, State
from shipway.spec.settings import Settings
from shipway.spec.words import did_you_mean

__all__ = ["Application", "read_keys"]


class Application:
    """One server's handlers, with their life: made, then opened with the models, then drained, then closed.

    Args:
        settings: limits and the rest.
        log: the access log.
        keys: who is let in; None for everyone.

    Attributes:
        websockets: whether there are any: no protocol of models has them.
        asgi: what callers reach.
        operations: `/metrics` and the health routes alone, without API keys: for the platform that runs the server.
    """

    websockets = False

    def __init__(self, settings: Settings, log: AccessLog, keys: ApiKeys | None) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._keys = keys
        self._engine: Engine | None = None
        self.state = State()
        health = [*health_routes(self.state), *v2_health_routes(self.state)]
        seconds = settings.limits.seconds
        self.app = App(self.state, self._metrics, log, keys=keys, seconds=seconds, health=health)
        self.asgi = AsgiFront(self.app)
        operations = App(self.state, self._metrics, log, keys=None, seconds=seconds, health=health)
        operations.open([metrics_route(self._metrics)])
        self.operations = AsgiFront(operations)

    @property
    def seconds(self) -> float:
        """The longest that a request may take."""
        return self._settings.limits.seconds

    @property
    def is_alive(self) -> bool:
        """Always: no call of a model has to be given up."""
        return True

    def open(self, bundles: Sequence[Bundle]) -> tuple[LoadedModel, ...]:
        """Loads the models and becomes ready. Takes as long as they take; the caller chooses the thread.

        Raises:
            UsageError: two models have one name, or the default is none of them.
            ShipwayError: a model does not load.
        """
        _check_names([bundle.id.name for bundle in bundles], self._settings)
        allow_pickle = self._settings.server.allow_pickle
        models = tuple(load_model(bundle, allow_pickle=allow_pickle) for bundle in bundles)
        self.start(models)
        return models

    def start(self, models: Sequence[LoadedModel]) -> None:
        """Becomes ready with models that are loaded already."""
        settings = self._settings
        engine = Engine(models, self._metrics, waiting=settings.limits.waiting, default=settings.server.default)
        self._engine = engine
        self.app.open(
            [
                *information_routes(engine.models, self._metrics, version=__version__, auth=self._keys is not None),
                *plain_routes(engine, settings),
                *v2_routes(engine, self.state, settings.limits, __version__),
            ]
        )
        self.state.phase = Phase.READY

    async def start_up(self) -> None:
        """Nothing is left to be done on the event loop."""

    async def shut_down(self) -> None:
        """Nothing has to be ended on the event loop."""

    def close(self) -> None:
        """Ends the threads of the models."""
        if self._engine:
            self._engine.close()


def _check_names(names: Sequence[str], settings: Settings) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"two of the models are called {twice!r}", fix="serve one version of each")
    for name, what in _named(settings):
        if name not in names:
            raise UsageError(
                f"{what} names {name!r}, which is not served",
                fix=did_you_mean(name, names) or f"served: {', '.join(names)}",
            )


def _named(settings: Settings) -> Iterable[tuple[str, str]]:
    if settings.server.default:
        yield settings.server.default, "the default model"
