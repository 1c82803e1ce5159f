"""A bundle's layer: what was packed comes out, and a layer that is anything else does no harm."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.images import make_bundle
from shipway.bundle import unpack
from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import folder_files
from shipway.bundle.store import Store
from shipway.bundle.unpack import unpack_bundle
from shipway.errors import CorruptBlob, ShipwayError
from shipway.image.layer import gzip_chunks, tar_chunks
from shipway.oci.descriptor import LAYER_TAR, LAYER_TAR_GZIP, LAYER_TAR_ZSTD, Descriptor
from shipway.oci.layout import Layout
from shipway.spec.reference import BundleId

Files = dict[str, bytes]
ROOT = "models/tiny"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "origin")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "store")


def files_of(bundle: Bundle) -> Files:
    return {
        f"{ROOT}/{path}": source if isinstance(source, bytes) else source.read_bytes()
        for path, source in folder_files(bundle).items()
    }


def unpack_tar(
    data: bytes, bundle: BundleId, layout: Layout, media_type: str = LAYER_TAR, place: str = "layer"
) -> bytes:
    blob = layout.path.parent / place
    blob.write_bytes(data)
    return unpack_bundle(blob, Descriptor(media_type, "sha256:" + "0" * 64, len(data)), bundle, layout)


def tar(files: Mapping[str, bytes], *extra: tarfile.TarInfo, before: bool = False, end: bool = True) -> bytes:
    """Gives a tar of files in their order, with members that have no content behind or before them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info in extra if before else ():
            archive.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in () if before else extra:
            archive.addfile(info)
        if not end:
            return buffer.getvalue()
    return buffer.getvalue()


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def blobs(layout: Layout) -> set[str]:
    return {path.name for path in (layout.path / "blobs").rglob("*") if path.is_file()}


def test_the_layer_that_a_build_makes_gives_the_bundle_back(bundle: Bundle, store: Store) -> None:
    layer = b"".join(gzip_chunks(tar_chunks(files_of(bundle))))
    oci_manifest = unpack_tar(layer, bundle.id, store.layout, LAYER_TAR_GZIP)
    added = store.adopt(oci_manifest, "tiny", notes={})
    assert (added.bundle.id, added.bundle.manifest) == (bundle.id, bundle.manifest)
    assert added.bundle.origin == "foreign"
    assert {path: place.read_bytes() for path, place in added.bundle.files.items()} == {
        path: place.read_bytes() for path, place in bundle.files.items()
    }
    assert store.check() == ()


def test_a_build_puts_the_manifest_before_the_files_that_it_lists(bundle: Bundle) -> None:
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar_chunks(files_of(bundle))))) as archive:
        names = [info.name.removeprefix(f"{ROOT}/") for info in archive if info.isfile()]
    assert max(map(names.index, ("id", "bundle.json", "oci-manifest.json"))) < names.index("artefact/model.bin")


@pytest.mark.parametrize("prefix", ["", "./"])
@pytest.mark.parametrize("reverse", [False, True])
def test_other_tools_may_order_and_write_the_paths_otherwise(
    bundle: Bundle, store: Store, prefix: str, reverse: bool
) -> None:
    files = {f"{prefix}{path}": data for path, data in sorted(files_of(bundle).items(), reverse=reverse)}
    folders = [member(f"{prefix}models/tiny/artefact", tarfile.DIRTYPE), member("./", tarfile.DIRTYPE)]
    assert unpack_tar(tar(files, *folders), bundle.id, store.layout) == bundle.oci_manifest


def test_other_compressions_are_read(bundle: Bundle, store: Store) -> None:
    data = tar(files_of(bundle))
    packed = zstandard.compress(data)
    assert unpack_tar(packed, bundle.id, store.layout, LAYER_TAR_ZSTD) == bundle.oci_manifest
    docker = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    assert unpack_tar(gzip.compress(data), bundle.id, store.layout, docker) == bundle.oci_manifest


def test_a_name_that_is_too_long_for_a_plain_header_is_read(tmp_path: Path, store: Store) -> None:
    bundle = make_bundle(tmp_path / "long", name="n" * 63)
    files = {f"models/{'n' * 63}/{path}": source for path, source in folder_files(bundle).items()}
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
            for name, source in files.items():
                content = source if isinstance(source, bytes) else source.read_bytes()
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(content), 1.5 if form == tarfile.PAX_FORMAT else 1
                archive.addfile(info, io.BytesIO(content))
        assert unpack_tar(buffer.getvalue(), bundle.id, store.layout) == bundle.oci_manifest


def without(name: str) -> Callable[[Files], bytes]:
    return lambda files: tar({path: data for path, data in files.items() if path != f"{ROOT}/{name}"})


def changed(name: str, data: bytes) -> Callable[[Files], bytes]:
    return lambda files: tar({**files, f"{ROOT}/{name}": data})


def also(*extra: tarfile.TarInfo, before: bool = False, **more: bytes) -> Callable[[Files], bytes]:
    return lambda files: tar({**files, **more}, *extra, before=before)


