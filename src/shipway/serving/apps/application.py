"""Where the server of an app is put together; it has the life of `serving.application.Application`."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import check_files, inside
from shipway.errors import MissingDependency, UsageError
from shipway.monitor.metrics import Metrics
from shipway.serving.apps.around import Around, ServedApp
from shipway.serving.apps.asgi import AsgiApp
from shipway.serving.apps.lifespan import Lifespan
from shipway.serving.apps.load import load_app
from shipway.serving.apps.operations import Operations
from shipway.serving.apps.sample import replay
from shipway.serving.apps.threads import Threads
from shipway.serving.apps.wsgi import WsgiBridge
from shipway.serving.http.access import AccessLog
from shipway.serving.http.keys import ApiKeys
from shipway.serving.state import Phase, State
from shipway.spec.app import APP_FOLDER, AppManifest
from shipway.spec.reference import BundleId
from shipway.spec.settings import Settings

__all__ = ["AppApplication", "OpenedApp"]

_logger = logging.getLogger("shipway.apps")


@dataclass(frozen=True, slots=True)
class OpenedApp:
    """What is told of an app that is served.

    Attributes:
        id: its bundle.
        manifest: what it is.
    """

    id: BundleId
    manifest: AppManifest


class AppApplication:
    """One app's server: made, then opened and started, then drained, then ended.

    Args:
        settings: limits, threads and the rest.
        log: the access log.
        keys: who is let in; None for everyone.
        environ: of this process; the app sees it, without what switches debug mode on.

    Attributes:
        websockets: whether connections may become WebSockets.
        asgi: what callers reach.
        operations: `/metrics` and the health routes alone, without API keys: for the platform that runs the server.
    """

    def __init__(
        self, settings: Settings, log: AccessLog, keys: ApiKeys | None, environ: MutableMapping[str, str]
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._metrics = Metrics()
        self._threads: Threads | None = None
        self._unpacked: tempfile.TemporaryDirectory[str] | None = None
        self._app: AsgiApp | None = None
        self._opened: OpenedApp | None = None
        self._lifespan: Lifespan | None = None
        self.state = State()
        self.websockets = find_spec("websockets") is not None
        self.operations = Operations(self.state, self._metrics, lambda: self.is_alive)
        self.asgi = Around(settings.limits, self.state, self._metrics, log, keys, self.operations)

    @property
    def seconds(self) -> float:
        """The longest that a request may take."""
        return self._settings.limits.seconds

    @property
    def is_alive(self) -> bool:
        """Whether it can still answer anything: not every thread is lost."""
        return self._threads is None or self._threads.lost < len(self._threads)

    def open(self, bundles: Sequence[Bundle]) -> tuple[OpenedApp, ...]:
        """Imports the app. Takes as long as it takes; the caller chooses the thread.

        Raises:
            UsageError: there is not exactly one app.
            CorruptBlob: a file is not what its digest says.
            ArtefactError: it cannot be imported.
            MissingDependency: it has WebSockets, and nothing here speaks them.
        """
        if len(bundles) != 1 or (manifest := bundles[0].app) is None:
            names = ", ".join(bundle.id.name for bundle in bundles)
            raise UsageError(
                f"a server serves models, or one app: {names}", fix="serve each app by a server of its own"
            )
        bundle = bundles[0]
        if manifest.websockets and not self.websockets:
            raise MissingDependency("the app has WebSockets, which need websockets", fix='pip install "shipway[apps]"')
        check_files(bundle)
        loaded = load_app(self._folder(bundle, manifest), manifest.target, self._environ, manifest.import_root)
        for said in loaded.said:
            _logger.warning("%s", said)
        for path in sorted(filter(self.operations.has, manifest.owns)):
            _logger.warning("the app answers %s itself; the server's own is on server.metrics_port", path)
        opened = OpenedApp(bundle.id, manifest)
        self.adopt(opened, loaded.app)
        return (opened,)

    def adopt(self, opened: OpenedApp, app: Callable[..., Any]) -> None:
        """Takes an app that is imported already."""
        self._opened = opened
        if opened.manifest.interface == "asgi":
            self._app = app
            return
        threads = Threads(self._settings.apps.threads)
        self._metrics.threads_lost(lambda: threads.lost)
        self._app, self._threads = WsgiBridge(app, threads, self.seconds), threads

    async def start_up(self) -> None:
        """Starts the app on the event loop and becomes ready.

        Raises:
            ArtefactError: its start fails.
            GoldenMismatch: it does not answer its sample request as it did when it was packed.
        """
        assert self._app is not None
        assert self._opened is not None
        opened, state = self._opened, dict[str, Any]()
        if opened.manifest.interface == "asgi":
            self._lifespan = Lifespan(self._app)
            await self._lifespan.start()
            state = self._lifespan.state
        sample = opened.manifest.sample
        if sample is not None:
            await replay(self._app, sample, dict(state), self.seconds)
        self._metrics.loaded(opened.id, int(sample is not None))
        self.asgi.open(ServedApp(opened.id, self._app, opened.manifest.owns, state))
        self.state.phase = Phase.READY

    async def shut_down(self) -> None:
        """Tells the app that the server ends, and waits for it."""
        if self._lifespan is not None:
            await self._lifespan.end(self.seconds)

    def close(self) -> None:
        """Ends the threads, and removes what was unpacked."""
        if self._threads is not None:
            self._threads.close(1.0)
        if self._unpacked is not None:
            os.chdir(Path(self._unpacked.name).anchor)
            self._unpacked.cleanup()

    def _folder(self, bundle: Bundle, manifest: AppManifest) -> Path:
        """Gives a folder with the app's files under their own names; a store's blobs have others."""
        lies = {name: _root(bundle.files[name], name) for name in (file.path for file in manifest.files)}
        roots = set(lies.values())
        root = roots.pop() if len(roots) == 1 else None
        if root is not None:
            folder, expected = root / APP_FOLDER, Path(manifest.workdir)
            # In an image the app's folder is where its author had it, by a link: paths in its code are written so.
            return expected if expected.is_dir() and expected.samefile(folder) else folder
        self._unpacked = tempfile.TemporaryDirectory(prefix="shipway-app-")
        for file in manifest.files:
            target = Path(self._unpacked.name) / inside(file.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.files[file.path], target)
        return Path(self._unpacked.name) / APP_FOLDER


def _root(place: Path, name: str) -> Path | None:
    """Gives the folder in which `place` is the file `name`; None where it is called otherwise."""
    parts = inside(name).parts
    return place.parents[len(parts) - 1] if place.parts[-len(parts) :] == parts else None
