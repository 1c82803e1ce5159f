"""Manifests and indexes read what all tools write, and have one text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipway.errors import CorruptBlob
from shipway.oci.descriptor import EMPTY_CONFIG, INDEX, MANIFEST, Descriptor, Index, OciManifest, oci_media_type
from shipway.oci.digest import sha256_bytes
from shipway.spec.image import Platform

DIGEST = sha256_bytes(b"x")
texts = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
descriptors = st.builds(
    Descriptor,
    media_type=st.sampled_from(["a/b", MANIFEST]),
    digest=st.just(DIGEST),
    size=st.integers(0, 2**60),
    annotations=texts,
    artifact_type=st.none() | st.just("a/b"),
    platform=st.none() | st.just(Platform("arm", "linux", "v7", os_version="1")),
)


def test_the_empty_configuration_is_two_braces() -> None:
    assert EMPTY_CONFIG.digest == sha256_bytes(b"{}")
    assert EMPTY_CONFIG.size == 2


@given(st.builds(Index, manifests=st.lists(descriptors, max_size=3).map(tuple), annotations=texts))
def test_an_index_is_what_its_text_says(index: Index) -> None:
    text = index.to_json()
    assert Index.from_json(text) == index
    assert Index.from_json(text).to_json() == text


@given(descriptors, texts)
def test_the_text_does_not_depend_on_the_order_of_annotations(config: Descriptor, notes: dict[str, str]) -> None:
    turned = dict(reversed(notes.items()))
    assert OciManifest(config, (), annotations=notes).to_json() == OciManifest(config, (), annotations=turned).to_json()


def test_nothing_empty_is_written_but_what_is_required() -> None:
    assert json.loads(Index().to_json()) == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    manifest = json.loads(OciManifest(EMPTY_CONFIG, (EMPTY_CONFIG,)).to_json())
    assert manifest.keys() == {"schemaVersion", "mediaType", "config", "layers"}
    assert manifest["config"].keys() == {"mediaType", "digest", "size"}


def test_unknown_keys_and_the_nulls_of_other_tools_are_no_error() -> None:
    entry = {"mediaType": "a/b", "digest": DIGEST, "size": 1, "annotations": None, "future": 1}
    index = Index.from_json(json.dumps({"schemaVersion": 2, "manifests": [entry], "more": {}}).encode())
    assert index.manifests == (Descriptor("a/b", DIGEST, 1),)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"manifests": 1}', b"[" * 100_000,
                                  b'{"schemaVersion": 1, "manifests": []}',
                                  b'{"manifests": [{"mediaType": "a", "digest": "b", "size": -1}]}'])  # fmt: skip
def test_what_is_no_index_or_manifest_is_refused(text: bytes) -> None:
    if text != b"{}":  # an index without keys is an empty one
        with pytest.raises(CorruptBlob):
            Index.from_json(text)
    with pytest.raises(CorruptBlob):
        OciManifest.from_json(text)


def test_docker_types_have_their_twins() -> None:
    assert oci_media_type("application/vnd.docker.distribution.manifest.v2+json") == MANIFEST
    assert oci_media_type("some/thing") == "some/thing"