HARMFUL: Mapping[str, tuple[Callable[[Files], bytes], str]] = {
    "a path outside": (lambda files: tar({**files, "models/tiny/../../etc/cron": b"x"}), "no part of the bundle"),
    "an absolute path": (lambda files: tar({**files, "/etc/cron": b"x"}), "no part of the bundle"),
    "a file of another model": (lambda files: tar({**files, "models/other/id": b"x"}), "no part of the bundle"),
    "a whiteout": (lambda files: tar({**files, f"{ROOT}/.wh.id": b""}), "no part of the bundle"),
    "a symbolic link": (also(member("models/tiny/artefact/x", tarfile.SYMTYPE, "/etc")), "neither a file nor a folder"),
    "a link before all": (also(member(ROOT, tarfile.SYMTYPE, "/etc"), before=True), "neither a file nor a folder"),
    "a hard link": (also(member(f"{ROOT}/x", tarfile.LNKTYPE, f"{ROOT}/id")), "neither a file nor a folder"),
    "a device": (also(member(f"{ROOT}/x", tarfile.CHRTYPE)), "neither a file nor a folder"),
    "a pipe": (also(member(f"{ROOT}/x", tarfile.FIFOTYPE)), "neither a file nor a folder"),
    "a folder too many": (also(member(f"{ROOT}/x", tarfile.DIRTYPE)), "no part of the bundle"),
    "a folder twice": (also(*[member(ROOT, tarfile.DIRTYPE)] * 2), "twice"),
    "a file as a folder": (also(member(f"{ROOT}/golden.json", tarfile.DIRTYPE), before=True), "no part of the bundle"),
    "a file twice": (lambda files: tar(files, end=False) + tar({f"{ROOT}/golden.json": b"{}"}), "twice"),
    "a file with other bytes": (changed("artefact/model.bin", b"mudel"), "came as"),
    "a file larger than said": (changed("artefact/model.bin", b"model" * 99), "its manifest says 5"),
    "a file smaller than said": (changed("artefact/model.bin", b""), "its manifest says 5"),
    "a missing file": (without("golden.json"), "lacks"),
    "a missing manifest": (without("bundle.json"), "lacks"),
    "another manifest": (changed("bundle.json", b"{}"), "is not what"),
    "another OCI manifest": (changed("oci-manifest.json", b"{}"), "is no OCI manifest"),
    "an id that is none": (changed("id", b"tiny"), "is no name:version"),
    "another id": (changed("id", b"tiny:1@sha256:" + b"0" * 64), "is not what"),
    "nothing": (lambda _: tar({}), "lacks"),
    "no tar": (lambda _: b"\0" * 100 + b"x" * 1000, "damaged"),
    "no bytes": (lambda _: b"", "damaged"),
    "half of it": (lambda files: tar(files)[:1000], "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("way", HARMFUL)
def test_a_layer_that_is_not_what_it_should_be_is_refused_and_never_becomes_a_bundle(
    bundle: Bundle, store: Store, way: str
) -> None:
    make, said = HARMFUL[way]
    with pytest.raises(CorruptBlob, match=said):
        unpack_tar(make(files_of(bundle)), bundle.id, store.layout)
    assert store.list() == ()
    assert not any(path.name not in {"layer", "store", "origin"} for path in store.layout.path.parent.iterdir())


def test_a_layer_with_another_bundle_than_the_image_names_is_refused(bundle: Bundle, store: Store) -> None:
    for named in (BundleId("tiny", 2, bundle.id.digest), BundleId("tiny", 1, "sha256:" + "1" * 64)):
        with pytest.raises(CorruptBlob, match="the image names"):
            unpack_tar(tar(files_of(bundle)), named, store.layout)


def bomb(size: int) -> bytes:
    """Gives a gzip of a tar with one member of zeros, as small as zeros get."""
    info = tarfile.TarInfo(f"{ROOT}/artefact/model.bin")
    info.size = size
    zeros = bytes(1 << 20)
    chunks = (zeros for _ in range(size >> 20))
    return b"".join(gzip_chunks([info.tobuf(), *chunks]))


def test_a_bomb_before_the_manifest_stops_at_the_limit(
    bundle: Bundle, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "_MAX_BEFORE", 4 << 20)
    with pytest.raises(CorruptBlob, match="unpacks to more than 4194304 bytes"):
        unpack_tar(bomb(64 << 20), bundle.id, store.layout, LAYER_TAR_GZIP)


def test_a_bomb_in_a_header_takes_no_memory(bundle: Bundle, store: Store) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
        info = member("x", kind)
        info.size = 64 << 20
        head = tar(files_of(bundle), end=False) + info.tobuf(tarfile.USTAR_FORMAT)
        data = b"".join(gzip_chunks([head, *[bytes(1 << 20)] * 64]))
        tracemalloc.start()
        with pytest.raises(CorruptBlob, match="has a header of 67108864 bytes"):
            unpack_tar(data, bundle.id, store.layout, LAYER_TAR_GZIP)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20


def test_a_bomb_behind_the_last_file_is_not_unpacked(bundle: Bundle, store: Store) -> None:
    data = b"".join(gzip_chunks([tar(files_of(bundle)), *[bytes(1 << 20)] * 64]))
    assert unpack_tar(data, bundle.id, store.layout, LAYER_TAR_GZIP) == bundle.oci_manifest


def test_a_file_with_holes_is_refused(bundle: Bundle, store: Store) -> None:
    files = files_of(bundle)
    info = tarfile.TarInfo(f"{ROOT}/artefact/sparse")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99999999999"}
    info.size = 512
    data = tar(files, end=False) + info.tobuf(tarfile.PAX_FORMAT) + b"1\n0\n0\n".ljust(512, b"\0") + bytes(1024)
    with pytest.raises(CorruptBlob, match="holes"):
        unpack_tar(data, bundle.id, store.layout)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_damage_is_an_error_of_ours_or_no_damage(bundle: Bundle, store: Store, data: st.DataObject) -> None:
    tarred = bytearray(tar(files_of(bundle)))
    for _ in range(data.draw(st.integers(1, 4))):
        tarred[data.draw(st.integers(0, len(tarred) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ShipwayError):
        assert unpack_tar(bytes(tarred), bundle.id, store.layout) == bundle.oci_manifest
    assert all(store.layout.is_intact(f"sha256:{name}") for name in blobs(store.layout))
