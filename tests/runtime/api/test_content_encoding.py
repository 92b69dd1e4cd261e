"""Compressed request bodies."""

from __future__ import annotations

import gzip
import zlib

import pytest

from app.runtime.api.content_encoding import check_encoding, unpack
from app.runtime.api.errors import BodyTooLarge, MalformedJson, UnknownEncoding

BODY = b'{"value": [1, 2, 3]}'
GZIPPED = gzip.compress(BODY, mtime=0)
LIMIT = 1000


def raw_deflate(data: bytes) -> bytes:
    """Compress without any header, as some clients take "deflate"."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("header", "packed"),
    [
        ("gzip", GZIPPED),
        (" X-GZIP ", GZIPPED),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
    ],
)
def test_gzip_and_deflate_are_unpacked(header: str, packed: bytes) -> None:
    assert unpack(packed, check_encoding(header), LIMIT) == BODY


@pytest.mark.parametrize("header", [None, "", "identity", "Identity"])
def test_none_is_none(header: str | None) -> None:
    assert check_encoding(header) == ""


@pytest.mark.parametrize("header", ["br", "zstd", "gzip, gzip", "gzip, identity", "compress"])
def test_any_other_is_refused(header: str) -> None:
    with pytest.raises(UnknownEncoding):
        check_encoding(header)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate])
def test_no_more_than_the_limit_is_unpacked(pack: object) -> None:
    assert callable(pack)
    assert unpack(pack(b" " * LIMIT), "deflate", LIMIT) == b" " * LIMIT
    with pytest.raises(BodyTooLarge):
        unpack(pack(b" " * (LIMIT + 1)), "deflate", LIMIT)
    with pytest.raises(BodyTooLarge):
        unpack(pack(b" " * 10**8), "deflate", LIMIT)


@pytest.mark.parametrize(
    "packed",
    [
        BODY,
        GZIPPED[:-1],
        GZIPPED[:-8] + b"\0" * 8,
        GZIPPED * 2,
        GZIPPED + b"x",
        b"\x1f\x8b",
    ],
    ids=["plain", "cut", "wrong sum", "two", "more", "head"],
)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_not_whole_is_malformed(packed: bytes, encoding: str) -> None:
    with pytest.raises(MalformedJson, match=f"not valid {encoding}"):
        unpack(packed, encoding, LIMIT)
