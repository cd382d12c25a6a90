"""Records that carry their images with them, small enough for a package."""

from __future__ import annotations

import io
from typing import Any

from rightfit.data._media import decode
from rightfit.data._media.reference import reference

MAX_BYTES = 256_000
LONG_SIDE = 1024
QUALITY = 90


def portable(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records with every image as a data URI: as it is up to 256 kB, else as a JPEG of at most 1024 pixels.

    Every value must be an image or missing. Raises ImageError.
    """
    return [{name: _inline(reference(value)) for name, value in record.items()} for record in records]


def _inline(ref: str | None) -> str | None:
    from PIL import Image

    if ref is None:
        return None
    encoded = decode.content(ref)
    if len(encoded) <= MAX_BYTES and decode.sniff(encoded):
        return decode.uri(encoded)
    image = decode.open_image(ref)
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BILINEAR)
    into = io.BytesIO()
    image.save(into, "JPEG", quality=QUALITY)
    return decode.uri(into.getvalue())
