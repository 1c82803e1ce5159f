"""Images: a base and three layers, the same from the same, and written so that others read them."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from fakes.images import PYTHON_ROOT, add_image, make_app_bundle, make_bundle
from shipway.bundle.bundle import Bundle
from shipway.bundle.folder import check_files, read_folder
from shipway.errors import MachineError, MissingDependency, UsageError
from shipway.image.base import BaseImage, read_base
from shipway.image.build import BUNDLE_LABEL, Image, build, check_size, server_files
from shipway.image.cache import Cache
from shipway.image.dockerfile import context
from shipway.image.lock import Lock, LockedWheel
from shipway.image.output import load, write_archive, write_layout
from shipway.oci.archive import read_archive
from shipway.oci.descriptor import IMAGE_CONFIG, INDEXES, LAYER_TAR_GZIP, MANIFEST, OciManifest
from shipway.oci.layout import Layout
from shipway.spec.contract import Contract
from shipway.spec.image import ImageConfig, ImageReference, Platform

NAME = ImageReference.parse("registry.test/team/tiny:1")
EMPTY_LOCK = Lock("", ())


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "store")


def base_in(folder: Path, *, docker: bool = False, platform: str = "amd64") -> BaseImage:
    add_image(Layout.create(folder / "base"), [PYTHON_ROOT], docker=docker, platform=Platform.parse(platform))

    def no_pull(*_: object) -> object:
        raise AssertionError

    return read_base(str(folder / "base"), Platform.parse(platform), Cache(folder / "cache"), no_pull)  # type: ignore[arg-type]


def build_in(folder: Path, bundle: Bundle, **options: object) -> Image:
    return build(bundle, Contract(), base_in(folder, **options), EMPTY_LOCK, Cache(folder / "cache"))  # type: ignore[arg-type]


def unpack(image: Image, folder: Path, layers: slice = slice(None)) -> None:
    for layer in image.layers[layers]:
        with tarfile.open(image.blobs[layer.descriptor.digest]) as tar:
            tar.extractall(folder, filter="data")


def test_two_builds_in_two_folders_give_the_same_digest(tmp_path: Path, bundle: Bundle) -> None:
    first, second = (build_in(tmp_path / name, bundle) for name in ("one", "two"))
    assert (first.manifest, first.config) == (second.manifest, second.config)


def test_only_the_model_changes_and_only_its_layer_does(tmp_path: Path, bundle: Bundle) -> None:
    first = build_in(tmp_path / "a", bundle)
    second = build_in(tmp_path / "a", make_bundle(tmp_path / "other", b"retrained"))
    changed = [one.title for one, two in zip(first.layers, second.layers, strict=True) if one != two]
    assert changed == ["bundle tiny"]


def test_the_image_holds_the_bundle_as_a_folder(tmp_path: Path, bundle: Bundle) -> None:
    unpack(build_in(tmp_path, bundle), tmp_path / "root", slice(1, None))
    read = read_folder(tmp_path / "root" / "models" / "tiny")
    assert read.id == bundle.id
    check_files(read)


def test_the_server_starts_from_what_is_in_the_image(tmp_path: Path, bundle: Bundle) -> None:
    files = server_files()
    assert "shipway/serving/__main__.py" in files
    assert not [
        path for path in files if path.split("/")[1] in ("cli", "image", "oci", "deploy") or "__pycache__" in path
    ]
    unpack(build_in(tmp_path, bundle), tmp_path / "root", slice(1, None))
    code = "import shipway.serving.__main__ as m, sys; print(m.__file__); print(*sys.modules)"
    environment = {"PYTHONPATH": str(tmp_path / "root" / "opt" / "shipway" / "app")}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file, modules = done.stdout.splitlines()
    assert file.startswith(str(tmp_path))
    assert not {"httpx", "filelock", "sklearn", "pandas", "shipway.oci"} & set(modules.split())


def test_the_configuration_keeps_the_contract(tmp_path: Path, bundle: Bundle) -> None:
    contract = Contract()
    config = ImageConfig.from_json(build_in(tmp_path, bundle).config)
    run, environment = config.config, config.config.environment()
    assert (run.user, run.working_dir, run.stop_signal) == ("65532:65532", "/", "SIGTERM")
    assert run.entrypoint == contract.command("/usr/bin/python3")
    assert run.cmd is None
    assert run.exposed_ports == {"8000/tcp": {}}
    assert environment["PATH"] == "/usr/local/bin:/usr/bin"
    assert environment["LANG"] == "C.UTF-8"
    assert contract.environment.items() <= environment.items()
    labels = run.labels or {}
    assert labels[BUNDLE_LABEL] == str(bundle.id)
    assert labels["org.opencontainers.image.version"] == str(bundle.id.version)
    assert str(tmp_path) not in json.dumps(labels)


def test_the_manifest_fits_its_configuration_and_is_of_one_family(tmp_path: Path, bundle: Bundle) -> None:
    for docker in (False, True):
        image = build_in(tmp_path / str(docker), bundle, docker=docker)
        manifest, config = OciManifest.from_json(image.manifest), ImageConfig.from_json(image.config)
        assert (manifest.media_type, manifest.config.media_type) == (MANIFEST, IMAGE_CONFIG)
        assert {layer.media_type for layer in manifest.layers} == {LAYER_TAR_GZIP}
        assert config.rootfs.diff_ids == tuple(layer.diff_id for layer in image.layers)
        assert (
            len(manifest.layers) == len(config.rootfs.diff_ids) == sum(not e.empty_layer for e in config.history) == 4
        )
        assert b"docker" not in image.manifest
        assert manifest.config.digest == image.image_id


def test_the_bytes_that_it_adds_are_counted_and_limited(tmp_path: Path, bundle: Bundle) -> None:
    image = build_in(tmp_path, bundle)
    assert image.size - image.size_over_base == image.layers[0].descriptor.size
    check_size(image, image.size_over_base)
    with pytest.raises(UsageError, match="dependencies"):
        check_size(image, image.size_over_base - 1)


def test_a_layout_holds_the_image_under_its_tag_and_keeps_others(tmp_path: Path, bundle: Bundle) -> None:
    image = build_in(tmp_path, bundle)
    for tag in ("1", "2", "1"):
        assert (
            write_layout([image], tmp_path / "out", ImageReference("tiny", "", tag)).digest == image.descriptor.digest
        )
    layout = Layout.open(tmp_path / "out")
    assert [e.annotations["org.opencontainers.image.ref.name"] for e in layout.index().manifests] == ["2", "1"]
    assert layout.check() == []
    assert layout.read(image.descriptor.digest) == image.manifest


def test_several_platforms_are_one_index(tmp_path: Path, bundle: Bundle) -> None:
    images = [build_in(tmp_path / platform, bundle, platform=platform) for platform in ("amd64", "arm64")]
    entry = write_layout(images, tmp_path / "out", NAME)
    layout = Layout.open(tmp_path / "out")
    assert entry.media_type in INDEXES
    assert layout.check() == []
    for image in images:
        read = read_base(f"oci:{tmp_path / 'out'}:1", image.platform, Cache(tmp_path / "c"), None)  # type: ignore[arg-type]
        assert read.digest == image.descriptor.digest


def test_an_archive_is_the_same_each_time_and_is_read_back(tmp_path: Path, bundle: Bundle) -> None:
    image = build_in(tmp_path, bundle)
    entries = [write_archive([image], tmp_path / name, NAME) for name in ("a.tar", "b.tar")]
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    layout = Layout.create(tmp_path / "read")
    assert read_archive(tmp_path / "a.tar", layout, lambda chunks: chunks) == (entries[0],)
    assert layout.read(entries[0].digest) == image.manifest


def test_what_is_loaded_is_an_archive_with_its_name(tmp_path: Path, bundle: Bundle) -> None:
    given: list[tuple[Sequence[str], list[dict[str, list[str]]]]] = []

    def run(command: Sequence[str], stream: BinaryIO) -> subprocess.CompletedProcess[bytes]:
        with tarfile.open(fileobj=io.BytesIO(stream.read())) as tar:
            manifest = tar.extractfile("manifest.json")
            assert manifest
            given.append((command, json.loads(manifest.read())))
        return subprocess.CompletedProcess(command, 0, b"", b"")

    load(build_in(tmp_path, bundle), ImageReference.parse("tiny"), "docker", run)
    ((command, (manifest,)),) = given
    assert command == ["docker", "load"]
    assert manifest["RepoTags"] == ["tiny:latest"]


def test_a_tool_that_is_missing_or_fails_is_said(tmp_path: Path, bundle: Bundle) -> None:
    image = build_in(tmp_path, bundle)
    with pytest.raises(MissingDependency):
        load(image, NAME, "no-such-tool")
    failed = subprocess.CompletedProcess[bytes]([], 1, b"", b"no daemon")
    with pytest.raises(MachineError, match="no daemon"):
        load(image, NAME, "docker", lambda command, stream: failed)


def test_other_tools_read_the_layout(tmp_path: Path, bundle: Bundle) -> None:
    if not shutil.which("skopeo"):
        pytest.skip("needs skopeo")
    write_layout([build_in(tmp_path, bundle)], tmp_path / "out", NAME)
    source = f"oci:{tmp_path / 'out'}:1"
    done = subprocess.run(["skopeo", "copy", source, f"docker-archive:{tmp_path / 'd.tar'}:x:1"], capture_output=True)
    assert done.returncode == 0, done.stderr
    read_archive(tmp_path / "d.tar", Layout.create(tmp_path / "read"), lambda chunks: chunks)


def test_the_docker_context_is_whole_and_names_no_index(tmp_path: Path, bundle: Bundle) -> None:
    lock = Lock("", (LockedWheel("x", "1", "https://files.test/x.whl", "a" * 64, 1),))
    files = context(bundle, Contract(), lock, "3.11")
    dockerfile, requirements = files["Dockerfile"], files["requirements.txt"]
    assert isinstance(dockerfile, bytes)
    assert isinstance(requirements, bytes)
    text = dockerfile.decode()
    assert "files.test" not in text + requirements.decode()
    for line in (
        "EXPOSE 8000",
        "USER 65532:65532",
        "SHIPWAY_SERVER__HOST=0.0.0.0",
        "python:3.11-slim",
        '"shipway.serving"',
    ):
        assert line in text
    copied = [line.split()[1] for line in text.splitlines() if line.startswith("COPY ")]
    assert all(any(path == source or path.startswith(f"{source}/") for path in files) for source in copied)
    assert f"models/tiny/{bundle.model.artefact}" in files
    assert "RUN --mount" not in text  # it builds without BuildKit


def test_an_apps_image_leads_to_its_files_from_where_its_author_had_them(tmp_path: Path) -> None:
    bundle = make_app_bundle(
        tmp_path / "store", workdir="/code/api", port=5000, environment={"MODE": "x", "PATH": "/y"}
    )
    image = build(bundle, Contract.of(bundle.manifest), base_in(tmp_path), EMPTY_LOCK, Cache(tmp_path / "cache"))
    unpack(image, tmp_path / "root", slice(image.base_layers, None))
    link = tmp_path / "root" / "code" / "api"
    assert link.readlink() == Path("../models/tutorial/artefact")
    assert (link / "app.py").is_file()
    config = ImageConfig.from_json(image.config).config
    assert config.working_dir == "/code/api"
    assert set(config.exposed_ports or {}) == {"5000/tcp"}
    environment = config.environment()
    assert environment["MODE"] == "x"
    assert environment["PATH"] != "/y"
    assert environment["SHIPWAY_SERVER__PORT"] == "5000"


def test_a_folder_that_would_hide_the_systems_has_no_link(tmp_path: Path) -> None:
    bundle = make_app_bundle(tmp_path / "store", workdir="/etc")
    image = build(bundle, Contract.of(bundle.manifest), base_in(tmp_path), EMPTY_LOCK, Cache(tmp_path / "cache"))
    assert [layer.title for layer in image.layers[image.base_layers :]] == [
        "dependencies",
        "shipway",
        "bundle tutorial",
    ]
    assert ImageConfig.from_json(image.config).config.working_dir == "/"


def test_a_written_dockerfile_of_an_app_makes_the_link_and_quotes_its_variables(tmp_path: Path) -> None:
    bundle = make_app_bundle(tmp_path / "store", environment={"WORDS": 'a "b" $c'})
    text = context(bundle, Contract.of(bundle.manifest), EMPTY_LOCK, "3.11")["Dockerfile"]
    assert isinstance(text, bytes)
    assert "os.symlink('/models/tutorial/artefact', '/app')" in text.decode()
    assert r'WORDS="a \"b\" \$c"' in text.decode()
