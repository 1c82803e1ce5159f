"""Wheels become files of an image: fetched by address and hash, unpacked by their own lists, compiled to bytecode.

Sources: the wheel format, https://packaging.python.org/en/latest/specifications/binary-distribution-format/; bytecode
files, PEP 552.
"""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import importlib.util
import marshal
import platform
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from shipway.errors import CorruptBlob, RemoteError
from shipway.image.cache import Cache
from shipway.image.layer import Source, read_source
from shipway.image.lock import LockedWheel
from shipway.image.sdist import wheel_of
from shipway.oci.files import publish, temporary

if TYPE_CHECKING:
    import httpx

__all__ = ["RULES", "bytecode_tag", "fetch_wheels", "unpack_wheel", "with_bytecode"]

RULES = "1"
"""Part of the dependencies' cache key: change it with anything here that changes which files are kept."""

LEFT_OUT: Mapping[str, Sequence[str]] = {
    # The pybind module has the runtime linked in; the library beside it serves C programs. None of the folders is
    # imported by `import onnxruntime`.
    "onnxruntime": (
        "onnxruntime/capi/libonnxruntime.so*",
        *(f"onnxruntime/{folder}/*" for folder in ("backend", "datasets", "quantization", "tools", "transformers")),
    ),
    "numpy": ("numpy/*tests/*",),
    "scipy": ("scipy/*tests/*",),
    "scikit-learn": ("sklearn/*tests/*",),
    "pandas": ("pandas/tests/*",),
    "joblib": ("joblib/test/*",),
}
"""What no server needs of a distribution, by patterns of its files. Only what was seen to be unneeded stands here."""

_MAX_FILES, _MAX_UNPACKED = 100_000, 4 << 30
_THREADS, _CHUNK = 4, 1 << 20


def fetch_wheels(wheels: Sequence[LockedWheel], cache: Cache, client: httpx.Client | None = None) -> list[Path]:
    """Gives the wheels' files, in their order; what the cache has is not fetched again.

    Args:
        wheels: with their addresses and hashes; of a source archive, its wheel is made.
        cache: where they are kept.
        client: how they are fetched; by default one of its own.

    Raises:
        RemoteError: one cannot be had.
        CorruptBlob: one is not what the lock says.
        ArtefactError: the wheel of a source archive cannot be made.
    """
    missing = [wheel for wheel in wheels if not cache.wheel(wheel.sha256, wheel.filename).is_file()]
    if missing:
        import httpx

        with (
            client or httpx.Client(follow_redirects=True, timeout=30) as session,
            ThreadPoolExecutor(_THREADS) as pool,
        ):
            list(pool.map(lambda wheel: _fetch(wheel, cache, session), missing))
    files = [(wheel, cache.wheel(wheel.sha256, wheel.filename)) for wheel in wheels]
    return [wheel_of(wheel, file, cache) if wheel.is_source else file for wheel, file in files]


def _fetch(wheel: LockedWheel, cache: Cache, client: httpx.Client) -> None:
    import httpx

    target = cache.wheel(wheel.sha256, wheel.filename)
    hasher, size = hashlib.sha256(), 0
    try:
        with temporary(target.parent) as stream, client.stream("GET", wheel.url) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes(_CHUNK):
                size += len(chunk)
                if size > wheel.size:
                    break
                hasher.update(chunk)
                stream.write(chunk)
            if size != wheel.size or hasher.hexdigest() != wheel.sha256:
                raise CorruptBlob(f"{wheel.filename} is not what the lock says", fix="make a new lock")
            publish(stream, target)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RemoteError(
            f"{wheel.filename} cannot be fetched: {str(error) or type(error).__name__}",
            fix="check the network, then try again",
        ) from error


def unpack_wheel(path: Path, name: str) -> dict[str, Source]:
    """Gives the files that a wheel puts into site-packages, by path, to be read when they are needed.

    The list is the wheel's own RECORD. Scripts, headers and data of the system are left out, and so is `LEFT_OUT`.

    Args:
        path: the wheel.
        name: of its distribution, in its normal form.

    Raises:
        CorruptBlob: it is no wheel, names a path outside, or would unpack to more than 4 GiB.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member.file_size for member in archive.infolist()}
            if len(members) > _MAX_FILES or sum(members.values()) > _MAX_UNPACKED:
                raise CorruptBlob(f"{path.name} would unpack to too many or too large files")
            records = [member for member in members if member.endswith(".dist-info/RECORD") and member.count("/") == 1]
            if len(records) != 1:
                raise CorruptBlob(f"{path.name} is no wheel: it has no RECORD")
            rows = list(csv.reader(archive.read(records[0]).decode("utf-8").splitlines()))
    except (zipfile.BadZipFile, OSError, ValueError, csv.Error, NotImplementedError, RuntimeError) as error:
        raise CorruptBlob(f"{path.name} is no wheel: {error}") from error
    files: dict[str, Source] = {}
    for member in (row[0] for row in rows if row):
        if member not in members:
            raise CorruptBlob(f"{path.name} lacks {member[:100]!r}, which its RECORD names")
        target = _place(member, path.name)
        if target and not any(fnmatch.fnmatchcase(target, pattern) for pattern in LEFT_OUT.get(name, ())):
            files[target] = _reader(path, member)
    return files


def _place(member: str, wheel: str) -> str | None:
    """Gives where in site-packages a member of a wheel belongs, or None where it belongs elsewhere or nowhere."""
    pure = PurePosixPath(member)
    if pure.is_absolute() or ".." in pure.parts or "\\" in member or ":" in pure.parts[0]:
        raise CorruptBlob(f"{wheel} names {member[:100]!r}, which lies outside of where it is unpacked")
    if pure.parts[0].endswith(".data"):
        return str(PurePosixPath(*pure.parts[2:])) if pure.parts[1:2] in (("purelib",), ("platlib",)) else None
    if "__pycache__" in pure.parts or pure.suffix == ".pyc":
        return None
    return str(pure)


def _reader(wheel: Path, member: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with zipfile.ZipFile(wheel) as archive:
                return archive.read(member)
        except (zipfile.BadZipFile, OSError, RuntimeError) as error:
            raise CorruptBlob(f"{wheel.name} is damaged: {error}", fix="delete it, then try again") from error

    return read


def bytecode_tag(python: str) -> str:
    """Gives what the bytecode for that Python (major.minor) would depend on; empty where this one cannot make it."""
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"cpython {platform.python_version()}" if sys.implementation.name == "cpython" and mine == python else ""


def with_bytecode(files: Mapping[str, Source], root: str) -> dict[str, Source]:
    """Gives the files and the bytecode of each module among them, since a server on a read-only root cannot keep it.

    It is marked as never to be checked against the source: the layer holds both. Version 2 of marshal's format is the
    last without references, which depend on what else this process has loaded; so the same source gives the same bytes.

    Args:
        files: by path below `root`.
        root: folder in the image, for tracebacks.
    """
    return {**files, **dict(_bytecode(files, root))}


def _bytecode(files: Mapping[str, Source], root: str) -> Iterator[tuple[str, Source]]:
    tag = sys.implementation.cache_tag
    for path, source in files.items():
        if path.endswith(".py"):
            pure = PurePosixPath(path)
            code = _compile(source, f"/{root}/{path}")
            if code is not None:
                yield str(pure.parent / "__pycache__" / f"{pure.stem}.{tag}.pyc"), code


def _compile(source: Source, name: str) -> bytes | None:
    text = read_source(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(text, name, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):  # a template, or for another Python; it is a file like others
        return None
    unchecked_hash = (1).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked_hash + importlib.util.source_hash(text) + marshal.dumps(code, 2)
