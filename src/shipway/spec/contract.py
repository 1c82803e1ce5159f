"""What a running server promises its surroundings. The image states it, the targets rely on it."""

from __future__ import annotations

from dataclasses import dataclass

from shipway.spec.app import AnyManifest, AppManifest
from shipway.spec.manifest import Manifest
from shipway.spec.paths import LIVE, READY
from shipway.spec.surroundings import surroundings_of

__all__ = ["Contract"]

_APP_MIB = 256


@dataclass(frozen=True, slots=True)
class Contract:
    """Command, ports, probes, drain and resources of one served bundle.

    Attributes:
        models: folder in the container that holds the bundle's folder.
        port: of HTTP, and of the probes.
        metrics_port: of `/metrics` and the probes alone, without API keys: for the platform, never for callers.
        user: numeric user and group, since `runAsNonRoot` cannot check a name.
        live: path that answers 200 as long as the process is not stuck.
        ready: path that answers 200 once every model is loaded, warmed up and has replayed its golden rows.
        drain_seconds: how long the server goes on serving after SIGTERM, for endpoints lag behind it.
        request_seconds: the longest that one request may take.
        memory_mib, memory_limit_mib: what it needs and what it may take.
        cpu_millis: what it needs; the limit is left to the target.
        allow_pickle: whether the server may open an original that is a pickle: who builds the image says so.
        workdir: of an app: the folder that leads to its files, where its author had them; empty for none.
        variables: of an app: those that its author set, with their values.
    """

    models: str = "/models"
    port: int = 8000
    metrics_port: int = 8002
    user: int = 65532
    live: str = LIVE[0]
    ready: str = READY[0]
    drain_seconds: int = 5
    request_seconds: int = 30
    memory_mib: int = 128
    memory_limit_mib: int = 512
    cpu_millis: int = 100
    allow_pickle: bool = False
    workdir: str = ""
    variables: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, manifest: AnyManifest) -> Contract:
        """Gives the contract of a bundle."""
        return cls._of_app(manifest) if isinstance(manifest, AppManifest) else cls._of_model(manifest)

    @classmethod
    def _of_app(cls, app: AppManifest) -> Contract:
        """Takes over what its author said; what it loads is not known, so its files are reckoned as if it loaded all.

        Measured (docs/decisions/0008-memory-of-a-container.md).
        """
        around = surroundings_of(app)
        data = sum(file.size for file in app.files if not file.path.endswith(".py"))
        needs = _APP_MIB + 3 * data // 2**20
        return cls(
            port=around.port,
            metrics_port=around.metrics_port,
            memory_mib=needs,
            memory_limit_mib=max(512, 2 * needs),
            workdir=around.workdir,
            variables=around.variables,
        )

    @classmethod
    def _of_model(cls, manifest: Manifest) -> Contract:
        """Its memory follows from what is opened.

        Measured (docs/decisions/0008-memory-of-a-container.md): a server with a small compiled model takes 78 MiB,
        scikit-learn with pandas 90 MiB more. While it is opened, a compiled forest takes up to 20 times its file, since
        the runtime unpacks the trees; a pickle, or a graph whose bulk is weights, up to 3 times.
        """
        opened = [file.size for file in manifest.files if (file.role == "compiled") == (manifest.compiled is not None)]
        framework = 0 if manifest.compiled or manifest.framework == "onnx" else 160
        needs = 128 + framework + (20 if manifest.compiled else 3) * sum(opened) // 2**20
        return cls(
            memory_mib=needs,
            memory_limit_mib=max(512, 2 * needs),
            allow_pickle=manifest.pickled and manifest.compiled is None,
        )

    @property
    def termination_seconds(self) -> int:
        """How long the platform must wait after SIGTERM: drain, the longest request, and a second to end."""
        return self.drain_seconds + self.request_seconds + 1

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the container, as variables, so that whoever runs it can set others."""
        settings = {
            "SHIPWAY_SERVER__HOST": "0.0.0.0",  # noqa: S104 - a container's network is its own
            "SHIPWAY_SERVER__PORT": str(self.port),
            "SHIPWAY_SERVER__METRICS_PORT": str(self.metrics_port),
            "SHIPWAY_SERVER__DRAIN_SECONDS": str(self.drain_seconds),
            "SHIPWAY_LIMITS__SECONDS": str(self.request_seconds),
        }
        return settings | ({"SHIPWAY_SERVER__ALLOW_PICKLE": "true"} if self.allow_pickle else {})

    def command(self, python: str) -> tuple[str, ...]:
        """Gives the command line that starts the server with `python`, without a shell.

        With `-P`, since an app's folder is the working directory: no module of its own takes the place of the server's.
        """
        return (python, "-P", "-m", "shipway.serving", self.models)
