"""Names, platforms and configurations of images."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import UsageError
from shipway.spec.image import History, ImageConfig, ImageReference, Platform, RootFilesystem, RunConfig

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "normal"),
    [("amd64", "linux/amd64"), ("x86_64", "linux/amd64"), ("linux/x86-64", "linux/amd64"), ("aarch64", "linux/arm64"),
     ("linux/arm64/v8", "linux/arm64"), ("Linux/AMD64/v1", "linux/amd64"), ("arm", "linux/arm/v7"),
     ("armel", "linux/arm/v6"), ("linux/amd64/v3", "linux/amd64/v3")],
)  # fmt: skip
def test_a_platform_has_one_name(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal
    assert Platform.parse(normal) == Platform.parse(text)


@pytest.mark.parametrize("text", ["", "/", "linux/", "linux/amd64/v1/x", "li nux/amd64", "linux//v1"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("machine", "image", "runs"),
    [("amd64", "amd64", True), ("amd64", "amd64/v3", False), ("amd64/v3", "amd64/v2", True),
     ("amd64/v3", "amd64", True), ("arm/v7", "arm/v6", True), ("arm/v6", "arm/v7", False),
     ("arm64", "arm64/v8", True), ("arm64", "arm/v7", False)],
)  # fmt: skip
def test_a_machine_runs_its_own_and_older_variants(machine: str, image: str, runs: bool) -> None:
    assert Platform.parse(f"linux/{machine}").runs(Platform.parse(f"linux/{image}")) is runs
    assert not Platform.parse(f"windows/{machine}").runs(Platform.parse(f"linux/{image}"))


@pytest.mark.parametrize(
    ("text", "host", "repository", "tag", "digest"),
    [("diabetes", "", "diabetes", "", ""),
     ("diabetes:1", "", "diabetes", "1", ""),
     ("team/diabetes:v1.0_a-b", "", "team/diabetes", "v1.0_a-b", ""),
     ("localhost/diabetes", "localhost", "diabetes", "", ""),
     ("localhost:5000/a/b:1", "localhost:5000", "a/b", "1", ""),
     ("registry.example/a__b/c-d.e:1", "registry.example", "a__b/c-d.e", "1", ""),
     ("[::1]:5000/a:1", "[::1]:5000", "a", "1", ""),
     (f"host:80/a:1@{DIGEST}", "host:80", "a", "1", DIGEST),
     (f"a@{DIGEST}", "", "a", "", DIGEST)],
)  # fmt: skip
def test_a_reference_has_its_parts(text: str, host: str, repository: str, tag: str, digest: str) -> None:
    reference = ImageReference.parse(text)
    assert reference == ImageReference(repository, host, tag, digest)
    assert str(reference) == text


@pytest.mark.parametrize(
    "text", ["", "A", "a//b", "a:", "a:-x", "a@sha256:1", "/a", "a/", "http://h.test/a", "a b", "a" * 256, "h.test/A:1"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        ImageReference.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_reference_that_prints_itself_or_is_refused(text: str) -> None:
    try:
        reference = ImageReference.parse(text)
    except UsageError:
        return
    assert str(reference) == text


def test_no_registry_is_assumed() -> None:
    with pytest.raises(UsageError) as caught:
        ImageReference.parse("diabetes:1").for_registry()
    assert "localhost" in caught.value.fix
    assert str(ImageReference.parse("h.test/a").for_registry()) == "h.test/a:latest"
    assert str(ImageReference.parse(f"h.test/a@{DIGEST}").for_registry()) == f"h.test/a@{DIGEST}"


def config(**changes: object) -> ImageConfig:
    text = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [DIGEST]}, **changes}
    return ImageConfig.from_json(json.dumps(text).encode())


def test_a_configuration_is_what_its_text_says() -> None:
    read = config(config={"User": "1:1", "Env": ["A=1=2"], "ExposedPorts": {"80/tcp": {}}, "Entrypoint": ["/x"],
                          "Cmd": None, "Healthcheck": {"Test": ["NONE"]}}, variant="v2", history=None)  # fmt: skip
    assert ImageConfig.from_json(read.to_json()) == read
    assert json.loads(read.to_json())["rootfs"]["type"] == "layers"
    assert read.config == RunConfig("1:1", {"80/tcp": {}}, ("A=1=2",), ("/x",))


def test_the_environment_keeps_its_order_and_the_last_of_a_name_counts() -> None:
    run = RunConfig(env=("PATH=/bin", "A=1", "A=2", "B"))
    assert run.environment() == {"PATH": "/bin", "A": "2", "B": ""}
    assert run.with_environment({"PATH": "/x", "C": "3"}).env == ("PATH=/x", "A=2", "B=", "C=3")


def test_labels_are_added_to_those_there_are() -> None:
    assert RunConfig(labels={"a": "1"}).with_labels({"b": "2"}).labels == {"a": "1", "b": "2"}
    assert RunConfig().with_labels({"b": "2"}).labels == {"b": "2"}


@pytest.mark.parametrize(
    "history",
    [[], [{"created_by": "a"}], [{"created_by": "a"}, {"empty_layer": True}], [{}, {}, {}]],
    ids=["none", "right", "with an empty layer", "wrong number"],
)
def test_the_history_counts_the_layers_whatever_it_did_before(history: list[dict[str, object]]) -> None:
    grown = config(history=history).with_layer(DIGEST, "shipway", "1980-01-01T00:00:00Z")
    assert grown.rootfs == RootFilesystem((DIGEST, DIGEST))
    assert sum(not entry.empty_layer for entry in grown.history) == 2
    assert grown.history[-1] == History("1980-01-01T00:00:00Z", "shipway")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"[" * 100_000, b'{"architecture": 1}'])
def test_what_is_no_configuration_is_refused(text: bytes) -> None:
    with pytest.raises(UsageError):
        ImageConfig.from_json(text)
