"""A layer's tar as it is read: every compression, never more than the limit, and damage as an error of ours."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from shipway.errors import CorruptBlob
from shipway.oci.descriptor import LAYER_TAR, LAYER_TAR_GZIP, LAYER_TAR_ZSTD
from shipway.oci.layer import LayerStream, open_layer

DATA = b"data" * 1000
PACKED = {LAYER_TAR: DATA, LAYER_TAR_GZIP: gzip.compress(DATA), LAYER_TAR_ZSTD: zstandard.compress(DATA)}


def read(path: Path, media_type: str, limit: int = len(DATA)) -> bytes:
    with open_layer(path, media_type, "the layer", "make it again") as unpacked:
        stream, parts = LayerStream(unpacked, limit, "the layer", "make it again"), []
        while part := stream.read(100):
            parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize("media_type", PACKED)
def test_what_was_packed_comes_out_and_not_a_byte_over_the_limit(tmp_path: Path, media_type: str) -> None:
    (tmp_path / "layer").write_bytes(PACKED[media_type])
    assert read(tmp_path / "layer", media_type) == DATA
    with pytest.raises(CorruptBlob, match="the layer unpacks to more than 3999 bytes"):
        read(tmp_path / "layer", media_type, len(DATA) - 1)


@pytest.mark.parametrize("media_type", [LAYER_TAR_GZIP, LAYER_TAR_ZSTD])
def test_damage_is_an_error_of_ours(tmp_path: Path, media_type: str) -> None:
    (tmp_path / "layer").write_bytes(b"x" + PACKED[media_type][1:])
    with pytest.raises(CorruptBlob, match="the layer is damaged") as caught:
        read(tmp_path / "layer", media_type)
    assert caught.value.fix == "make it again"


def test_a_kind_that_is_not_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(DATA)
    with pytest.raises(CorruptBlob, match=r"of an unknown kind, application/x"):
        read(tmp_path / "layer", "application/x")
