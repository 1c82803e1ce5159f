"""Settings: flags beat environment beats file beats defaults, and each value knows where it came from.

Pure: the edges pass in the environment and the parsed file. The structs below are the one table of keys; the file
`shipway.toml`, the variables `SHIPWAY_SECTION__KEY` and `shipway config` are all derived from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_origin

import msgspec

from shipway.errors import UsageError
from shipway.spec.words import did_you_mean

__all__ = [
    "ENVIRONMENT_PREFIX",
    "Apps",
    "Auth",
    "Build",
    "Deploy",
    "Docker",
    "Kubernetes",
    "Limits",
    "ModelSettings",
    "Resolved",
    "Server",
    "Settings",
    "resolve",
]

ENVIRONMENT_PREFIX = "SHIPWAY_"
# Names with this prefix that are no settings of a file: where the store and the file itself are.
_OUTSIDE = {"SHIPWAY_STORE", "SHIPWAY_CONFIG"}


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """`[server]`.

    Attributes:
        host: address to listen on.
        port: of HTTP; 0 takes a free one.
        metrics_port: of a second listener with `/metrics` and the health routes alone, without API keys; 0 for none.
        default: model that answers `POST /`; empty: the only one, else the first named.
        drain_seconds: how long to go on serving after SIGTERM.
        allow_pickle: whether models without a compiled form, and apps, may be opened that were not packed in this
            store: both run what their maker put in.
        log: access log as text, json, or off; auto is text on a terminal and json otherwise.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    metrics_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    default: str = ""
    drain_seconds: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    allow_pickle: bool = False
    log: Literal["auto", "text", "json", "off"] = "auto"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`[limits]`.

    Attributes:
        body_bytes: largest request body, before and after decompression.
        rows: most rows a request.
        seconds: longest time a request may take, waiting included.
        waiting: most requests that may wait for a model at once.
    """

    body_bytes: Annotated[int, msgspec.Meta(ge=1)] = 32 * 1024 * 1024
    rows: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    waiting: Annotated[int, msgspec.Meta(ge=1)] = 256


class Apps(msgspec.Struct, frozen=True, kw_only=True):
    """`[apps]`: how web apps are served.

    Attributes:
        threads: how many requests a WSGI app answers at once. ASGI apps have one event loop, and no use for it.
    """

    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[models.NAME]`.

    Attributes:
        extra_columns: what becomes of columns that the model does not know.
    """

    extra_columns: Literal["refuse", "ignore"] = "refuse"


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """`[auth]`.

    Attributes:
        keys: file of hashed API keys; empty: every caller is answered.
    """

    keys: str = ""


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """`[build]`.

    Attributes:
        base: base of images: `oci:FOLDER[:TAG]`, an archive or a name; empty: the slim Python image that Docker has.
    """

    base: str = ""


class Kubernetes(msgspec.Struct, frozen=True, kw_only=True):
    """`[deploy.kubernetes]`: what a release is on a cluster. Names and amounts are checked on rendering.

    Attributes:
        namespace: written into the objects; empty: the one that the context is set to.
        context: which of kubeconfig's clusters; empty: the current one.
        replicas: how many pods; with an autoscaler the fewest.
        max_replicas: an autoscaler keeps between `replicas` and this; 0 for none.
        cpu_percent: of the CPU request, above which the autoscaler adds pods.
        service: how the Service is reached.
        cpu, memory: requested by each pod, as Kubernetes writes amounts; empty: what the contract says.
        cpu_limit, memory_limit: most that a pod may take; empty: none for CPU, the contract's for memory.
        gpu: whole GPUs a pod.
        gpu_resource: what the cluster calls a GPU.
        keys: name of the Secret whose entry `keys` is a file of hashed API keys; empty: every caller is answered.
        pull_secret: name of the Secret with which nodes pull the image.
        ingress: host name under which an Ingress leads to the Service; empty for no Ingress.
        ingress_class: which controller serves it; empty: the cluster's default.
        ingress_tls: name of the Secret with the host's certificate; empty for plain HTTP.
        network_policy: let in only pods of its namespace and of those in `allow_from`, and nothing out.
        allow_from: names of namespaces whose pods may call as well.
        disruption_budget: let a node drain take one pod at a time.
        service_monitor: a ServiceMonitor for the Prometheus operator.
        monitor_labels: labels by which Prometheus picks it up, each `KEY=VALUE`.
        kustomization: a kustomization.yaml that lists the files.
    """

    namespace: str = ""
    context: str = ""
    replicas: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 3
    max_replicas: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    cpu_percent: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 80
    service: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    cpu: str = ""
    memory: str = ""
    cpu_limit: str = ""
    memory_limit: str = ""
    gpu: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    gpu_resource: str = "nvidia.com/gpu"
    keys: str = ""
    pull_secret: str = ""
    ingress: str = ""
    ingress_class: str = ""
    ingress_tls: str = ""
    network_policy: bool = False
    allow_from: tuple[str, ...] = ()
    disruption_budget: bool = True
    service_monitor: bool = False
    monitor_labels: tuple[str, ...] = ()
    kustomization: bool = False


