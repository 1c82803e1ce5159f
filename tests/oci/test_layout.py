"""A layout: content appears whole or not at all, and no writer harms another."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from shipway.errors import CorruptBlob, DiskFull, NotAStore, StoreError
from shipway.oci.descriptor import INDEX, MANIFEST, Descriptor, Index, OciManifest
from shipway.oci.digest import sha256_bytes
from shipway.oci.layout import Content, Layout

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "layout")


def add(layout: Layout, data: bytes) -> Descriptor:
    """Stores a manifest with one layer and names it in the index."""
    layer = Descriptor("a/b", *layout.put_bytes(data))
    config = Descriptor("a/c", *layout.put_bytes(b"{}"))
    entry = Descriptor(MANIFEST, *layout.put_bytes(OciManifest(config, (layer,)).to_json()))
    layout.update_index(lambda index: msgspec.structs.replace(index, manifests=(*index.manifests, entry)))
    return entry


def age(layout: Layout, seconds: float = 7200) -> None:
    before = time.time() - seconds
    for path in (layout.path / "blobs").rglob("*"):
        os.utime(path, (before, before))


def files(layout: Layout) -> set[str]:
    return {path.name for path in (layout.path / "blobs" / "sha256").iterdir()}


def test_creating_again_changes_nothing(layout: Layout) -> None:
    add(layout, b"one")
    before = layout.index()
    assert Layout.create(layout.path).index() == before
    assert Layout.open(layout.path).index() == before


def test_a_new_layout_is_as_the_specification_says(layout: Layout) -> None:
    assert msgspec.json.decode((layout.path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert layout.index() == Index()


@pytest.mark.parametrize("header", [b"", b"{}", b"[]", b'{"imageLayoutVersion": "2.0.0"}', b"x" * 5000])
def test_a_folder_with_a_strange_header_is_no_layout(layout: Layout, header: bytes) -> None:
    (layout.path / "oci-layout").write_bytes(header)
    with pytest.raises(NotAStore):
        Layout.open(layout.path)


def test_a_folder_with_other_files_is_neither_opened_nor_taken(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(NotAStore) as caught:
        Layout.open(tmp_path)
    assert caught.value.fix
    with pytest.raises(NotAStore):
        Layout.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_what_is_put_is_read_back(layout: Layout, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 3_000_000)
    assert layout.put_file(file) == layout.put_bytes(file.read_bytes()) == layout.put_stream([b"x" * 1_000_000] * 3)
    content = layout.put_file(file)
    assert layout.read(content.digest, content.size) == file.read_bytes()
    assert layout.blob(content.digest).read_bytes() == file.read_bytes()


def test_a_blob_that_is_there_is_not_written_again(layout: Layout) -> None:
    digest, _ = layout.put_bytes(b"same")
    inode = layout.blob(digest).stat().st_ino
    layout.put_bytes(b"same")
    layout.put_stream([b"sa", b"me"])
    assert layout.blob(digest).stat().st_ino == inode


def test_storing_again_mends_a_damaged_blob(layout: Layout) -> None:
    digest, _ = layout.put_bytes(b"true")
    layout.blob(digest).write_bytes(b"fals")
    assert layout.put_bytes(b"true").digest == digest
    assert layout.read(digest) == b"true"


def test_reading_checks_bytes_size_and_presence(layout: Layout) -> None:
    digest, _ = layout.put_bytes(b"true")
    with pytest.raises(CorruptBlob):
        layout.read(digest, limit=3)
    layout.blob(digest).write_bytes(b"fals")
    with pytest.raises(CorruptBlob):
        layout.read(digest)
    layout.blob(digest).unlink()
    with pytest.raises(CorruptBlob):
        layout.blob(digest)
    with pytest.raises(CorruptBlob):
        layout.blob("sha256:../../../etc/passwd")


@pytest.mark.parametrize("chunks", [[b"shor"], [b"short", b"er"], [b"other"]])
def test_a_stream_that_is_not_as_expected_leaves_nothing(layout: Layout, chunks: list[bytes]) -> None:
    with pytest.raises(CorruptBlob):
        layout.put_stream(chunks, expect=Content(sha256_bytes(b"short"), 5))
    assert files(layout) == set()


def test_a_stream_that_is_too_long_is_not_read_to_its_end(layout: Layout) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"x" * 1000

    with pytest.raises(CorruptBlob):
        layout.put_stream(endless(), expect=Content(sha256_bytes(b""), 10_000))


def test_a_failed_writer_leaves_nothing(layout: Layout) -> None:
    def broken() -> Iterator[bytes]:
        yield b"begun"
        raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(DiskFull) as caught:
        layout.put_stream(broken())
    assert caught.value.fix
    assert files(layout) == set()


@pytest.mark.skipif(not Path("/dev/full").exists() or os.geteuid() != 0, reason="needs a file system of its own")
def test_a_full_disk_is_said_and_harms_nothing(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount")
    try:
        layout = Layout.create(mount / "layout")
        entry = add(layout, b"small")
        with pytest.raises(DiskFull):
            layout.put_bytes(os.urandom(1_000_000))
        assert layout.index().manifests == (entry,)
        assert layout.check() == []
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_the_index_never_names_what_is_not_there(layout: Layout) -> None:
    kept = add(layout, b"kept")
    missing = Descriptor("a/b", sha256_bytes(b"never stored"), 12)
    manifest = OciManifest(Descriptor("a/c", *layout.put_bytes(b"{}")), (missing,))
    entry = Descriptor(MANIFEST, *layout.put_bytes(manifest.to_json()))
    for bad in (entry, missing):
        with pytest.raises(CorruptBlob):
            layout.update_index(lambda index, bad=bad: Index((*index.manifests, bad)))  # type: ignore[misc]
    assert layout.index().manifests == (kept,)


def test_an_edit_that_fails_changes_nothing(layout: Layout) -> None:
    kept = add(layout, b"kept")

    def fail(index: Index) -> Index:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        layout.update_index(fail)
    assert layout.index().manifests == (kept,)
    add(layout, b"the lock is free again")


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"x" * (33 << 20)], ids=["empty", "cut", "deep", "huge"])
def test_a_damaged_index_is_said(layout: Layout, text: bytes) -> None:
    (layout.path / "index.json").write_bytes(text)
    with pytest.raises(CorruptBlob):
        layout.index()


def test_check_finds_nothing_in_a_sound_layout(layout: Layout) -> None:
    add(layout, b"one")
    assert layout.check() == []


def test_check_finds_each_way_of_being_wrong(layout: Layout) -> None:
    entry = add(layout, b"one")
    layer = layout.manifest(entry).layers[0]
    layout.blob(layer.digest).write_bytes(b"two")
    (problem,) = layout.check()
    assert problem.subject == layer.digest
    layout.blob(layer.digest).unlink()
    (problem,) = layout.check()
    assert (problem.subject, problem.message) == (layer.digest, "is missing")
    layout.blob(entry.digest).write_bytes(b"{}")
    assert entry.digest in {problem.subject for problem in layout.check()}


def test_an_index_that_names_itself_ends(layout: Layout) -> None:
    digest = sha256_bytes(b"no text can hold its own digest")
    forged = Index((Descriptor(INDEX, digest, 10),)).to_json()
    (layout.path / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(forged)
    (layout.path / "index.json").write_bytes(forged)
    assert {problem.subject for problem in layout.check()} == {digest}


def test_garbage_goes_and_all_that_is_named_stays(layout: Layout) -> None:
    entry = add(layout, b"kept")
    digest, _ = layout.put_bytes(b"garbage")
    (layout.path / "blobs" / "sha256" / ".tmp-killed").write_bytes(b"half")
    age(layout)
    assert layout.collect_garbage() == (2, len(b"garbage") + len(b"half"))
    assert not layout.has(digest, len(b"garbage"))
    assert layout.check() == []
    assert layout.index().manifests == (entry,)


def test_garbage_of_a_writer_at_work_stays(layout: Layout) -> None:
    new = layout.put_bytes(b"just written")
    old = layout.put_bytes(b"written long ago")
    age(layout)
    assert layout.put_bytes(b"written long ago") == old  # somebody needs it again, so its age starts anew
    layout.put_bytes(b"just written")
    layout.collect_garbage()
    assert layout.has(*new)
    assert layout.has(*old)


def test_nothing_is_collected_when_a_manifest_cannot_be_read(layout: Layout) -> None:
    entry = add(layout, b"kept")
    layout.put_bytes(b"garbage")
    layout.blob(entry.digest).write_bytes(b"{}")
    age(layout)
    before = files(layout)
    with pytest.raises(CorruptBlob):
        layout.collect_garbage()
    assert files(layout) == before


def run_python(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, stdout=subprocess.PIPE)


WRITER = """
import sys
from pathlib import Path
from shipway.oci.descriptor import Descriptor, Index
from shipway.oci.layout import Layout
layout = Layout.create(Path(sys.argv[1]))
print("ready", flush=True)
for number in range(int(sys.argv[3])):
    content = layout.put_bytes(f"{number}".encode() * 10_000)  # the same blobs as the other writer's
    entry = Descriptor("a/b", *content, annotations={"who": f"{sys.argv[2]} {number}"})
    layout.update_index(lambda index: Index((*index.manifests, entry)))
"""


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    writers = [run_python(WRITER, str(tmp_path / "new"), who, "25") for who in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    layout = Layout.open(tmp_path / "new")
    assert {entry.annotations["who"] for entry in layout.index().manifests} == {
        f"{w} {n}" for w in "ab" for n in range(25)
    }
    assert layout.check() == []
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("milliseconds", [1, 13, 40])
def test_a_kill_at_any_moment_harms_nothing(layout: Layout, milliseconds: int) -> None:
    entry = add(layout, b"before")
    writer = run_python(WRITER, str(layout.path), "killed", "100000")
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(milliseconds / 1000)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    assert layout.check() == []
    assert layout.index().manifests[0] == entry
    add(layout, b"after")
    layout.collect_garbage(grace_seconds=-1)
    assert layout.check() == []
    assert not any(name.startswith(".tmp-") for name in files(layout))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_said(layout: Layout) -> None:
    (layout.path / "blobs" / "sha256").chmod(0o500)
    with pytest.raises(StoreError):
        layout.put_bytes(b"x")
