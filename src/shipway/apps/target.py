"""`module:object`, as gunicorn and uvicorn take it: its parsing, and the import that makes it an object."""

from __future__ import annotations

import re
from dataclasses import dataclass

from shipway.apps.child import load_object
from shipway.errors import UsageError

__all__ = ["Target"]

_TARGET = re.compile(r"(?P<module>[\w-]+(?:\.[\w-]+)*)(?::(?P<path>[^\W\d]\w*(?:\.[^\W\d]\w*)*)(?P<call>\(\))?)?")


@dataclass(frozen=True, slots=True)
class Target:
    """Where the app's object is.

    Attributes:
        module: dotted.
        path: attribute names from the module to the object.
        factory: whether the last of them is a function to be called without arguments: `module:create_app()`.
    """

    module: str
    path: tuple[str, ...]
    factory: bool

    @classmethod
    def parse(cls, text: str) -> Target:
        """Parses `module`, `module:object` or `module:factory()`; the object is `app` where it is not said.

        Raises:
            UsageError: it is none of them.
        """
        match = _TARGET.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is not the name of an app",
                fix="write module:object, as in --app main:app or main:create_app()",
            )
        return cls(match["module"], tuple((match["path"] or "app").split(".")), match["call"] is not None)

    def __str__(self) -> str:
        return f"{self.module}:{'.'.join(self.path)}{'()' if self.factory else ''}"

    def load(self) -> object:
        """Imports the module by its name, never as `__main__`, and gives the object.

        Whatever the app's own code raises goes through.

        Raises:
            AttributeError: the module has no such object.
        """
        return load_object(self.module, self.path, factory=self.factory)
