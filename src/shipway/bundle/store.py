"""The store: an OCI image layout whose index names each bundle's versions and aliases.

A version is an entry of `index.json` with the tag `NAME:V`, an alias one with the tag `NAME@ALIAS`; several tags may
share a digest. So skopeo and oras can read and copy anything in it. What is not content (when it was packed, how well
the compiled form agreed) is an annotation of the entry and changes no digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from shipway.bundle.bundle import Bundle, Origin
from shipway.bundle.folder import inside
from shipway.errors import CorruptBlob, ShipwayError, UnknownBundle
from shipway.oci.descriptor import Descriptor, Index, OciManifest
from shipway.oci.layout import Layout
from shipway.spec.app import AnyManifest, read_manifest
from shipway.spec.reference import BundleId, NameReference, check_name
from shipway.spec.words import did_you_mean

__all__ = ["ARTIFACT_TYPE", "Added", "Entry", "Store", "check_parts"]

ARTIFACT_TYPE = "application/vnd.shipway.bundle.v1+json"
"""What a bundle is, among the artefacts of OCI."""

_CONFIG_TYPE = "application/vnd.shipway.bundle.manifest.v1+json"
_FILE_TYPE = "application/vnd.shipway.bundle.file.v1"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_TAG = "org.opencontainers.image.ref.name"
_TITLE = "org.opencontainers.image.title"
_NOTE = "io.shipway.note."
_ORIGIN = "io.shipway.origin"
# The highest version ever given to a name stands in the index, so that a removed version's number is not given again.
_LATEST = "io.shipway.latest."
_MANIFEST_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One version in the store.

    Attributes:
        id: name, version and digest.
        aliases: those that point at it, sorted.
        notes: what stands beside it.
    """

    id: BundleId
    aliases: tuple[str, ...]
    notes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a bundle that was added.

    Attributes:
        bundle: as it stands in the store.
        new: False where the same content was there already, under the same version.
    """

    bundle: Bundle
    new: bool


class Store:
    """Bundles with names, versions and aliases, in a folder.

    Args:
        layout: the folder.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @classmethod
    def at(cls, path: Path) -> Store:
        """Gives the store at `path`, made if nothing is there.

        Raises:
            NotAStore: something else is there.
        """
        return cls(Layout.create(path))

    @property
    def layout(self) -> Layout:
        """The folder, for those who read it as OCI."""
        return self._layout

    def add(
        self,
        manifest: AnyManifest,
        files: Mapping[str, Path | bytes],
        name: str,
        *,
        notes: Mapping[str, str],
        origin: Origin = "packed",
        new_version: bool = False,
    ) -> Added:
        """Adds a bundle under the next version of `name`; the same content again is the same version.

        Args:
            manifest: what it holds.
            files: the bytes of each of the manifest's files, or where they lie.
            name: the model's.
            notes: what stands beside it.
            origin: whether the owner of this store packed it.
            new_version: count up although the content is there already.

        Raises:
            UsageError: the name cannot be a model's.
            DiskFull: the store's disk is full; nothing is left behind that shows.
        """
        check_name(name)
        oci_manifest = self._write(manifest, files).to_json()
        return self._name(oci_manifest, name, notes=notes, origin=origin, new_version=new_version)

    def adopt(self, oci_manifest: bytes, name: str, *, notes: Mapping[str, str]) -> Added:
        """Adds a bundle of another store, whose blobs are in this one's folder already; it keeps its digest.

        Args:
            oci_manifest: exact bytes of its OCI manifest.
            name: what the model is called here.
            notes: what stands beside it.

        Raises:
            UsageError: the name cannot be a model's.
            CorruptBlob: it is no bundle, or a blob is missing or is not what the manifests say.
            DiskFull: the store's disk is full.
        """
        check_name(name)
        parsed = OciManifest.from_json(oci_manifest)
        check_parts(parsed, read_manifest(self._layout.read(parsed.config.digest, _MANIFEST_LIMIT)))
        return self._name(oci_manifest, name, notes=notes, origin="foreign", new_version=False)

    def _name(
        self, oci_manifest: bytes, name: str, *, notes: Mapping[str, str], origin: Origin, new_version: bool
    ) -> Added:
        digest, size = self._layout.put_bytes(oci_manifest)
        annotations = {_ORIGIN: origin, **{f"{_NOTE}{key}": value for key, value in notes.items()}}
        descriptor = Descriptor(_MANIFEST_TYPE, digest, size, annotations, artifact_type=ARTIFACT_TYPE)
        placed = _Placed(0, new=False)

        def edit(index: Index) -> Index:
            nonlocal placed
            changed, placed = _place(index, descriptor, name, new_version=new_version)
            return changed

        self._layout.update_index(edit)
        return Added(self.find(NameReference(name, version=placed.version)), placed.new)

    def holds(self, digest: str) -> bytes | None:
        """Gives the OCI manifest of the bundle with that digest, if it is in the store under any name."""
        if any(entry.id.digest == digest for entry in self.list()):
            return self._layout.read(digest, _MANIFEST_LIMIT)
        return None

    def list(self, name: str | None = None) -> tuple[Entry, ...]:
        """Gives the versions, by name and then by number; of one name, if given."""
        return tuple(entry for entry in _entries(self._layout.index()) if name in (None, entry.id.name))

    def find(self, reference: NameReference) -> Bundle:
        """Gives the bundle that `reference` names: the newest version where it says no more than the name.

        Raises:
            UnknownBundle: there is none; the fix names what is near.
            CorruptBlob: its manifest is not what its digest says.
        """
        index = self._layout.index()
        entry = _choose(index, reference)
        descriptor = next(d for d in index.manifests if _tag(d) == f"{entry.id.name}:{entry.id.version}")
        oci_manifest = self._layout.read(entry.id.digest, _MANIFEST_LIMIT)
        parsed = OciManifest.from_json(oci_manifest)
        manifest = read_manifest(self._layout.read(parsed.config.digest, _MANIFEST_LIMIT))
        files = {
            layer.annotations[_TITLE]: self._layout.blob(layer.digest)
            for layer in parsed.layers
            if _TITLE in layer.annotations
        }
        missing = [file.path for file in manifest.files if file.path not in files]
        if missing:
            raise CorruptBlob(f"{entry.id} lacks {missing[0]!r}", fix="shipway store check")
        origin: Origin = "packed" if descriptor.annotations.get(_ORIGIN) == "packed" else "foreign"
        return Bundle(entry.id, manifest, files, oci_manifest, origin, entry.notes)

    def alias(self, reference: NameReference, alias: str) -> BundleId:
        """Lets `alias` point at a version; it is moved if it points elsewhere.

        Raises:
            UnknownBundle: no such version.
            UsageError: the alias is no name.
        """
        check_name(alias, "alias")
        entry = _choose(self._layout.index(), reference)
        tag = f"{entry.id.name}@{alias}"

        def edit(index: Index) -> Index:
            target = next((d for d in index.manifests if _tag(d) == f"{entry.id.name}:{entry.id.version}"), None)
            if target is None:
                raise UnknownBundle(f"{entry.id} was removed meanwhile", fix="shipway list")
            others = tuple(d for d in index.manifests if _tag(d) != tag)
            # The version that an alias means is said too: two versions may have one digest.
            marked = replace(target, annotations={_TAG: tag, "io.shipway.version": str(entry.id.version)})
            return replace(index, manifests=(*others, marked))

        self._layout.update_index(edit)
        return entry.id

    def remove(self, reference: NameReference) -> tuple[BundleId, ...]:
        """Removes what `reference` names: an alias, one version, or all versions of a name, with their aliases.

        The bytes go with the next `collect_garbage`.

        Raises:
            UnknownBundle: there is nothing of that name.
        """
        if reference.alias:
            _choose(self._layout.index(), reference)
            self._remove_tags(lambda tag, _: tag == str(reference))
            return ()
        entry = _choose(self._layout.index(), reference)
        whole = reference.version is None and reference.digest is None
        gone = [e.id for e in self.list(entry.id.name) if whole or e.id == entry.id]
        versions = {str(bundle.version) for bundle in gone}

        def is_gone(tag: str, descriptor: Descriptor) -> bool:
            name, version, alias = _split(tag)
            version = descriptor.annotations.get("io.shipway.version", "") if alias else version
            return name == entry.id.name and version in versions

        self._remove_tags(is_gone)
        return tuple(gone)

    def check(self) -> tuple[str, ...]:
        """Reads every blob that the index reaches and gives what is wrong, one sentence each."""
        problems = [str(problem) for problem in self._layout.check()]
        for entry in self.list():
            try:
                self.find(NameReference(entry.id.name, version=entry.id.version))
            except ShipwayError as error:
                problems.append(f"{entry.id.name}:{entry.id.version}: {error.message}")
        return tuple(dict.fromkeys(problems))

    def collect_garbage(self) -> int:
        """Deletes blobs that nothing names any more; gives how many bytes that freed."""
        return self._layout.collect_garbage().size

    def _write(self, manifest: AnyManifest, files: Mapping[str, Path | bytes]) -> OciManifest:
        config_digest, config_size = self._layout.put_bytes(manifest.to_json())
        layers = []
        for file in manifest.files:
            source = files[file.path]
            digest, size = (
                self._layout.put_bytes(source) if isinstance(source, bytes) else self._layout.put_file(source)
            )
            if digest != file.digest:
                raise CorruptBlob(f"{file.path} was changed while it was packed", fix="pack it again")
            annotations = {_TITLE: file.path, "io.shipway.role": file.role}
            layers.append(Descriptor(media_type=_FILE_TYPE, digest=digest, size=size, annotations=annotations))
        return OciManifest(
            media_type=_MANIFEST_TYPE,
            artifact_type=ARTIFACT_TYPE,
            config=Descriptor(media_type=_CONFIG_TYPE, digest=config_digest, size=config_size),
            layers=tuple(layers),
        )

    def _remove_tags(self, is_gone: Callable[[str, Descriptor], bool]) -> None:
        def edit(index: Index) -> Index:
            return replace(index, manifests=tuple(d for d in index.manifests if not is_gone(_tag(d), d)))

        self._layout.update_index(edit)


