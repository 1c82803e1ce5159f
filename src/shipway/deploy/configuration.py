"""The settings that travel with a release: text of the `shipway.toml` that its servers read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from shipway.spec.settings import ModelSettings, Settings

__all__ = ["Table", "server_configuration", "write_toml"]

Table: TypeAlias = "Mapping[str, bool | int | float | str | Table]"

# Addresses, ports and times are the contract's: targets reckon with them and tell them by variables. A container has
# one model, which is its default.
_CONTRACT = {
    "server": {"host", "port", "metrics_port", "default", "drain_seconds"},
    "limits": {"seconds"},
}


def server_configuration(settings: Settings, model: str) -> str:
    """Gives the settings that differ from the defaults and mean something in a container that serves `model`.

    Where the API keys are is not among them: each target mounts them in its own way.

    Returns:
        TOML; empty where all are the defaults.
    """
    chosen = _differing(settings, Settings())
    table: dict[str, Any] = {name: _without(chosen.get(name, {}), keys) for name, keys in _CONTRACT.items()}
    own = settings.models.get(model)
    table["models"] = {model: _differing(own, ModelSettings())} if own else {}
    return write_toml(table)


def write_toml(table: Table) -> str:
    """Gives a table as TOML, keys sorted; tables with nothing in them are left out.

    Values that hold others come as tables of their own, below the simple ones. No key is dotted, no list is written:
    settings of a server have none.
    """
    return "\n".join(_blocks(table, ()))


def _blocks(table: Table, path: tuple[str, ...]) -> Iterator[str]:
    entries = sorted(table.items())
    own = "".join(f"{_key(key)} = {_value(value)}\n" for key, value in entries if not isinstance(value, Mapping))
    if own:
        yield (f"[{'.'.join(map(_key, path))}]\n" if path else "") + own
    for key, value in entries:
        if isinstance(value, Mapping):
            yield from _blocks(value, (*path, key))


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if is_bare else _text(key)


def _value(value: bool | float | str | Table) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case _:
            return repr(value)


def _text(text: str) -> str:
    """A basic string of TOML 1.0: JSON's, but for DEL, which TOML wants escaped as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _differing(struct: msgspec.Struct, default: msgspec.Struct) -> dict[str, Any]:
    """Gives the fields in which two structs of a kind differ, nested structs by their own fields."""
    found: dict[str, Any] = {}
    for name in struct.__struct_fields__:
        mine, theirs = getattr(struct, name), getattr(default, name)
        if isinstance(mine, msgspec.Struct):
            found[name] = _differing(mine, theirs)
        elif mine != theirs:
            found[name] = mine
    return found


def _without(table: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}
