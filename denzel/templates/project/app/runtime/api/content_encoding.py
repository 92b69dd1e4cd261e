"""Unpack request bodies that were compressed for their way (RFC 9110, section 8.4)."""

from __future__ import annotations

import zlib
from contextlib import suppress

from app.runtime.api.errors import BodyTooLarge, MalformedJson, UnknownEncoding

GZIP_OR_ZLIB = zlib.MAX_WBITS + 32
RAW = -zlib.MAX_WBITS
"""zlib.decompressobj's ``wbits``: either header, or none, as some clients send "deflate"."""
ENCODINGS = ("gzip", "x-gzip", "deflate")


def check_encoding(header: str | None) -> str:
    """Return how a body was compressed, empty for not at all; raises UnknownEncoding."""
    encoding = (header or "").strip().lower()
    if encoding in ("", "identity"):
        return ""
    if encoding not in ENCODINGS:
        raise UnknownEncoding(
            f"Content-Encoding: {encoding} is not understood; gzip and deflate are"
        )
    return encoding


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body as it was before it was compressed; unpacks no more than ``limit`` bytes.

    Raises BodyTooLarge past the limit, MalformedJson for what was not compressed this way.
    """
    try:
        return _unpack(body, GZIP_OR_ZLIB, limit)
    except zlib.error as error:
        if encoding == "deflate":
            with suppress(zlib.error):
                return _unpack(body, RAW, limit)
        raise MalformedJson(f"The body is not valid {encoding}: {error}") from error


def _unpack(body: bytes, wbits: int, limit: int) -> bytes:
    """Unpack a body of one member; many small ones would be a way to use up our time."""
    member = zlib.decompressobj(wbits)
    unpacked = member.decompress(body, limit + 1)
    if len(unpacked) > limit:
        raise BodyTooLarge(f"A request may have {limit} bytes at most, unpacked")
    if not member.eof:
        raise zlib.error("it is cut short")
    if member.unused_data:
        raise zlib.error("something follows its end")
    return unpacked
