"""Wheels: fetched by hash, unpacked by their own lists and never outside, compiled to the same bytes each time."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from shipway.errors import CorruptBlob, RemoteError
from shipway.image import wheels
from shipway.image.cache import Cache
from shipway.image.layer import Source, read_source
from shipway.image.lock import LockedWheel
from shipway.image.wheels import bytecode_tag, fetch_wheels, unpack_wheel, with_bytecode


def wheel_of(file: Path, members: Mapping[str, bytes], record: list[str] | None = None) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        lines = [f"{name},," for name in (record if record is not None else [*members, "x-1.dist-info/RECORD"])]
        archive.writestr("x-1.dist-info/RECORD", "\n".join(lines))
    return file


def contents(files: Mapping[str, Source]) -> dict[str, bytes]:
    return {path: read_source(source) for path, source in files.items()}


def test_both_library_folders_become_one_and_scripts_stay_behind(tmp_path: Path) -> None:
    members = {"x/a.py": b"1", "x-1.data/purelib/x/b.py": b"2", "x-1.data/platlib/x/c.so": b"3",
               "x-1.data/scripts/run": b"4", "x-1.data/headers/x.h": b"5", "x-1.data/data/etc/passwd": b"6",
               "x/__pycache__/a.pyc": b"7"}  # fmt: skip
    found = contents(unpack_wheel(wheel_of(tmp_path / "x.whl", members), "x"))
    found.pop("x-1.dist-info/RECORD")
    assert found == {"x/a.py": b"1", "x/b.py": b"2", "x/c.so": b"3"}


def test_what_no_server_needs_is_left_out(tmp_path: Path) -> None:
    members = {"onnxruntime/capi/libonnxruntime.so.1.32.0": b"", "onnxruntime/capi/_pybind_state.py": b"",
               "onnxruntime/capi/onnxruntime_pybind11_state.so": b"", "onnxruntime/tools/a.py": b"",
               "onnxruntime/capi/libonnxruntime_providers_shared.so": b""}  # fmt: skip
    file = wheel_of(tmp_path / "x.whl", members)
    found = unpack_wheel(file, "onnxruntime").keys() - {"x-1.dist-info/RECORD"}
    assert found == {f"onnxruntime/capi/{name}" for name in (
        "_pybind_state.py", "onnxruntime_pybind11_state.so", "libonnxruntime_providers_shared.so")}  # fmt: skip
    assert unpack_wheel(file, "other").keys() >= members.keys()


def test_tests_of_numpy_go_and_its_testing_module_stays(tmp_path: Path) -> None:
    members = {"numpy/tests/a.py": b"", "numpy/_core/tests/data/x": b"", "numpy/testing/__init__.py": b""}
    found = unpack_wheel(wheel_of(tmp_path / "x.whl", members), "numpy")
    assert found.keys() - {"x-1.dist-info/RECORD"} == {"numpy/testing/__init__.py"}


@pytest.mark.parametrize(
    "name", ["../x.py", "/etc/passwd", "a/../../x", "C:/x", "a\\..\\x", "x-1.data/purelib/../../x"]
)
def test_a_wheel_that_names_a_path_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptBlob):
        unpack_wheel(wheel_of(tmp_path / "x.whl", {name: b""}), "x")


def test_a_file_that_is_not_listed_is_not_taken(tmp_path: Path) -> None:
    file = wheel_of(tmp_path / "x.whl", {"a.py": b"", "hidden.py": b""}, ["a.py"])
    assert unpack_wheel(file, "x").keys() == {"a.py"}


def test_a_listed_file_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(CorruptBlob, match=r"gone\.py"):
        unpack_wheel(wheel_of(tmp_path / "x.whl", {}, ["gone.py"]), "x")


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_wheel_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.whl").write_bytes(data)
    with pytest.raises(CorruptBlob):
        unpack_wheel(tmp_path / "x.whl", "x")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "_MAX_UNPACKED", 1 << 20)
    with pytest.raises(CorruptBlob, match="too large"):
        unpack_wheel(wheel_of(tmp_path / "x.whl", {"a": bytes(2 << 20)}), "x")


def locked(data: bytes, **changes: object) -> LockedWheel:
    fields: dict[str, object] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), **changes}
    return LockedWheel("x", "1", "https://files.test/x-1-py3-none-any.whl", **fields)  # type: ignore[arg-type]


def answering(data: bytes, status: int = 200) -> tuple[httpx.Client, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(status, content=data)

    return httpx.Client(transport=httpx.MockTransport(answer)), seen


def test_a_wheel_is_fetched_once(tmp_path: Path) -> None:
    client, seen = answering(b"wheel")
    first = fetch_wheels([locked(b"wheel")], Cache(tmp_path), client)
    assert [path.read_bytes() for path in first] == [b"wheel"]
    assert fetch_wheels([locked(b"wheel")], Cache(tmp_path), client) == first
    assert len(seen) == 1


@pytest.mark.parametrize("change", [{"size": 4}, {"size": 6}, {"sha256": "0" * 64}])
def test_a_wheel_that_is_not_what_the_lock_says_is_not_kept(tmp_path: Path, change: dict[str, object]) -> None:
    client, _ = answering(b"wheel")
    with pytest.raises(CorruptBlob):
        fetch_wheels([locked(b"wheel", **change)], Cache(tmp_path), client)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_wheel_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    client, _ = answering(b"", 404)
    with pytest.raises(RemoteError, match="x-1-py3-none-any"):
        fetch_wheels([locked(b"wheel")], Cache(tmp_path), client)


SOURCE = b'def f(x):\n    """Doc."""\n    return x in {"b", "a", "c"} or 0.1\n\n\nclass A:\n    a: int = 1\n'


def test_bytecode_is_what_python_runs(tmp_path: Path) -> None:
    for path, data in contents(with_bytecode({"m.py": SOURCE}, "r")).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "m.py").write_text("raise SystemExit('the source was read')")  # so it must come from the bytecode
    code = "import m; print(m.__cached__); print(m.f('a'))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [importlib.util.cache_from_source(str(tmp_path / "m.py")), "True"]


def test_bytecode_does_not_depend_on_what_else_the_process_did() -> None:
    code = (
        "import sys, random; from shipway.image.wheels import with_bytecode\n"
        "names = [sys.intern(n) for n in ('f', 'x', 'Doc.', 'a', 'b', 'c', 'A')] if sys.argv[1] == '1' else []\n"
        f"made = with_bytecode({{'m.py': {SOURCE!r}}}, 'r')\n"
        "sys.stdout.buffer.write(made[[p for p in made if p.endswith('.pyc')][0]])"
    )
    made = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
        done = subprocess.run([sys.executable, "-c", code, seed], env=environment, capture_output=True, check=True)
        made.add(done.stdout)
    assert len(made) == 1


def test_what_does_not_compile_stays_a_file() -> None:
    assert with_bytecode({"t.py": b"print '", "d.txt": b"", "n.py": b"\0"}, "r").keys() == {"t.py", "d.txt", "n.py"}


def test_bytecode_is_made_for_this_python_only() -> None:
    assert bytecode_tag(f"{sys.version_info.major}.{sys.version_info.minor}").startswith("cpython ")
    assert bytecode_tag("3.0") == ""
