"""What an app's source imports from outside, and which of it no requirement brings."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from shipway.apps.distributions import brings, distribution_of, imported_name
from shipway.apps.requirements import Requirements
from shipway.apps.source import Source, is_main_guard, module_name
from shipway.apps.versions import installed_versions

__all__ = ["Import", "find_imports", "unlisted"]

_ASIDE = frozenset({"test", "tests", "testing", "docs", "examples", "notebooks", "scripts"})
_TYPING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
_FAILS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True, slots=True)
class Import:
    """A module from outside the folder and the standard library that its source imports.

    Attributes:
        module: its first part, `sklearn`; more of what lies in a namespace, `google.cloud.storage`.
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


def find_imports(source: Source) -> tuple[Import, ...]:
    """Finds what the Python files import from outside, one of each module, sorted; tests and scripts aside."""
    own = {module_name(file, source.root).partition(".")[0] for file in source.texts}
    own |= {PurePosixPath(file).stem for file in source.texts}  # a folder may be put on the path by the app itself
    found: dict[str, Import] = {}
    for module in source.modules:
        path = PurePosixPath(module.file)
        if _ASIDE & set(path.parts[:-1]) or path.stem.startswith("test_") or path.stem in ("conftest", "setup"):
            continue
        for one in _of_statements(module.tree.body, module.file, optional=False):
            before = found.get(one.module)
            top = one.module.partition(".")[0]
            known = top in own or top in sys.stdlib_module_names or top == "__main__"
            if not known and (before is None or (before.optional and not one.optional)):
                found[one.module] = one
    return tuple(found[name] for name in sorted(found))


def unlisted(imports: Sequence[Import], requirements: Requirements) -> tuple[tuple[Import, str | None], ...]:
    """Gives the imports that no requirement brings, nor what is installed for it, each with its distribution.

    None stands where it is not known.
    """
    brought = {one.name for one in requirements.listed} | set(installed_versions(requirements.texts))
    missing = (one for one in imports if not one.optional and not any(brings(name, one.module) for name in brought))
    return tuple((one, distribution_of(one.module)) for one in missing)


def _of_statements(body: Iterable[ast.AST], file: str, *, optional: bool) -> Iterator[Import]:
    for node in body:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield Import(imported_name(alias.name), file, node.lineno, optional)
            case ast.ImportFrom(module=str() as name, names=names, level=0):
                for module in sorted({imported_name(f"{name}.{alias.name}".removesuffix(".*")) for alias in names}):
                    yield Import(module, file, node.lineno, optional)
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
