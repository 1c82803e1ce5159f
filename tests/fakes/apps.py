"""Web apps for tests: as bundles, and served in this process by the real server."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from fakes.folders import write_folder
from shipway.bundle.bundle import Bundle
from shipway.monitor.access import AccessRecord
from shipway.serving import server
from shipway.serving.apps.application import AppApplication, OpenedApp
from shipway.serving.http.keys import ApiKeys
from shipway.serving.listeners import address_of, bind_all
from shipway.spec.app import APP_FOLDER, AppManifest, Interface
from shipway.spec.manifest import File
from shipway.spec.reference import BundleId
from shipway.spec.settings import Server, Settings

SECONDS = 30.0


def write_bundle(
    folder: Path, files: Mapping[str, str | bytes], target: str, interface: Interface, **more: Any
) -> Path:
    """Writes an app's bundle as a folder, as it lies in an image; gives the folder of such folders."""
    write_app(folder / "source", files)
    write_folder(app_bundle(folder / "source", target, interface, **more), folder / "models" / "app")
    return folder / "models"


def write_app(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Writes an app's files below `folder`, as they lie in a bundle; gives the app's folder."""
    for name, content in files.items():
        path = folder / APP_FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / APP_FOLDER


def app_bundle(folder: Path, target: str, interface: Interface = "wsgi", **more: Any) -> Bundle:
    """Gives the bundle `app:1` of what lies below `folder`, as `write_app` wrote it."""
    places = {path.relative_to(folder).as_posix(): path for path in sorted((folder / APP_FOLDER).rglob("*.*"))}
    files = tuple(
        File(name, "artefact", _digest(path.read_bytes()), path.stat().st_size) for name, path in places.items()
    )
    manifest = AppManifest("callable", interface, target, "3.11", (), {}, files, **more)
    oci = msgspec.json.encode({"config": {"digest": _digest(manifest.to_json())}})
    return Bundle(BundleId("app", 1, _digest(oci)), manifest, places, oci)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class _Adopting(AppApplication):
    """An application whose app is an object of the test's."""

    def __init__(
        self, opened: OpenedApp, app: Callable[..., Any], settings: Settings, log: Callable[..., None]
    ) -> None:
        super().__init__(settings, log, None, {})
        self.own = opened, app

    def open(self, bundles: Sequence[Bundle]) -> tuple[OpenedApp, ...]:
        self.adopt(*self.own)
        return (self.own[0],)


class LiveApp:
    """Serves an app object on a free port of loopback, in a thread, until the block ends."""

    def __init__(
        self,
        app: Callable[..., Any],
        interface: Interface = "wsgi",
        *,
        settings: Settings | None = None,
        keys: ApiKeys | None = None,
        **manifest: Any,
    ) -> None:
        self.log: list[AccessRecord] = []
        self._settings = Server(port=0, drain_seconds=0)
        opened = OpenedApp(
            BundleId("app", 1, "sha256:" + "0" * 64),
            AppManifest("callable", interface, "app:app", "3.11", (), {}, (), **manifest),
        )
        self.application = _Adopting(opened, app, settings or Settings(), self.log.append)
        self.application.asgi._keys = keys
        self.error: BaseException | None = None
        self.address = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(SECONDS)
        if self.error is not None:
            self._thread.join(SECONDS)
            raise self.error
        self.client = httpx.Client(base_url=self.address, timeout=SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.drain()
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def drain(self) -> None:
        """Asks the server to end."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.asked.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self.error = error
        finally:
            self._ready.set()
            self.application.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = server._Stop(self._loop)
        with contextlib.ExitStack() as cleanup:
            listeners = [cleanup.enter_context(one) for one in bind_all(self._settings)]
            self.address = address_of(listeners[0])
            await server._serve_until(
                self._stop, self.application, (), self._settings, listeners, lambda *_: self._ready.set()
            )
