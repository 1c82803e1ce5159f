"""The image that a build starts from, and what a builder must know of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shipway.errors import CorruptBlob, NotAStore, UsageError
from shipway.image.cache import Cache
from shipway.image.layer import gzip_chunks
from shipway.image.lock import Target
from shipway.image.root import File, Folder, Root, read_root
from shipway.oci.archive import read_archive
from shipway.oci.descriptor import REF_NAME, Descriptor, OciManifest
from shipway.oci.layout import Layout
from shipway.oci.platforms import choose_image
from shipway.spec.image import ImageConfig, ImageReference, Platform

__all__ = ["BaseFacts", "BaseImage", "Pull", "find_image", "read_base", "read_facts"]

Pull = Callable[[ImageReference, Platform, Layout], Descriptor]
"""Fetches an image from its registry into a layout; gives the descriptor of its manifest."""

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT = re.compile(
    r"(etc|usr/lib)/os-release|(usr/)?lib(64|32)?/([^/]+-linux-gnu[^/]*/)?(libc\.so\.6|libc-2\.[0-9]+\.so|ld-musl-[^/]+)"
)
_LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1")
_FIX = "use a base with Python and glibc, such as the slim variant of the official Python image"


class BaseFacts(msgspec.Struct, frozen=True):
    """What a base has.

    Attributes:
        python: path of its interpreter.
        python_version: major.minor.
        glibc: its version; None where the C library is another one.
        distribution: `debian 12`; empty where it does not say.
        missing: shared libraries that compiled wheels expect of every Linux and that it lacks.
    """

    python: str
    python_version: str
    glibc: tuple[int, int] | None
    distribution: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BaseImage:
    """A base, checked, for one platform.

    Attributes:
        name: its reference in a registry; empty where it came from a file.
        digest: of its manifest.
        manifest: layers and configuration.
        config: the configuration itself.
        facts: what is in it.
        layout: where its blobs are.
    """

    name: str
    digest: str
    manifest: OciManifest
    config: ImageConfig
    facts: BaseFacts
    layout: Layout

    @property
    def target(self) -> Target:
        """What wheels must fit to run in it.

        Raises:
            UsageError: its C library is not glibc, or it lacks a library that wheels expect.
        """
        if self.facts.glibc is None:
            raise UsageError("the base's C library is not glibc, and onnxruntime has wheels for no other", fix=_FIX)
        if self.facts.missing:
            raise UsageError(
                f"the base lacks {' and '.join(self.facts.missing)}, which numpy or onnxruntime need", fix=_FIX
            )
        return Target(self.facts.python_version, self.config.platform, self.facts.glibc)


def read_base(reference: str, platform: Platform, cache: Cache, pull: Pull) -> BaseImage:
    """Reads a base and checks every byte of it; what is known of a base by its digest is found out once.

    Args:
        reference: `oci:PATH[:TAG]`, a layout folder, an image archive, or a name in a registry.
        platform: which of its images.
        cache: where what is not in a layout goes.
        pull: how a registry is asked.

    Raises:
        UsageError: it has no image for the platform, or no Python; or nothing is there.
        CorruptBlob: something is missing or not what its digest says.
        RemoteError: the registry does not answer as it should.
    """
    name = ""
    path = Path(reference)
    if reference.startswith("oci:"):
        path, tag = _split_layout(reference.removeprefix("oci:"))
        descriptor, layout = _from_layout(path, tag, platform)
    elif path.is_dir():
        descriptor, layout = _from_layout(path, "", platform)
    elif path.is_file():
        layout = cache.layout()
        entries = read_archive(path, layout, gzip_chunks)
        descriptor = choose_image(entries, platform, lambda entry: layout.read(entry.digest))
    elif re.search(r"^[.~/\\]|^[A-Za-z]:\\|\.tar(\.gz)?$", reference):
        raise UsageError(
            f"{reference} is not there", fix="--base FILE.tar, --base oci:FOLDER or --base REGISTRY/NAME:TAG"
        )
    else:
        image = ImageReference.parse(reference).for_registry()
        layout, name = cache.layout(), str(image)
        descriptor = pull(image, platform, layout)
    manifest = layout.manifest(descriptor)
    try:
        config = ImageConfig.from_json(layout.read(manifest.config.digest))
    except UsageError as error:
        raise CorruptBlob(f"the base's configuration is damaged: {error.message}", fix=_FIX) from error
    facts = cache.recall(BaseFacts, _RULES, descriptor.digest)
    if facts is None:
        if len(manifest.layers) != len(config.rootfs.diff_ids):
            raise CorruptBlob("the base has another number of layers than its configuration says", fix=_FIX)
        root = read_root(list(zip(manifest.layers, config.rootfs.diff_ids, strict=True)), layout, _KEPT)
        facts = read_facts(root, config)
        cache.remember(facts, _RULES, descriptor.digest)
    return BaseImage(name, descriptor.digest, manifest, config, facts, layout)


def find_image(reference: str, cache: Cache) -> tuple[Descriptor, Layout]:
    """Finds the one image, of however many platforms, that an archive or a layout folder holds.

    Args:
        reference: `FILE.tar`, `oci:PATH[:TAG]` or the path of a layout folder.
        cache: where the blobs of an archive go.

    Returns:
        What names it, with its tag as an annotation; and where its blobs are.

    Raises:
        UsageError: there is none, or there are several.
        CorruptBlob: the archive is damaged.
    """
    path = Path(reference).expanduser()
    if not reference.startswith("oci:") and path.is_file():
        layout = cache.layout()
        entries = read_archive(path, layout, gzip_chunks)
    else:
        path, tag = _split_layout(reference.removeprefix("oci:"))
        entries, layout = _entries(path.expanduser(), tag, "the folder", "")
    if len({entry.digest for entry in entries}) != 1:
        raise UsageError(f"{reference} holds several images", fix=f"name one: oci:{path}:TAG")
    return entries[0], layout


_RULES = "1"
"""Part of the cache's key: change it with what `read_facts` finds."""


