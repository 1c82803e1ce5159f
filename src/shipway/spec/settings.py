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
from shipway.spec.rows import did_you_mean

__all__ = [
    "ENVIRONMENT_PREFIX",
    "Auth",
    "Build",
    "Deploy",
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
        default: model that answers `POST /`; empty: the only one, else the first named.
        drain_seconds: how long to go on serving after SIGTERM.
        allow_pickle: whether models that were not packed in this store and have no compiled form may be opened.
        log: access log as text, json, or off; auto is text on a terminal and json otherwise.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
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
    """`[deploy.kubernetes]`.

    Attributes:
        replicas: how many pods.
        service: how the Service is reached.
        namespace: written into the objects; empty: the one that `kubectl` is set to.
    """

    replicas: int = 3
    service: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    namespace: str = ""


class Deploy(msgspec.Struct, frozen=True, kw_only=True):
    """`[deploy]`, one table a target."""

    kubernetes: Kubernetes = Kubernetes()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of `shipway.toml`."""

    server: Server = Server()
    limits: Limits = Limits()
    models: dict[str, ModelSettings] = {}
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
        """Gives each key with its value and origin."""
        for key, value in sorted(_flatten(msgspec.to_builtins(self.settings)).items()):
            yield key, value, self.origins.get(key, "default")


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
