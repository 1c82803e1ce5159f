"""Which files of an app's folder go into its bundle, and which must not."""

from __future__ import annotations

import codecs
import io
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shipway.apps.ignore import Ignore, Pattern, parse_ignore
from shipway.apps.secret import HEAD, secret_by_content, secret_by_name
from shipway.apps.source import Source, parse_all
from shipway.errors import ArtefactError, UsageError

__all__ = ["AppFiles", "LeftOut", "Limits", "Texts", "collect", "find_secrets", "list_files"]

_IGNORES = (".dockerignore", ".shipwayignore")
_TEXT_LIMIT = 2 * 1024 * 1024
_FOLDERS: Mapping[str, str] = {
    ".git": "git's",
    ".hg": "Mercurial's",
    ".svn": "Subversion's",
    ".idea": "an editor's",
    ".vscode": "an editor's",
    ".ipynb_checkpoints": "a cache",
    ".mypy_cache": "a cache",
    ".nox": "virtual environments",
    ".pytest_cache": "a cache",
    ".ruff_cache": "a cache",
    ".tox": "virtual environments",
    "__pycache__": "a cache",
    "node_modules": "a cache",
}
_FILES: Mapping[str, str] = {".DS_Store": "the file manager's", "Thumbs.db": "the file manager's"}
_VIRTUAL = ("pyvenv.cfg", "conda-meta")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that does not go.

    Attributes:
        path: relative POSIX path; ends with `/` for a folder.
        why: `a virtual environment`, `.dockerignore:3`, …
    """

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a folder may hold of what goes.

    Attributes:
        files: how many.
        size: bytes of all together.
    """

    files: int = 20_000
    size: int = 16 * 1024**3


@dataclass(frozen=True, slots=True)
class AppFiles:
    """What is in the folder.

    Attributes:
        folder: absolute.
        kept: the files that go, by relative POSIX path, sorted.
        left_out: what does not, sorted.
        size: bytes of those that go.
    """

    folder: Path
    kept: Mapping[str, Path]
    left_out: tuple[LeftOut, ...]
    size: int

    @property
    def texts(self) -> Texts:
        """The texts of the files that go."""
        return Texts(self.kept)

    def source(self) -> Source:
        """Reads and parses the Python files that go."""
        texts = ((path, self.text(path)) for path in self.kept if path.endswith(".py"))
        return parse_all({path: text for path, text in texts if text is not None}, self.kept.keys())

    def text(self, path: str) -> str | None:
        """Gives the text of a file, one that stays out too; None for none, for no text, and for more than 2 MiB."""
        place = self.kept.get(path, self.folder / path)
        return _text(place, path) if place.is_file() else None


class Texts(Mapping[str, str]):
    """The texts of files by path, each read when it is asked for; what is no text, or over 2 MiB, is not in it."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def __getitem__(self, path: str) -> str:
        text = _text(self._files[path], path)
        if text is None:
            raise KeyError(path)
        return text

    def __iter__(self) -> Iterator[str]:
        return (path for path in self._files if path in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _text(file: Path, path: str) -> str | None:
    """Gives the text of the file that `path` names: of Python as PEP 263 says it is decoded."""
    data = _head(file, path, _TEXT_LIMIT + 1)
    try:
        encoding = _encoding(path, data)
        return data.decode(encoding) if len(data) <= _TEXT_LIMIT else None
    except (UnicodeDecodeError, SyntaxError, LookupError):
        return None


def _encoding(path: str, data: bytes) -> str:
    """Gives a text's encoding: of Python as PEP 263 says; PowerShell's `pip freeze > requirements.txt` is UTF-16."""
    if path.endswith(".py"):
        return tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    return "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def collect(folder: Path, include: Sequence[str] = (), limits: Limits | None = None) -> AppFiles:
    """Lists the folder, and refuses one with secrets.

    Args:
        folder: the app's.
        include: relative paths of files that go although they are ignored or look like secrets.
        limits: how much may go.

    Raises:
        UsageError: `folder` is no folder, or `include` names a file that is not there.
        ArtefactError: it holds a secret, a link that leads out of it, too many or too large files.
    """
    files = list_files(folder, include, limits)
    secrets = find_secrets(files, include)
    if secrets:
        listed = ", ".join(f"{path} ({what})" for path, what in secrets[:_SHOWN])
        more = f" and {len(secrets) - _SHOWN} more" if len(secrets) > _SHOWN else ""
        raise ArtefactError(
            f"the folder holds what looks like secrets: {listed}{more}",
            fix=f"name them in .shipwayignore, or take them all the same: --include {secrets[0][0]}",
        )
    return files


def find_secrets(files: AppFiles, include: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Gives the files that look like secrets, with what they look like; those that `include` names are none."""
    wanted = {Path(path).as_posix() for path in include}
    return [(path, what) for path, file in files.kept.items() if path not in wanted and (what := _secret(path, file))]