def read_facts(root: Root, config: ImageConfig) -> BaseFacts:
    """Finds out what a builder must know of a base.

    Raises:
        UsageError: it has no Python of version 3.11 or newer.
    """
    python, version = _find_python(root, config.config.environment().get("PATH", _DEFAULT_PATH))
    libraries = _libraries(root)
    missing = tuple(name for name in _LIBRARIES if name not in libraries)
    return BaseFacts(python, version, _find_glibc(libraries), _find_distribution(root), missing)


def _split_layout(text: str) -> tuple[Path, str]:
    """Splits `PATH[:TAG]`; a colon may also belong to the path."""
    path, colon, tag = text.rpartition(":")
    if not colon or Path(text).is_dir() or "/" in tag or "\\" in tag:
        return Path(text), ""
    return Path(path), tag


def _from_layout(path: Path, tag: str, platform: Platform) -> tuple[Descriptor, Layout]:
    entries, layout = _entries(path, tag, "the base", "--base ")
    return choose_image(entries, platform, lambda entry: layout.read(entry.digest)), layout


def _entries(path: Path, tag: str, what: str, option: str) -> tuple[tuple[Descriptor, ...], Layout]:
    """Gives the entries of a layout's index that a tag names: all of them where they have one tag, or none."""
    try:
        layout = Layout.open(path)
    except NotAStore as error:
        raise UsageError(
            f"{what} {path} is no OCI image layout", fix="name a layout folder or an image archive"
        ) from error
    entries = layout.index().manifests
    tags = list(dict.fromkeys(entry.annotations[REF_NAME] for entry in entries if REF_NAME in entry.annotations))
    if tag:
        entries = tuple(entry for entry in entries if entry.annotations.get(REF_NAME) == tag)
    if not entries or (not tag and len(tags) > 1):
        wrong = f"has no tag {tag!r}" if tag else "holds several images" if entries else "holds no image"
        raise UsageError(
            f"{what} {path} {wrong}; its tags: {', '.join(tags[:20]) or 'none'}", fix=f"{option}oci:{path}:TAG"
        )
    return entries, layout


def _find_python(root: Root, search: str) -> tuple[str, str]:
    """Gives path and version (major.minor) of the first Python on the search path."""
    found = ""
    for folder in search.split(":"):
        names = [name for name in root.names(folder) if re.fullmatch(r"python3(\.[0-9]+)?", name)]
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            real = root.resolve(path)
            if not folder.startswith("/") or real is None or not isinstance(root.find(path), File):
                continue
            version = _python_version(root, real)
            if version and tuple(map(int, version.split("."))) >= (3, 11):
                return path, version
            found = found or f"Python {version or 'of an unknown version'}"
    raise UsageError(f"the base has {found or 'no Python'}, and Shipway needs Python 3.11 or newer", fix=_FIX)


def _python_version(root: Root, path: str) -> str:
    """Reads the version from the interpreter's name, else from the library beside it."""
    folder, _, name = path.rpartition("/")
    match = re.fullmatch(r"python(3\.[0-9]+)", name)
    if match:
        return match[1]
    library = folder.removesuffix("/bin") + "/lib"
    versions = [
        entry.removeprefix("python") for entry in root.names(library) if re.fullmatch(r"python3\.[0-9]+", entry)
    ]
    return versions[0] if len(versions) == 1 else ""


def _libraries(root: Root) -> dict[str, bytes | None]:
    """Gives the shared libraries in the folders of the system, with the contents that were kept."""
    found: dict[str, bytes | None] = {}
    for top in ("lib", "usr/lib", "lib64", "usr/lib64", "usr/local/lib"):
        folders = [
            top,
            *(f"{top}/{name}" for name in root.names(top) if re.fullmatch(r"[^/]+-linux-(gnu|musl)[^/]*", name)),
        ]
        for folder in folders:
            for name in root.names(folder):
                if ".so" in name or name.startswith("ld-"):
                    node = root.find(f"{folder}/{name}")
                    if node is not None and not isinstance(node, Folder) and not found.get(name):
                        found[name] = node.content
    return found


def _find_glibc(libraries: dict[str, bytes | None]) -> tuple[int, int] | None:
    for name, content in libraries.items():
        if match := re.fullmatch(r"libc-2\.([0-9]+)\.so", name):
            return 2, int(match[1])
        if name == "libc.so.6" and content:
            text = re.search(rb"GNU C Library [^\n\0]{0,200}version ([0-9]+)\.([0-9]+)", content)
            if text:
                return int(text[1]), int(text[2])
    return None


def _find_distribution(root: Root) -> str:
    node = root.find("etc/os-release") or root.find("usr/lib/os-release")
    if not isinstance(node, File) or not node.content:
        return ""
    lines = node.content.decode("utf-8", "replace").splitlines()
    values = {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}
    return f"{values.get('ID', '')} {values.get('VERSION_ID', '')}".strip()
