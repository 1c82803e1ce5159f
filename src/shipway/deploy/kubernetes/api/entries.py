"""Kubeconfig's YAML as entries that know where they stand, so that each mistake is named by file and key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shipway.errors import MissingDependency, UsageError
from shipway.oci.files import read_bounded

__all__ = ["Entry", "read_entries"]

_MAX_FILE = 8 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A mapping in a file.

    Attributes:
        file: in which it stands.
        key: where in it: `users[dev].user`; empty for the whole file.
        values: what it holds; may be secret.
        name: by which it is referred to.
    """

    file: Path
    key: str
    values: Mapping[str, Any] = field(repr=False)
    name: str = ""

    def wrong(self, key: str, problem: str, fix: str = "") -> UsageError:
        """Gives the error for one of its keys."""
        return UsageError(f"{self.file}: {self._at(key)} {problem}", fix=fix or "mend that key")

    def text(self, key: str) -> str:
        """Gives a text; empty where there is none.

        Raises:
            UsageError: it is no text.
        """
        value = self.values.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(key, "is not a text", "put it in quotes")
        return value

    def flag(self, key: str) -> bool:
        """Gives a truth value; False where there is none.

        Raises:
            UsageError: it is none.
        """
        value = self.values.get(key)
        if value not in (None, True, False):
            raise self.wrong(key, "is neither true nor false")
        return value is True

    def texts(self, key: str) -> tuple[str, ...]:
        """Gives a list of texts; empty where there is none.

        Raises:
            UsageError: it is no list of texts.
        """
        value = self.values.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "is not a list of texts", "put each in quotes")
        return tuple(value)

    def path(self, key: str) -> Path | None:
        """Gives a file that is named relative to this one; None where none is named."""
        text = self.text(key)
        return self.file.parent / text if text else None

    def data(self, key: str) -> bytes | None:
        """Gives bytes that stand in the file in base64; None where there are none.

        Raises:
            UsageError: it is no base64.
        """
        text = self.text(key)
        try:
            return base64.b64decode("".join(text.split()), validate=True) if text else None
        except (binascii.Error, ValueError):
            raise self.wrong(key, "is not base64") from None  # the value may be a key: it is not repeated

    def encoded(self, path: Path) -> str:
        """Gives the content of a file in base64."""
        return base64.b64encode(read_bounded(path, _MAX_FILE, f"a file that {self.file} names", UsageError)).decode()

    def part(self, key: str) -> Entry:
        """Gives the mapping under a key; an empty one where there is none.

        Raises:
            UsageError: something else stands there.
        """
        value = self.values.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, "is not a mapping")
        return Entry(self.file, self._at(key), value or {}, self.name)

    def named(self, key: str) -> Iterator[Entry]:
        """Gives the mappings of a list, each with its `name`.

        Raises:
            UsageError: it is no list of such.
        """
        value = self.values.get(key) or []
        if not isinstance(value, list):
            raise self.wrong(key, "is not a list")
        for number, item in enumerate(value):
            name = item.get("name") if isinstance(item, dict) else None
            if not isinstance(name, str):
                raise self.wrong(f"{key}[{number}]", "is not a mapping with a name")
            yield Entry(self.file, self._at(f"{key}[{name}]"), item, name)

    def _at(self, key: str) -> str:
        return f"{self.key}.{key}" if self.key else key


def read_entries(file: Path) -> Entry:
    """Reads a kubeconfig file; an empty one has no entries.

    Raises:
        UsageError: it is no YAML, or no mapping.
        MissingDependency: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency(
            f"PyYAML is not installed, which reads {file}", fix='pip install "shipway[kubernetes]"'
        ) from error

    text = read_bounded(file, _MAX_FILE, "the kubeconfig file", UsageError)
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        # What the reader says may quote the line, and with it a secret.
        raise UsageError(f"{file} is no YAML{line}", fix="mend that line, or fetch the file anew") from None
    if document is not None and not isinstance(document, dict):
        raise UsageError(f"{file} is no kubeconfig: it holds no mapping", fix="name another file by KUBECONFIG")
    return Entry(file, "", document or {})