def list_files(folder: Path, include: Sequence[str] = (), limits: Limits | None = None) -> AppFiles:
    """Lists the folder, secrets too.

    Args:
        folder: the app's.
        include: relative paths of files that go although they are ignored or look like secrets.
        limits: how much may go.

    Raises:
        UsageError: `folder` is no folder, or `include` names a file that is not there.
        ArtefactError: it holds a link that leads out of it, too many or too large files.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", fix="name the folder that holds the app")
    root, limits = folder.resolve(), limits or Limits()
    wanted = frozenset(Path(path).as_posix() for path in include)
    kept: dict[str, Path] = {}
    left_out: list[LeftOut] = []
    size = 0
    for path, entry in _Walk(root, _ignore(root), wanted, left_out).files(root):
        kept[path] = entry
        size += entry.stat().st_size
        if len(kept) > limits.files or size > limits.size:
            raise ArtefactError(
                f"{folder} holds more than {limits.files} files or {limits.size >> 20} MiB",
                fix="name what the app does not need in .shipwayignore",
            )
    missing = sorted(wanted - kept.keys())
    if missing:
        raise UsageError(f"there is no file {missing[0]} in {folder}", fix="check --include")
    return AppFiles(root, dict(sorted(kept.items())), tuple(sorted(left_out, key=lambda one: one.path)), size)


def _ignore(root: Path) -> Ignore:
    """Gives the patterns of both files; those of Shipway's come last, so they decide."""
    patterns: list[Pattern] = []
    for name in _IGNORES:
        if (root / name).is_file():
            text = _head(root / name, name, _TEXT_LIMIT).decode("utf-8", "replace")
            patterns += parse_ignore(text, name).patterns
    return Ignore(tuple(patterns))


@dataclass(frozen=True, slots=True)
class _Walk:
    """One walk over a folder.

    Attributes:
        root: resolved.
        ignore: what its files say.
        wanted: paths that go whatever is said.
        left_out: is told what does not go.
    """

    root: Path
    ignore: Ignore
    wanted: frozenset[str]
    left_out: list[LeftOut]

    def files(self, folder: Path, prefix: str = "", inherited: str = "") -> Iterator[tuple[str, Path]]:
        """Gives the files that go, by path."""
        for entry in self._entries(folder):
            path = prefix + entry.name
            if entry.is_dir():
                yield from self._folder(entry, path, inherited)
                continue
            why = inherited or _unwanted(entry) or self.ignore.by(path)
            if why and path not in self.wanted:
                if not inherited:
                    self.left_out.append(LeftOut(path, why))
                continue
            self._check_kind(entry, path)
            yield path, entry

    def _folder(self, entry: Path, path: str, inherited: str) -> Iterator[tuple[str, Path]]:
        """Gives what goes of a folder; one that does not go is entered only where something in it may."""
        own = _FOLDERS.get(entry.name) or _virtual(entry)
        ignored = self.ignore.by(path)
        why = inherited or own
        if (why or ignored) and not inherited:
            self.left_out.append(LeftOut(f"{path}/", own or ignored))
        may = any(one.startswith(f"{path}/") for one in self.wanted)
        if may or not (why or (ignored and not self.ignore.takes_back)):
            if entry.is_symlink():
                raise ArtefactError(f"{path} is a link to a folder", fix="copy the folder in its place, or ignore it")
            yield from self.files(entry, f"{path}/", why)

    def _entries(self, folder: Path) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except OSError as error:
            raise ArtefactError(f"{folder} cannot be read: {error.strerror}", fix="check its permissions") from error

    def _check_kind(self, entry: Path, path: str) -> None:
        if entry.is_symlink():
            target = entry.resolve()
            if not target.is_file():
                raise ArtefactError(f"{path} is a link to nothing", fix="remove it, or name it in .shipwayignore")
            if not target.is_relative_to(self.root):
                raise ArtefactError(f"{path} is a link out of the folder", fix="copy the file in its place")
        elif not entry.is_file():  # named by `include`; reading a pipe would wait for ever
            raise ArtefactError(f"{path} is neither a file nor a folder", fix="leave it out of --include")


def _virtual(folder: Path) -> str:
    return "a virtual environment" if any((folder / name).exists() for name in _VIRTUAL) else ""


def _unwanted(file: Path) -> str:
    if file.suffix in (".pyc", ".pyo"):
        return "a cache"
    if not file.is_symlink() and not file.is_file():
        return "neither a file nor a folder"
    return _FILES.get(file.name, "")


def _secret(path: str, file: Path) -> str:
    return secret_by_name(path) or secret_by_content(path, _head(file, path, HEAD))


def _head(file: Path, path: str, size: int) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror}", fix="check its permissions") from error
