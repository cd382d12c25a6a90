"""What stands for an image in rows: the absolute path of a file, or a data URI."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

from rightfit.data._media import decode
from rightfit.data.values import Unreadable

MUST = "an image: a file path, a data URI, encoded bytes, a PIL image or an array (h, w[, 3 or 4]) of uint8"
_BASE64 = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "SUkqA", "TU0AK")


def reference(value: Any) -> str | None:
    """The reference that stands for an image in rows: an absolute path or a data URI; None when missing.

    Raises Unreadable. A mapping with `bytes` or `path` is read as the datasets library writes images.

    >>> reference(b"BM"), reference("  ")
    ('data:image/bmp;base64,Qk0=', None)
    """
    if isinstance(value, str):
        return _text(value)
    if value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bytes | bytearray | memoryview):
        return decode.uri(bytes(value)) if len(value) else None
    if isinstance(value, os.PathLike):
        return os.path.abspath(str(value))
    if isinstance(value, Mapping) and (value.keys() & {"bytes", "path"}):
        return reference(value.get("bytes") or value.get("path"))
    if type(value).__module__.startswith("PIL.") or type(value).__name__ == "ndarray":
        return _png(value)
    raise Unreadable(MUST)


def _text(value: str) -> str | None:
    text = value.strip()
    if not text:
        return None
    if text.startswith("data:"):
        if not text.startswith("data:image/") or ";base64," not in text[:100]:
            raise Unreadable(MUST)
        return text
    if "://" in text[:12]:
        if text.startswith("file://"):
            from urllib.parse import unquote, urlsplit

            return os.path.abspath(unquote(urlsplit(text).path))
        raise Unreadable(MUST + "; URLs are not fetched")
    if text.startswith(_BASE64) and len(text) > 64 and not os.path.exists(text):
        return decode.uri(base64.b64decode(text + "=" * (-len(text) % 4)))
    return os.path.abspath(os.path.expanduser(text))


def _png(value: Any) -> str:
    import io

    from PIL import Image

    try:
        image = Image.fromarray(value) if type(value).__name__ == "ndarray" else value
        into = io.BytesIO()
        image.save(into, "PNG" if image.mode != "CMYK" else "TIFF")
    except (TypeError, ValueError, OSError, KeyError):
        raise Unreadable(MUST) from None
    return decode.uri(into.getvalue())
