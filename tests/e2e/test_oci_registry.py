"""The registry client against Debian's docker-registry; skopeo and umoci read what is pushed. All on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest

from e2e.registry_program import AUTHORITY, HTPASSWD, LOGIN, needs_registry, running_registry
from fakes.images import add_image
from shipway.errors import RemoteError
from shipway.oci import upload as upload_room
from shipway.oci.credentials import Credentials
from shipway.oci.descriptor import INDEX, REF_NAME, Descriptor, Index
from shipway.oci.layout import Layout
from shipway.oci.registry import Registry, open_registry
from shipway.oci.transfer import pull, push
from shipway.spec.image import Platform

pytestmark = [pytest.mark.e2e, needs_registry]
needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="apt-get install skopeo")
needs_umoci = pytest.mark.skipif(shutil.which("umoci") is None, reason="apt-get install umoci")

MODEL = "models/model.bin"


@dataclass
class Running:
    """A registry that runs, and how one signs in; `tls` where it has a certificate, which `SSL_CERT_FILE` trusts."""

    host: str
    login: tuple[str, str] | None
    tls: bool

    @property
    def skopeo(self) -> list[str]:
        return ["--creds", ":".join(self.login)] if self.login else []


@pytest.fixture(scope="module", params=["open", "htpasswd", "tls"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    tls = request.param == "tls"
    login = None if request.param == "open" else LOGIN
    with (
        pytest.MonkeyPatch.context() as environment,
        running_registry(tmp_path_factory.mktemp("registry"), HTPASSWD if login else None, tls=tls) as host,
    ):
        if tls:
            environment.setenv("SSL_CERT_FILE", str(AUTHORITY))
        yield Running(host, login, tls)


@pytest.fixture
def registry(running: Running) -> Iterator[Registry]:
    credentials = Credentials(*running.login) if running.login else None
    with open_registry(running.host, lambda host, repository: credentials) as opened:
        yield opened


@pytest.fixture
def local(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path / "local")


def image(layout: Layout, model: bytes, **options: object) -> Descriptor:
    return add_image(layout, [{"etc/base": b"base" * 20_000}, {MODEL: model}], **options)  # type: ignore[arg-type]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_was_pushed_comes_back_byte_for_byte(registry: Registry, local: Layout, tmp_path: Path) -> None:
    entries = (image(local, b"amd"), image(local, b"arm", platform=Platform("arm64", "linux")))
    top = Descriptor(INDEX, *local.put_bytes(Index(entries).to_json()))
    push(registry, "a/index", ("1", "latest"), top, local)
    back = Layout.create(tmp_path / "back")
    found = pull(registry, "a/index", "latest", back)
    back.update_index(lambda index: Index((found,)))
    assert found.digest == top.digest
    assert back.check() == []
    assert registry.tags("a/index") == ("1", "latest")


def test_only_what_is_missing_is_sent_and_the_rest_is_mounted(registry: Registry, local: Layout) -> None:
    first, second = image(local, b"1"), image(local, b"2")
    push(registry, "a/saving", ("1",), first, local)
    pushed = push(registry, "a/saving", ("2",), second, local)
    manifest = local.manifest(second)
    assert pushed.sent_bytes == second.size + manifest.config.size + manifest.layers[1].size
    assert pushed.skipped_bytes == manifest.layers[0].size
    elsewhere = push(registry, "b/saving", ("2",), second, local, mount_from=("a/saving",))
    assert elsewhere.sent_bytes == second.size
    assert elsewhere.mounted_bytes == sum(part.size for part in manifest.references)


def test_dockers_types_are_taken(registry: Registry, local: Layout, tmp_path: Path) -> None:
    entry = image(local, b"docker", docker=True)
    push(registry, "a/docker", ("1",), entry, local)
    assert pull(registry, "a/docker", "1", Layout.create(tmp_path / "back")).media_type == entry.media_type


def test_a_blob_in_chunks_arrives(registry: Registry, local: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_room, "_CHUNK", 100_000)
    entry = add_image(local, [os.urandom(1_000_000)])
    push(registry, "a/chunks", ("1",), entry, local)
    assert registry.has_blob("a/chunks", local.manifest(entry).layers[0])


def test_an_upload_goes_on_where_the_real_registry_was_cut_off(
    registry: Registry, local: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed in the middle of a body, twice; the registry is asked what it has."""
    entry = add_image(local, [os.urandom(3_000_000)])
    blob = local.manifest(entry).layers[0]
    cuts = [1_000_000, 500_000]
    whole = upload_room._File.read

    def read(self: upload_room._File, start: int, end: int) -> Iterator[bytes]:
        left = cuts.pop(0) if cuts else None
        for block in whole(self, start, end):
            if left is not None:
                left -= len(block)
                if left < 0:
                    raise httpx.WriteError("cut")
            yield block

    monkeypatch.setattr(upload_room._File, "read", read)
    placed = registry.put_blob("a/cut", blob, local.blob(blob.digest))
    assert registry.has_blob("a/cut", blob)
    assert cuts == []
    assert placed.sent_bytes < 1.5 * blob.size