class Docker(msgspec.Struct, frozen=True, kw_only=True):
    """`[deploy.docker]`: what a release is on a machine with Docker or Podman.

    Attributes:
        host: address of this machine on which it listens.
        port: on that address.
        replicas: how many containers answer behind it.
        memory: most that a container may take, as Docker writes amounts; empty: what the contract says.
        cpus: most cores that a container may take; 0 for no limit.
        keys: file of hashed API keys on this machine; empty: every caller is answered.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8000
    replicas: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    memory: str = ""
    cpus: Annotated[float, msgspec.Meta(ge=0)] = 0
    keys: str = ""


class Deploy(msgspec.Struct, frozen=True, kw_only=True):
    """`[deploy]`, one table a target.

    Attributes:
        target: where `status`, `logs`, `rollback` and the like look, where `--on` does not say.
    """

    target: Literal["kubernetes", "docker"] = "kubernetes"
    kubernetes: Kubernetes = Kubernetes()
    docker: Docker = Docker()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of `shipway.toml`."""

    server: Server = Server()
    limits: Limits = Limits()
    models: dict[str, ModelSettings] = {}
    apps: Apps = Apps()
    auth: Auth = Auth()
    build: Build = Build()
    deploy: Deploy = Deploy()


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings with their origins.

    Attributes:
        settings: the values.
        origins: for each dotted key, `default`, the file's name, the variable's name or `flag`.
    """

    settings: Settings
    origins: Mapping[str, str]

    def items(self) -> Iterator[tuple[str, Any, str]]:
        """Gives each key with its value, as TOML would hold it, and its origin."""
        for key, value in sorted(_flatten(msgspec.to_builtins(self.settings)).items()):
            yield key, list(value) if isinstance(value, tuple) else value, self.origins.get(key, "default")


def resolve(
    flags: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any], *, file_name: str = "shipway.toml"
) -> Resolved:
    """Merges the three sources over the defaults.

    Args:
        flags: dotted key to value; None means not given.
        environ: the environment; only `SHIPWAY_SECTION__KEY` are looked at.
        file: the parsed TOML.
        file_name: how messages name the file.

    Raises:
        UsageError: an unknown key (with the nearest known one) or a value of the wrong type.
    """
    merged: dict[str, tuple[Any, str]] = {}
    for key, value in _flatten(file).items():
        merged[_known(key, f"in {file_name}")] = (value, file_name)
    for variable, text in sorted(environ.items()):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in _OUTSIDE and "__" in variable:
            key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            merged[_known(key, f"in the environment ({variable})")] = (text, variable)
    for key, value in flags.items():
        if value is not None:
            merged[key] = (value, "flag")
    settings = Settings()
    for key, (value, origin) in merged.items():
        settings = _set(settings, key.split("."), value, f"{key} ({origin})", strict=origin == file_name)
    return Resolved(settings, {key: origin for key, (_, origin) in merged.items()})


def _set(struct: Any, path: list[str], value: Any, what: str, *, strict: bool) -> Any:
    """Gives `struct` with the value at `path` replaced and checked."""
    name, rest = path[0], path[1:]
    if isinstance(struct, dict):
        return {**struct, name: _set(struct.get(name, ModelSettings()), rest, value, what, strict=strict)}
    if rest:
        return msgspec.structs.replace(struct, **{name: _set(getattr(struct, name), rest, value, what, strict=strict)})
    kind = next(field.type for field in msgspec.structs.fields(type(struct)) if field.name == name)
    if isinstance(value, str) and not strict and get_origin(kind) is tuple:
        value = [part for part in (part.strip() for part in value.split(",")) if part]
    try:
        return msgspec.structs.replace(struct, **{name: msgspec.convert(value, kind, strict=strict)})
    except msgspec.ValidationError as error:
        raise UsageError(f"{what} cannot be {value!r}: {str(error).lower()}", fix="shipway config") from error


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _known(key: str, where: str) -> str:
    """Gives the key back if it names a setting."""
    struct: Any = Settings
    path = key.split(".")
    for depth, name in enumerate(path):
        if get_origin(struct) is dict:
            struct = ModelSettings
            continue
        fields = {field.name: field.type for field in msgspec.structs.fields(struct)} if _is_struct(struct) else {}
        if name not in fields:
            near = did_you_mean(name, fields)
            parent = ".".join(path[:depth])
            raise UsageError(
                f"unknown key {key!r} {where}",
                fix=near or f"{parent or 'the top level'} has {', '.join(sorted(fields)) or 'no keys'}",
            )
        struct = fields[name]
    if _is_struct(struct) or get_origin(struct) is dict:
        raise UsageError(f"{key!r} {where} is a table, not a value", fix=f"[{key}]")
    return key


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
