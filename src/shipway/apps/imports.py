"""What an app's source imports from outside, and which of it no requirement brings."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from shipway.apps.distributions import brings, distribution_of
from shipway.apps.requirements import Requirements, installed_versions
from shipway.apps.source import is_main_guard, parse_all

__all__ = ["Import", "find_imports", "unlisted"]

_ASIDE = frozenset({"test", "tests", "testing", "docs", "examples", "notebooks", "scripts"})
_TYPING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
_FAILS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True, slots=True)
class Import:
    """A module from outside the folder and the standard library that its source imports.

    Attributes:
        module: its first part: `sklearn`.
        file: relative POSIX path.
        line: of the first such import.
        optional: whether the source goes on without it (`try: … except ImportError`).
    """

    module: str
    file: str
    line: int
    optional: bool

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"


def find_imports(files: Mapping[str, str]) -> tuple[Import, ...]:
    """Finds what the Python files import from outside, one of each module, sorted; tests and scripts aside."""
    own = {PurePosixPath(file).parts[0].removesuffix(".py") for file in files}
    own |= {PurePosixPath(file).stem for file in files}  # a folder may be put on the path by the app itself
    found: dict[str, Import] = {}
    for module in parse_all(files)[0]:
        path = PurePosixPath(module.file)
        if _ASIDE & set(path.parts[:-1]) or path.stem.startswith("test_") or path.stem in ("conftest", "setup"):
            continue
        for one in _of_statements(module.tree.body, module.file, optional=False):
            before = found.get(one.module)
            known = one.module in own or one.module in sys.stdlib_module_names or one.module == "__main__"
            if not known and (before is None or (before.optional and not one.optional)):
                found[one.module] = one
    return tuple(found[name] for name in sorted(found))


def unlisted(imports: Sequence[Import], requirements: Requirements) -> tuple[tuple[Import, str], ...]:
    """Gives the imports that no requirement brings, nor what is installed for it, each with its distribution."""
    brought = {one.name for one in requirements.listed} | set(installed_versions(requirements.texts))
    missing = (one for one in imports if not one.optional and not any(brings(name, one.module) for name in brought))
    return tuple((one, distribution_of(one.module)) for one in missing)


def _of_statements(body: Iterable[ast.AST], file: str, *, optional: bool) -> Iterator[Import]:
    for node in body:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(alias.name.split(".")[0], file, node.lineno, optional)
            case ast.ImportFrom(module=str() as name, level=0):
                yield Import(name.split(".")[0], file, node.lineno, optional)
            case ast.Try():
                caught = optional or any(_catches(handler) for handler in node.handlers)
                yield from _of_statements(node.body, file, optional=caught)
                rest = [*node.handlers, *node.orelse, *node.finalbody]
                yield from _of_statements(rest, file, optional=caught)
            case ast.If() if is_main_guard(node) or ast.unparse(node.test) in _TYPING:
                yield from _of_statements(node.orelse, file, optional=optional)
            case _:
                yield from _of_statements(ast.iter_child_nodes(node), file, optional=optional)


def _catches(handler: ast.ExceptHandler) -> bool:
    """Whether it catches a failed import."""
    if handler.type is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in _FAILS for node in ast.walk(handler.type))
