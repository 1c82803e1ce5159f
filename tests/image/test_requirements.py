"""What an image must have, and how uv is asked for it. uv itself is asked by the end-to-end tests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fakes.images import make_app_bundle, make_bundle
from shipway.errors import ArtefactError, RemoteError, VersionMismatch
from shipway.image.cache import Cache
from shipway.image.lock import Lock, Target
from shipway.image.requirements import APP_SERVER, SERVER, Needs, needs_of, pins_of, resolve
from shipway.spec.image import Platform

AMD64 = Target("3.11", Platform("amd64", "linux"), (2, 36))
ARM64 = Target("3.11", Platform("arm64", "linux"), (2, 36))
SHA = "a" * 64


def text_of(file: str = "x-1-py3-none-any.whl", *, name: str = "x", version: str = "1") -> str:
    kind = "wheels" if file.endswith(".whl") else "sdist"
    entry = f'{{ url = "https://files.test/{file}", size = 1, hashes = {{ sha256 = "{SHA}" }} }}'
    entry = f"[{entry}]" if kind == "wheels" else entry
    return f'lock-version = "1.0"\n[[packages]]\nname = "{name}"\nversion = "{version}"\n{kind} = {entry}\n'


def test_the_pins_are_what_the_model_needs_and_the_server(tmp_path: Path) -> None:
    pins = pins_of(make_bundle(tmp_path).model)
    assert set(pins) == set(SERVER)
    assert list(pins) == sorted(pins)


class Uv:
    """Answers as uv does."""

    def __init__(self, text: str, returncode: int = 0) -> None:
        self.text, self.returncode, self.asked = text, returncode, list[list[str]]()

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        self.asked.append(list(command))
        return subprocess.CompletedProcess(command, self.returncode, self.text.encode(), b"no solution\n  found")


def test_uv_is_asked_once_and_for_the_base(tmp_path: Path) -> None:
    uv, cache = Uv(text_of()), Cache(tmp_path)
    locks = [resolve(Needs.exactly({"x": "1"}), AMD64, cache, "", uv) for _ in range(2)]
    assert locks[0] == locks[1]
    (command,) = uv.asked
    assert command[command.index("--python-platform") + 1] == "x86_64-manylinux_2_36"
    assert command[command.index("--python-version") + 1] == "3.11"
    assert {"--generate-hashes", "--only-binary"} <= set(command)
    resolve(Needs.exactly({"x": "1"}), ARM64, cache, "", uv)
    assert len(uv.asked) == 2


def test_the_lock_says_what_it_was_made_for_and_is_read_again(tmp_path: Path) -> None:
    lock = resolve(Needs.exactly({"x": "1"}), AMD64, Cache(tmp_path), 'compressor = "zlib 1"\n', Uv(text_of()))
    assert Lock.parse(lock.text, AMD64) == lock
    assert 'compressor = "zlib 1"' in lock.text


def test_older_versions_without_a_word_are_an_error_and_are_not_kept(tmp_path: Path) -> None:
    uv = Uv(text_of())
    for _ in range(2):
        with pytest.raises(VersionMismatch):
            resolve(Needs.exactly({"x": "2"}), AMD64, Cache(tmp_path), "", uv)
    assert len(uv.asked) == 2


def test_what_uv_says_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="no solution found"):
        resolve(Needs.exactly({"x": "1"}), AMD64, Cache(tmp_path), "", Uv("", 1))


def asked_in(command: Sequence[str]) -> str:
    return Path(command[command.index("compile") + 1]).read_text()


def test_an_app_needs_its_requirements_and_the_server_and_prefers_what_is_here(tmp_path: Path) -> None:
    bundle = make_app_bundle(tmp_path, requirements=("flask",), versions={"Flask": "3.0.0"})
    needs = needs_of(bundle)
    assert needs.requirements[0] == "flask"
    assert {"flask", *APP_SERVER} <= {text.partition(">")[0] for text in needs.requirements}
    assert not any("numpy" in text for text in needs.requirements)
    assert needs.preferred["flask"] == "3.0.0"
    assert needs.pins == {}
    assert needs.where["flask"] == "requirements.txt:1"


def test_websockets_come_with_an_app_that_opens_them_and_no_other(tmp_path: Path) -> None:
    plain = make_app_bundle(tmp_path / "a", interface="asgi")
    assert "websockets" not in needs_of(plain).preferred
    assert "websockets" in " ".join(
        needs_of(make_app_bundle(tmp_path / "b", interface="asgi", websockets=True)).requirements
    )


def test_what_is_preferred_lies_where_uv_looks_for_it_and_what_moved_is_known(tmp_path: Path) -> None:
    def uv(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        output = Path(command[command.index("--output-file") + 1])
        assert 'name = "x"\nversion = "2"' in output.read_text()
        output.write_text(text_of())
        return subprocess.CompletedProcess(command, 0, b"", b"")

    needs = Needs(("x",), preferred={"x": "2", "y": "1"})
    lock = resolve(needs, AMD64, Cache(tmp_path), "", uv)
    assert needs.moved(lock) == ("x 1 (here 2)",)


def says(words: str) -> Callable[[Sequence[str]], subprocess.CompletedProcess[bytes]]:
    return lambda command: subprocess.CompletedProcess(
        command, 1, b"", f"error: No solution found\n  cause: {words}\n".encode()
    )


NEEDS = Needs(
    ("fastapi==0.100", "starlette==0.36", "flaks", "uvicorn>=0.30"),
    where={
        "fastapi==0.100": "requirements.txt:1",
        "starlette==0.36": "requirements.txt:2",
        "flaks": "requirements.txt:3",
    },
    sources=True,
)
# As uv 0.13 says them; see the end-to-end tests for the real ones.
CONFLICT = (
    "Because fastapi==0.100.0 depends on starlette>=0.27.0,<0.28.0 and you require fastapi==0.100, we can conclude that"
    " you require starlette>=0.27.0,<0.28.0. And because you require starlette==0.36, we can conclude that your"
    " requirements are unsatisfiable."
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (CONFLICT, ("requirements.txt:1 (fastapi==0.100) and requirements.txt:2 (starlette==0.36) disagree",
                    "fastapi==0.100.0 needs starlette>=0.27.0,<0.28.0")),
        ("Because flaks was not found in the package registry and you require flaks, …",
         ("requirements.txt:3 (flaks): there is no package flaks", "did you mean 'flask'?")),
        ("Because there is no version of starlette==0.36 and you require starlette==0.36, …",
         ("requirements.txt:2 (starlette==0.36): no version of starlette fits",)),
        ("Because only fastapi<=0.99 is available and you require fastapi==0.100, …",
         ("requirements.txt:1 (fastapi==0.100): no version of fastapi fits",)),
        ("Because you require starlette==0.36 and starlette>1, your requirements are unsatisfiable.",
         ("requirements.txt:2",)),
    ],
)  # fmt: skip
def test_what_cannot_be_resolved_names_the_authors_lines(tmp_path: Path, words: str, said: tuple[str, ...]) -> None:
    with pytest.raises((ArtefactError, RemoteError)) as caught:
        resolve(NEEDS, AMD64, Cache(tmp_path), "", says(words))
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_the_source_is_asked_for_only_of_what_has_no_wheel(tmp_path: Path) -> None:
    asked: list[Sequence[str]] = []

    def uv(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        if "--no-binary" in command:
            return subprocess.CompletedProcess(command, 0, text_of("x-1.tar.gz").encode(), b"")
        return says("Because all versions of x have no usable wheels and you require x, …")(command)

    lock = resolve(Needs(("x",), sources=True), AMD64, Cache(tmp_path), "", uv)
    assert [wheel.is_source for wheel in lock.wheels] == [True]
    assert asked[1][asked[1].index("--no-binary") + 1] == "x"


def test_constraints_reach_uv_and_another_constraint_is_another_question(tmp_path: Path) -> None:
    read: list[str] = []

    def uv(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        read.append(Path(command[command.index("--constraint") + 1]).read_text())
        return subprocess.CompletedProcess(command, 0, text_of().encode(), b"")

    for limit in ("numpy<2", "numpy<3", "numpy<2"):
        resolve(Needs(("x",), constraints=(limit,), sources=True), AMD64, Cache(tmp_path), "", uv)
    assert read == ["numpy<2\n", "numpy<3\n"]


def test_a_constraint_of_an_app_goes_into_its_needs_with_its_line(tmp_path: Path) -> None:
    bundle = make_app_bundle(
        tmp_path, requirements=("flask",), constraints=("werkzeug<3",),
        others={"requirements.txt": "flask\n-c limits.txt\n", "limits.txt": "# old\nwerkzeug<3\n"},
    )  # fmt: skip
    needs = needs_of(bundle)
    assert needs.constraints == ("werkzeug<3",)
    assert needs.where == {"flask": "requirements.txt:1", "werkzeug<3": "limits.txt:2"}


def test_a_constraint_that_cannot_be_kept_is_named_with_its_line(tmp_path: Path) -> None:
    # As uv 0.13 says it of flask==3.1.0 and the constraint werkzeug<3.1.
    words = (
        "Because flask==3.1.0 depends on werkzeug>=3.1 and flask==3.1.0 depends on werkzeug<3.1, we can conclude that"
        " flask==3.1.0 cannot be used. And because numpy>=1 and werkzeug<3.1, we can conclude nothing"
        " more. And because you require flask==3.1.0, we can conclude that your requirements are unsatisfiable."
    )
    where = {"flask==3.1.0": "requirements.txt:1", "werkzeug<3.1": "limits.txt:1"}
    needs = Needs(("flask==3.1.0", "numpy"), constraints=("werkzeug<3.1",), where=where, sources=True)
    with pytest.raises(ArtefactError) as caught:
        resolve(needs, AMD64, Cache(tmp_path), "", says(words))
    assert caught.value.message == (
        "requirements.txt:1 (flask==3.1.0) and limits.txt:1 (werkzeug<3.1) disagree: flask==3.1.0 needs werkzeug>=3.1"
    )


def test_what_has_neither_wheel_nor_source_is_said_to(tmp_path: Path) -> None:
    words = "Because flaks==2.4.0 has no wheels with a matching Python ABI tag, your requirements are unsatisfiable."
    with pytest.raises(ArtefactError, match=r"requirements.txt:3 .*no wheel for Python 3.11 .*no source"):
        resolve(NEEDS, AMD64, Cache(tmp_path), "", says(words))


def test_a_source_that_does_not_build_needs_a_compiler_and_the_way_out_is_said(tmp_path: Path) -> None:
    words = "Because all versions of flaks have no usable wheels; Failed to build `flaks==1`"
    with pytest.raises(ArtefactError, match="needs a compiler") as caught:
        resolve(NEEDS, AMD64, Cache(tmp_path), "", says(words))
    assert "--with-dockerfile" in caught.value.fix


def test_a_models_image_takes_no_source(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="no wheels"):
        resolve(Needs.exactly({"x": "1"}), AMD64, Cache(tmp_path), "", says("Because x==1 has no usable wheels"))