def check_parts(parsed: OciManifest, manifest: AnyManifest) -> None:
    """Checks that the two manifests of a bundle name the same files.

    Raises:
        CorruptBlob: they do not, or a file's path leaves the bundle's folder.
    """
    layers = {layer.annotations.get(_TITLE, ""): (layer.digest, layer.size) for layer in parsed.layers}
    wrong = next((file.path for file in manifest.files if layers.get(file.path) != (file.digest, file.size)), "")
    if wrong or len(parsed.layers) != len(manifest.files):
        what = f"about {wrong!r}" if wrong else "in the number of files"
        raise CorruptBlob(f"the bundle's two manifests disagree {what}", fix="push it again from where it was packed")
    for file in manifest.files:
        inside(file.path)


class _Placed(NamedTuple):
    version: int
    new: bool


def _place(index: Index, descriptor: Descriptor, name: str, *, new_version: bool) -> tuple[Index, _Placed]:
    """Gives the index with a bundle under its version: the one that the same content has already, or the next."""
    digest = descriptor.digest
    same = [entry.id.version for entry in _entries(index) if (entry.id.name, entry.id.digest) == (name, digest)]
    if same and not new_version:
        return _with_origin(index, f"{name}:{max(same)}", descriptor), _Placed(max(same), new=False)
    version = int(index.annotations.get(f"{_LATEST}{name}", "0")) + 1
    tagged = replace(descriptor, annotations={_TAG: f"{name}:{version}", **descriptor.annotations})
    annotations = {**index.annotations, f"{_LATEST}{name}": str(version)}
    changed = replace(index, manifests=(*index.manifests, tagged), annotations=annotations)
    return changed, _Placed(version, new=True)