def test_an_unknown_tag_is_said(registry: Registry) -> None:
    with pytest.raises(RemoteError, match="MANIFEST_UNKNOWN"):
        registry.manifest("a/index", "nowhere")


def test_who_has_no_password_is_told_how_to_sign_in(running: Running, local: Layout) -> None:
    if running.login is None:
        pytest.skip("this one asks nobody")
    for credentials in (None, Credentials("user", "wrong")):
        with open_registry(running.host, lambda *_, found=credentials: found) as registry:
            with pytest.raises(RemoteError) as caught:
                push(registry, "a/denied", ("1",), image(local, b"1"), local)
            assert "docker login" in caught.value.fix


def test_a_certificate_that_nobody_trusts_is_refused(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    if not running.tls:
        pytest.skip("this one has no certificate")
    monkeypatch.delenv("SSL_CERT_FILE")
    with open_registry(running.host, lambda *_: pytest.fail("signs in")) as registry:
        with pytest.raises(RemoteError) as caught:
            registry.tags("a/index")
        assert "SSL_CERT_FILE" in caught.value.fix


@needs_skopeo
def test_skopeo_reads_and_copies_what_was_pushed(
    running: Running, registry: Registry, local: Layout, tmp_path: Path
) -> None:
    entry = image(local, b"skopeo")
    push(registry, "a/skopeo", ("1",), entry, local)
    source = f"docker://{running.host}/a/skopeo:1"
    facts = msgspec.json.decode(run("skopeo", "inspect", "--tls-verify=false", *running.skopeo, source))
    assert facts["Digest"] == entry.digest
    assert facts["Layers"] == [layer.digest for layer in local.manifest(entry).layers]
    credentials = ["--src-creds", *running.skopeo[1:]] if running.login else []
    run("skopeo", "copy", "--src-tls-verify=false", *credentials, source, f"oci:{tmp_path / 'copy'}:1")
    copied = Layout.open(tmp_path / "copy")
    assert copied.index().manifests[0].digest == entry.digest
    assert copied.check() == []


@needs_skopeo
def test_what_skopeo_pushed_is_pulled(running: Running, registry: Registry, local: Layout, tmp_path: Path) -> None:
    entry = image(local, b"theirs", tag="1")
    credentials = ["--dest-creds", *running.skopeo[1:]] if running.login else []
    target = f"docker://{running.host}/a/theirs:1"
    run("skopeo", "copy", "--dest-tls-verify=false", *credentials, f"oci:{local.path}:1", target)
    assert pull(registry, "a/theirs", "1", Layout.create(tmp_path / "back")).digest == entry.digest


@needs_umoci
def test_umoci_unpacks_what_came_back(registry: Registry, local: Layout, tmp_path: Path) -> None:
    push(registry, "a/umoci", ("1",), image(local, b"the model"), local)
    back = Layout.create(tmp_path / "back")
    found = pull(registry, "a/umoci", "1", back, platform=Platform("amd64", "linux"))
    named = msgspec.structs.replace(found, annotations={REF_NAME: "1"})
    back.update_index(lambda index: Index((named,)))
    run("umoci", "unpack", "--rootless", "--image", f"{back.path}:1", str(tmp_path / "bundle"))
    assert (tmp_path / "bundle" / "rootfs" / MODEL).read_bytes() == b"the model"
