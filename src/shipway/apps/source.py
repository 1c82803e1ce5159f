"""Python source as far as it can be read without running it: what a name means, and what runs when it is imported."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

__all__ = [
    "Module",
    "Source",
    "Unreadable",
    "at_import",
    "import_root",
    "is_main_guard",
    "module_name",
    "parse",
    "parse_all",
    "text_of",
]

_TEXT = 80
_ROOT = "src"
_PROJECT_FILES = frozenset({"pyproject.toml", "setup.cfg", "setup.py"})
_NAMES_ROOT = re.compile(rf"^\s*(?:from|import)\s+{_ROOT}\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Module:
    """A Python file that parses.

    Attributes:
        name: dotted, as it is imported from the folder; empty where it cannot be.
        file: relative POSIX path.
        tree: its syntax.
        names: what each imported name stands for, dotted: `Flask` for `flask.Flask`.
    """

    name: str
    file: str
    tree: ast.Module
    names: Mapping[str, str]

    def meaning(self, node: ast.expr | None) -> str:
        """Gives what a name or attribute stands for, dotted from its module; empty for every other expression."""
        match node:
            case ast.Name(id=name):
                return self.names.get(name) or f"{self.name}.{name}"
            case ast.Attribute(value=value, attr=attribute):
                before = self.meaning(value)
                return f"{before}.{attribute}" if before else ""
            case _:
                return ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A Python file that does not parse.

    Attributes:
        file: relative POSIX path.
        line: where it stops making sense.
        why: in Python's words.
    """

    file: str
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Source:
    """All Python of a folder, parsed once.

    Attributes:
        texts: of each file, by relative POSIX path.
        modules: the files that parse, in the order of their paths.
        unreadable: those that do not.
        root: the folder in it that is on Python's path too, as `import_root` gives it.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[Module, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    root: str = ""


def import_root(texts: Mapping[str, str], names: Collection[str]) -> str:
    """Gives the folder that an installed project would have its packages from: `src`, or empty for none.

    A package below it and the project's own file beside it tell (the src layout); source that says `import src` takes
    it for a package. https://packaging.python.org/en/latest/discussions/src-layout-vs-flat-layout/

    Args:
        texts: of each Python file, by relative POSIX path.
        names: of all files of the folder.
    """
    holds = any(file.startswith(f"{_ROOT}/") and file.count("/") > 1 for file in texts)
    if not holds or f"{_ROOT}/__init__.py" in texts or _PROJECT_FILES.isdisjoint(names):
        return ""
    return "" if any(map(_NAMES_ROOT.search, texts.values())) else _ROOT


def module_name(file: str, root: str = "") -> str:
    """Gives the name by which a file is imported; empty where a folder's name has a dot.

    Args:
        file: relative POSIX path.
        root: the folder that is on Python's path beside the app's own.
    """
    path = PurePosixPath(file.removeprefix(f"{root}/") if root else file)
    parts = (*path.parent.parts, path.stem)
    if any("." in part for part in parts):
        return ""
    return ".".join(parts[:-1] if path.stem == "__init__" and len(parts) > 1 else parts)


def parse(file: str, text: str, root: str = "") -> Module | Unreadable:
    """Parses one file, whose module is named from `root` where it lies there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape is its author's affair
            tree = ast.parse(text, file)
    except SyntaxError as error:
        return Unreadable(file, error.lineno or 1, error.msg)
    except (ValueError, RecursionError, MemoryError) as error:
        return Unreadable(file, 1, str(error) or "nested too deep")
    name = module_name(file, root)
    package = name if PurePosixPath(file).stem == "__init__" else name.rpartition(".")[0]
    return Module(name, file, tree, dict(_imported(tree, package)))


def parse_all(files: Mapping[str, str], names: Collection[str] = ()) -> Source:
    """Parses all Python files.

    Args:
        files: texts by relative POSIX path; those of other languages are left aside.
        names: of all files of the folder.
    """
    texts = {file: text for file, text in sorted(files.items()) if file.endswith(".py")}
    root = import_root(texts, names)
    parsed = [parse(file, text, root) for file, text in texts.items()]
    return Source(
        texts,
        tuple(one for one in parsed if isinstance(one, Module)),
        tuple(one for one in parsed if isinstance(one, Unreadable)),
        root,
    )


def at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Gives the statements that run on import, in order, without the bodies of functions and classes."""
    for statement in body:
        if isinstance(statement, ast.If) and is_main_guard(statement):
            yield from at_import(statement.orelse)
            continue
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.TryStar | ast.With | ast.For | ast.While):
            for field in ("body", "handlers", "orelse", "finalbody"):
                for inner in getattr(statement, field, ()):
                    yield from at_import(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])


def is_main_guard(statement: ast.If) -> bool:
    """Whether it is `if __name__ == "__main__":`, in either order, alone or among other conditions."""
    tests = statement.test.values if isinstance(statement.test, ast.BoolOp) else [statement.test]
    for test in tests:
        if isinstance(test, ast.Compare) and len(test.comparators) == 1 and isinstance(test.ops[0], ast.Eq):
            sides = (test.left, test.comparators[0])
            names = any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
            if names and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides):
                return True
    return False


def text_of(node: ast.AST) -> str:
    """Gives the source of a node on one line, cut where it is long."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 1]}…"


def _imported(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield (alias.asname, alias.name) if alias.asname else (2 * (alias.name.split(".")[0],))
            case ast.ImportFrom(module=module, names=names, level=level):
                parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                origin = ".".join([*parents, *([module] if module else [])])
                for alias in names:
                    yield alias.asname or alias.name, f"{origin}.{alias.name}".lstrip(".")
            case _:
                pass
