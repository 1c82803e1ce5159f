"""The store: content-addressed, versions count up, and neither a second writer nor a kill harms it."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from fakes.folders import write_folder
from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import check_files, read_folder, read_models
from shipway.bundle.store import Store
from shipway.errors import CorruptBlob, NotAStore, UnknownBundle, UsageError
from shipway.oci.descriptor import Index
from shipway.oci.digest import sha256_bytes
from shipway.oci.layout import Layout
from shipway.spec.manifest import File, Golden, Manifest
from shipway.spec.reference import NameReference, parse_reference
from shipway.spec.signature import Column, Method, Signature

SIGNATURE = Signature((Column("a", "float64"),), (Method("predict", (Column("predict", "float64"),)),))


def content(data: bytes = b"model") -> tuple[Manifest, Mapping[str, Path | bytes]]:
    files: dict[str, Path | bytes] = {"artefact/model.bin": data, "golden.json": b"{}"}
    listed = (
        File("artefact/model.bin", "artefact", sha256_bytes(data), len(data)),
        File("golden.json", "golden", sha256_bytes(b"{}"), 2),
    )
    manifest = Manifest(
        "fake", "Fake", "artefact/model.bin", "3.11", {}, SIGNATURE, listed, Golden("golden.json", 1, False)
    )
    return manifest, files


def add(store: Store, name: str = "m", data: bytes = b"model", *, new_version: bool = False) -> Bundle:
    return store.add(*content(data), name, notes={"created": "today"}, new_version=new_version).bundle


def find(store: Store, text: str) -> Bundle:
    reference = parse_reference(text)
    assert isinstance(reference, NameReference)
    return store.find(reference)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path / "store")


def test_the_same_content_is_the_same_version_and_digest(store: Store) -> None:
    first = store.add(*content(), "m", notes={"created": "today"})
    again = store.add(*content(), "m", notes={"created": "tomorrow"})
    assert (first.new, again.new) == (True, False)
    assert again.bundle.id == first.bundle.id
    assert again.bundle.notes == {"created": "today"}
    assert add(store, "other").id.digest == first.bundle.id.digest


def test_other_content_counts_up_and_the_newest_is_found(store: Store) -> None:
    assert [add(store, data=data).id.version for data in (b"1", b"2", b"3")] == [1, 2, 3]
    assert find(store, "m").id.version == 3
    assert find(store, "m:2").files["artefact/model.bin"].read_bytes() == b"2"
    assert [entry.id.version for entry in store.list("m")] == [1, 2, 3]


def test_a_new_version_of_the_same_content_is_had_by_asking(store: Store) -> None:
    first, second = add(store), add(store, new_version=True)
    assert (first.id.version, second.id.version) == (1, 2)
    assert first.id.digest == second.id.digest
    assert find(store, f"m@{first.id.digest}").id.version == 2


def test_a_removed_versions_number_is_not_given_again(store: Store) -> None:
    add(store, data=b"1")
    add(store, data=b"2")
    store.remove(NameReference("m", version=2))
    assert add(store, data=b"3").id.version == 3


def test_an_alias_moves_and_goes_with_its_version(store: Store) -> None:
    add(store, data=b"1")
    add(store, data=b"2")
    store.alias(NameReference("m", version=1), "champion")
    assert find(store, "m@champion").id.version == 1
    store.alias(NameReference("m", version=2), "champion")
    assert find(store, "m@champion").id.version == 2
    assert [entry.aliases for entry in store.list("m")] == [(), ("champion",)]
    store.remove(NameReference("m", version=2))
    with pytest.raises(UnknownBundle):
        find(store, "m@champion")


def test_two_versions_of_one_digest_keep_their_aliases_apart(store: Store) -> None:
    add(store)
    add(store, new_version=True)
    store.alias(NameReference("m", version=1), "old")
    assert find(store, "m@old").id.version == 1


def test_removing_a_name_removes_all_of_it_and_no_other(store: Store) -> None:
    add(store, data=b"1")
    add(store, data=b"2")
    add(store, "other")
    store.alias(NameReference("m", version=1), "champion")
    assert [bundle.version for bundle in store.remove(NameReference("m"))] == [1, 2]
    assert [entry.id.name for entry in store.list()] == ["other"]


@pytest.mark.parametrize(
    ("text", "fix"),
    [("mm", "did you mean 'm'?"), ("m:9", "1, 2"), ("m@champion", "1, 2"), ("m@sha256:" + "0" * 64, "1, 2")],
)
def test_what_is_not_there_is_answered_with_what_is(store: Store, text: str, fix: str) -> None:
    add(store, data=b"1")
    add(store, data=b"2")
    with pytest.raises(UnknownBundle) as caught:
        find(store, text)
    assert fix in caught.value.fix


def test_names_that_cannot_be_are_refused_before_anything_is_written(store: Store) -> None:
    with pytest.raises(UsageError):
        add(store, "Not A Name")
    with pytest.raises(UsageError):
        store.alias(NameReference("m"), "Cham pion")
    assert store.list() == ()


def test_a_folder_with_other_things_in_it_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(NotAStore):
        Store.at(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_that_changed_since_it_was_listed_is_refused(store: Store, tmp_path: Path) -> None:
    manifest, files = content()
    (tmp_path / "model.bin").write_bytes(b"other")
    with pytest.raises(CorruptBlob):
        store.add(manifest, {**files, "artefact/model.bin": tmp_path / "model.bin"}, "m", notes={})
    assert store.list() == ()


def test_check_finds_a_changed_and_a_missing_blob(store: Store) -> None:
    bundle = add(store)
    assert store.check() == ()
    blob = bundle.files["artefact/model.bin"]
    blob.chmod(0o644)
    blob.write_bytes(b"MODEL")
    assert len(store.check()) == 1
    with pytest.raises(CorruptBlob):
        check_files(find(store, "m"))
    blob.unlink()
    assert store.check()


def _add_many(path: str, worker: int) -> None:
    store = Store.at(Path(path))
    for number in range(10):
        add(store, data=f"{worker}-{number}".encode())


def test_two_writers_at_once_lose_nothing(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add_many, args=(str(store.layout.path), worker)) for worker in range(2)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(60)
        assert process.exitcode == 0
    assert [entry.id.version for entry in store.list("m")] == list(range(1, 21))
    assert store.check() == ()


def test_garbage_goes_and_what_is_named_stays(store: Store) -> None:
    add(store, data=b"1")
    kept = add(store, data=b"2")
    store.remove(NameReference("m", version=1))
    store.layout.collect_garbage(grace_seconds=0)
    assert store.check() == ()
    assert find(store, "m").id == kept.id
    assert not store.layout.has(sha256_bytes(b"1"), 1)


def test_other_tools_read_the_store(store: Store, tmp_path: Path) -> None:
    bundle = add(store)
    index = json.loads((store.layout.path / "index.json").read_text())
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "m:1"
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not here")
    command = ["skopeo", "copy", "--quiet", f"oci:{store.layout.path}:m:1", f"oci:{tmp_path / 'copy'}:m"]
    subprocess.run(command, check=True, capture_output=True)
    copied = json.loads((tmp_path / "copy" / "index.json").read_text())["manifests"][0]
    assert copied["digest"] == bundle.id.digest


def test_a_bundles_folder_is_the_same_bundle_but_not_packed_here(store: Store, tmp_path: Path) -> None:
    bundle = add(store)
    read = read_folder(write_folder(bundle, tmp_path / "models" / "m"))
    check_files(read)
    assert (read.id, read.manifest, read.oci_manifest) == (bundle.id, bundle.manifest, bundle.oci_manifest)
    assert (bundle.origin, read.origin) == ("packed", "foreign")
    assert read_models(tmp_path / "models") == (read,)


@pytest.mark.parametrize("name", ["id", "bundle.json", "oci-manifest.json", "artefact/model.bin"])
def test_a_changed_or_missing_part_of_a_folder_is_found(store: Store, tmp_path: Path, name: str) -> None:
    folder = write_folder(add(store), tmp_path / "m")
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace("a", "b") if "a" in text else text + "x")
    with pytest.raises((CorruptBlob, UsageError)):
        check_files(read_folder(folder))
    (folder / name).unlink()
    with pytest.raises(CorruptBlob):
        check_files(read_folder(folder))


def test_a_folder_without_bundles_is_said_to_be_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UnknownBundle, match="holds no bundle"):
            read_models(folder)


def test_a_bundle_that_is_removed_while_it_is_looked_up_is_found_or_not_but_never_half(store: Store) -> None:
    bundle = add(store)

    class Vanishing(Layout):
        asked = False

        def index(self) -> Index:
            asked, self.asked = self.asked, True
            return Index() if asked else super().index()

    assert Store(Vanishing(store.layout.path)).find(NameReference(bundle.id.name)).id == bundle.id
