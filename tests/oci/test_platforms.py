"""Which image of an index runs where."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.images import add_image
from shipway.errors import CorruptBlob, UsageError
from shipway.oci.descriptor import EMPTY_CONFIG, INDEX, MANIFEST, Descriptor, Index, OciManifest
from shipway.oci.layout import Layout
from shipway.oci.platforms import choose_image
from shipway.spec.image import Platform


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.create(tmp_path)


def choose(layout: Layout, entries: tuple[Descriptor, ...], platform: str) -> Descriptor:
    return choose_image(entries, Platform.parse(platform), lambda entry: layout.read(entry.digest))


def test_the_first_that_runs_there_is_taken(layout: Layout) -> None:
    for name in ("linux/arm64", "linux/amd64", "linux/amd64/v3"):
        add_image(layout, [{name: b""}], platform=Platform.parse(name))
    entries = layout.index().manifests
    assert choose(layout, entries, "amd64") == entries[1]
    assert choose(layout, entries, "linux/aarch64/v8") == entries[0]
    assert choose(layout, tuple(reversed(entries)), "linux/amd64/v3") == entries[2]


def test_one_that_does_not_say_its_platform_is_looked_into(layout: Layout) -> None:
    arm = add_image(layout, [{"a": b""}], platform=Platform.parse("arm64"))
    amd = add_image(layout, [{"b": b""}])
    entries = tuple(Descriptor(entry.media_type, entry.digest, entry.size) for entry in (arm, amd))
    assert choose(layout, entries, "amd64").digest == amd.digest


def test_attestations_and_artefacts_are_passed_over(layout: Layout) -> None:
    image = add_image(layout, [{"a": b""}])
    layout.put_bytes(b"{}")
    artefact = Descriptor(MANIFEST, *layout.put_bytes(OciManifest(EMPTY_CONFIG, (EMPTY_CONFIG,)).to_json()))
    attestation = Descriptor(
        image.media_type, image.digest, image.size, platform=Platform("amd64", "linux"),
        annotations={"vnd.docker.reference.type": "attestation-manifest"},
    )  # fmt: skip
    assert choose(layout, (attestation, artefact, image), "amd64") is image


def test_the_error_says_which_platforms_there_are(layout: Layout) -> None:
    entry = add_image(layout, [{"a": b""}], platform=Platform.parse("arm64"))
    with pytest.raises(UsageError, match="linux/arm64"):
        choose(layout, (entry,), "amd64")


def test_indexes_within_indexes_are_followed_to_a_depth(layout: Layout) -> None:
    entry = image = add_image(layout, [{"a": b""}])
    for depth in range(4):
        if depth < 3:
            assert choose(layout, (entry,), "amd64") == image
        entry = Descriptor(INDEX, *layout.put_bytes(Index((entry,)).to_json()))
    with pytest.raises(CorruptBlob):
        choose(layout, (entry,), "amd64")


def test_an_index_that_names_itself_ends() -> None:
    itself = Descriptor(INDEX, "sha256:" + "0" * 64, 1)
    with pytest.raises(CorruptBlob):
        choose_image((itself,), Platform("amd64", "linux"), lambda entry: Index((itself, itself)).to_json())