def _with_origin(index: Index, tag: str, added: Descriptor) -> Index:
    """Gives the index with a version marked as packed here where it now was, though it had been pulled before."""
    if added.annotations[_ORIGIN] != "packed":
        return index
    return replace(
        index,
        manifests=tuple(
            replace(d, annotations={**d.annotations, _ORIGIN: "packed"}) if _tag(d) == tag else d
            for d in index.manifests
        ),
    )


def _choose(index: Index, reference: NameReference) -> Entry:
    """Gives the version that `reference` means."""
    entries = list(_entries(index))
    of_name = [entry for entry in entries if entry.id.name == reference.name]
    if not of_name:
        names = {entry.id.name for entry in entries}
        raise UnknownBundle(
            f"the store has no model {reference.name!r}",
            fix=did_you_mean(reference.name, names) or f"shipway pack MODEL --name {reference.name}",
        )
    matching = [entry for entry in of_name if _matches(entry, reference)]
    if not matching:
        versions = ", ".join(str(entry.id.version) for entry in of_name)
        raise UnknownBundle(
            f"the store has no {reference}", fix=f"{reference.name} has versions {versions}: shipway list"
        )
    if reference.digest and len({entry.id.digest for entry in matching}) > 1:
        raise UnknownBundle(f"{reference} could be several bundles", fix="write more digits of the digest")
    return matching[-1]


def _matches(entry: Entry, reference: NameReference) -> bool:
    if reference.version is not None:
        return entry.id.version == reference.version
    if reference.alias is not None:
        return reference.alias in entry.aliases
    return reference.digest is None or entry.id.digest.startswith(reference.digest)


def _entries(index: Index) -> Iterable[Entry]:
    """Gives the versions that an index names, in order; entries of other tools are passed over."""
    aliases: dict[tuple[str, str], list[str]] = {}
    versions: list[tuple[BundleId, Descriptor]] = []
    for descriptor in index.manifests:
        name, version, alias = _split(_tag(descriptor))
        if alias:
            aliases.setdefault((name, descriptor.annotations.get("io.shipway.version", "")), []).append(alias)
        elif version.isdigit():
            versions.append((BundleId(name, int(version), descriptor.digest), descriptor))
    for bundle, descriptor in sorted(versions, key=lambda pair: (pair[0].name, pair[0].version)):
        notes = {
            key.removeprefix(_NOTE): value for key, value in descriptor.annotations.items() if key.startswith(_NOTE)
        }
        yield Entry(bundle, tuple(sorted(aliases.get((bundle.name, str(bundle.version)), ()))), notes)


def _tag(descriptor: Descriptor) -> str:
    return descriptor.annotations.get(_TAG, "")


def _split(tag: str) -> tuple[str, str, str]:
    """Gives the name, version and alias of a tag; two of them empty where it is another tool's."""
    name, _, alias = tag.partition("@")
    name, _, version = name.partition(":")
    return name, version, alias
