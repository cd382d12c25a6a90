"""Images: from a reference (file path or data URI) to pixels, within budgets of bytes and pixels.

Training and serving share one pipeline: `array` for one image, `pixels` for many, bit for bit the same.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache as once
from typing import Any

import numpy as np

from rightfit import cache
from rightfit.errors import DataError

MAX_PIXELS = 50_000_000
MAX_BYTES = 100 * 2**20
SIZES = (32, 48, 64, 96, 128, 160, 192, 224, 256)
THREADS = 2
TABLE_BYTES = 8 * 2**30  # natural_size keeps the table of all pixels below it
_PART = 16  # items a thread takes at a time
_LOOK = 512  # images whose headers tell the natural size
_MEMO = 500_000  # files whose content keys are remembered in this process
_ORIENTATION = 0x0112  # EXIF tag 274: https://www.cipa.jp/std/documents/e/DC-008-Translation-2019-E.pdf
_MAGIC = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"), (b"BM", "bmp"),
          (b"II*\0", "tiff"), (b"MM\0*", "tiff"))


class ImageError(DataError):
    """An image that cannot be used; `reason` says why in a few words."""

    def __init__(self, ref: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"an image must be a readable file, a data URI or bytes; got image={shown(ref)} ({reason}), "
                         "replace it or leave it out.")


def shown(ref: str) -> str:
    """A reference in a message, its data left out.

    >>> shown("data:image/png;base64,AAAA"), shown("/a/b.png")
    ("'data:image/png;base64,...'", "'/a/b.png'")
    """
    return repr(ref.partition(",")[0] + ",..." if ref.startswith("data:") else ref[-200:])


def sniff(content: bytes) -> str:
    """The format that the first bytes tell: jpeg, png, gif, bmp, tiff, webp, or an empty text.

    >>> sniff(b"BM...."), sniff(b"no image")
    ('bmp', '')
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((name for magic, name in _MAGIC if content.startswith(magic)), "")


def uri(content: bytes) -> str:
    """Encoded image bytes as a data URI.

    >>> uri(b"BM")
    'data:image/bmp;base64,Qk0='
    """
    return f"data:image/{sniff(content) or 'unknown'};base64,{base64.b64encode(content).decode('ascii')}"


def content(ref: str) -> bytes:
    """The encoded bytes behind a reference, at most MAX_BYTES. Raises ImageError."""
    if ref.startswith("data:"):
        head, _, body = ref.partition(",")
        if not head.startswith("data:image/") or not head.endswith(";base64"):
            raise ImageError(ref, "not a base64 data URI of an image")
        if len(body) // 4 * 3 > MAX_BYTES + 2:
            raise ImageError(ref, f"{len(body) // 4 * 3:,} bytes, more than {MAX_BYTES:,}")
        try:
            return base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError):
            raise ImageError(ref, "damaged base64") from None
    _status(ref)
    try:
        with open(ref, "rb") as file:
            return file.read(MAX_BYTES)
    except OSError as error:
        raise ImageError(ref, _why(error)) from None


def _why(error: OSError) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()


def _status(ref: str) -> os.stat_result:
    """What the file system tells of a file. Raises ImageError for what is missing, no file, empty or too large."""
    try:
        found = os.stat(ref)
    except (OSError, ValueError) as error:
        raise ImageError(ref, _why(error) if isinstance(error, OSError) else "not a path") from None
    if not stat.S_ISREG(found.st_mode):
        raise ImageError(ref, "not a file")
    if found.st_size == 0:
        raise ImageError(ref, "empty file")
    if found.st_size > MAX_BYTES:
        raise ImageError(ref, f"{found.st_size:,} bytes, more than {MAX_BYTES:,}")
    return found


# --- decoding ---------------------------------------------------------------------------------------------------------

_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_hold: Any = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Pillow's warnings are not shown: what matters becomes an ImageError.

    The filters are one for all threads, so the first thread in saves them and the last one out restores them.
    """
    global _quiet_depth, _quiet_hold
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_hold = warnings.catch_warnings()
            _quiet_hold.__enter__()
            warnings.simplefilter("ignore")
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                _quiet_hold.__exit__(None, None, None)


@once
def _openers() -> tuple[tuple[Callable[..., Any], Callable[[bytes], Any]], ...]:
    """(open, accept) of the formats that are read: of Pillow's many, those that pictures come in."""
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        Image,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    plugins = (JpegImagePlugin.JpegImageFile, PngImagePlugin.PngImageFile, WebPImagePlugin.WebPImageFile,
               BmpImagePlugin.BmpImageFile, GifImagePlugin.GifImageFile, TiffImagePlugin.TiffImageFile)
    return tuple((opener, accept) for opener, accept in (Image.OPEN[str(p.format)] for p in plugins)
                 if accept is not None)


def _header(ref: str, encoded: bytes) -> Any:
    """An opened image whose pixels are not decoded yet. Image.open has limits and warnings of its own; not used."""
    import io

    prefix = encoded[:16]
    for opener, accept in _openers():
        if accept(prefix) is True:
            image = opener(io.BytesIO(encoded), "")
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(ref, f"{width} x {height} pixels, more than {MAX_PIXELS // 10**6} million")
            if width < 1 or height < 1:
                raise ImageError(ref, "no pixels")
            return image
    text = bool(prefix) and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in prefix)
    raise ImageError(ref, "empty" if not prefix else "not an image but text" if text else "not an image")


@contextlib.contextmanager
def _reading(ref: str) -> Iterator[None]:
    with _quiet():
        try:
            yield
        except ImageError:
            raise
        except Exception as error:  # a damaged file makes the decoders raise whatever they stumble over
            from PIL import Image

            if isinstance(error, Image.DecompressionBombError):
                reason = f"more than {MAX_PIXELS // 10**6} million pixels"
            elif "truncated" in str(error).lower() or isinstance(error, EOFError):
                reason = "truncated"
            else:
                reason = f"damaged: {' '.join(str(error).split())[:80] or type(error).__name__}"
            raise ImageError(ref, reason) from None


def _turn(image: Any) -> Any:
    """The transposition that EXIF asks for, or None; damaged EXIF asks for nothing."""
    from PIL import Image

    try:
        asked = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow raises many classes here, and the picture is readable all the same
        return None
    turns = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
             5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
             8: Image.Transpose.ROTATE_90}
    return turns.get(asked) if isinstance(asked, int) else None


def _deep(image: Any) -> Any:
    """Grey of more than 8 bits to 8: integers by the depth (8, 12, 16, 32 bits) that holds the largest value, floats
    as 0..1, 0..255 or else from the least to the largest."""
    from PIL import Image

    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if image.mode == "F" and (low < 0 or high > 255):
        values = (values - low) * (255 / (high - low))
    elif image.mode == "F":
        values = values * 255 if high <= 1 else values
    else:
        depth = next(bits for bits in (8, 12, 16, 32) if high < 2**bits)
        values = values * (255 / (2**depth - 1))
    return Image.fromarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))


def _rgb(image: Any) -> Any:
    """RGB pixels; transparency is laid on white."""
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _deep(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        above = image.convert("RGBA")
        below = Image.new("RGBA", above.size, (255, 255, 255, 255))
        return Image.alpha_composite(below, above).convert("RGB")
    return image.convert("RGB")


def open_image(ref: str) -> Any:
    """The picture in full size: a PIL image, RGB, turned as EXIF says, transparency on white, the first of several
    frames. Raises ImageError for what is missing, damaged, no image, or above MAX_BYTES or MAX_PIXELS."""
    encoded = content(ref)
    with _reading(ref):
        image = _header(ref, encoded)
        image.load()
        turn = _turn(image)
        image = _rgb(image)
        return image if turn is None else image.transpose(turn)


def array(ref: str, size: int) -> Any:
    """One image as uint8 (size, size, 3), squashed to a square by antialiased bilinear resampling. Raises ImageError.

    JPEGs far larger than asked for are decoded at 1/2, 1/4 or 1/8, at least twice the size asked for.
    """
    from PIL import Image

    encoded = content(ref)
    with _reading(ref):
        image = _header(ref, encoded)
        image.draft(None, (2 * size, 2 * size))
        image.load()
        turn = _turn(image)
        image = _rgb(image)
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        # a square may be turned after it was made small
        return np.asarray(image if turn is None else image.transpose(turn), dtype=np.uint8).copy()


# --- many images ------------------------------------------------------------------------------------------------------

_keys: dict[str, str] = {}


def _stamp(ref: str) -> str:
    """What changes when a file does: its place, size and times."""
    found = _status(ref)
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{ref!r}"


def keys(refs: Sequence[str]) -> list[str]:
    """SHA-256 of the encoded content of each reference, as hex. Raises ImageError.

    Files that did not change since are not read again.

    >>> keys(["data:image/bmp;base64,Qk0="])[0][:8]
    '60552aca'
    """
    stamps = {ref: _stamp(ref) for ref in dict.fromkeys(refs) if not ref.startswith("data:")}
    unknown = [ref for ref, stamp in stamps.items() if stamp not in _keys]
    if unknown:
        def compute(positions: Sequence[int]) -> Any:
            digests = _threads(lambda p: hashlib.sha256(content(unknown[p])).digest(), positions)
            return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 32)

        found = cache.rows("sha256", [stamps[ref] for ref in unknown], compute).take(np.arange(len(unknown)))
        if len(_keys) + len(unknown) > _MEMO:
            _keys.clear()
        _keys.update((stamps[ref], bytes(row).hex()) for ref, row in zip(unknown, found, strict=True))
    return [_keys[stamps[ref]] if ref in stamps else hashlib.sha256(content(ref)).hexdigest() for ref in refs]


def _threads(work: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """work(item) of every item, in their order, on THREADS threads: decoders let go of the interpreter."""
    from concurrent.futures import ThreadPoolExecutor

    parts = [items[start:start + _PART] for start in range(0, len(items), _PART)]
    with ThreadPoolExecutor(THREADS) as pool:
        return [done for part in pool.map(lambda part: [work(item) for item in part], parts) for done in part]


def pixels(refs: Sequence[str], size: int) -> cache.Table:
    """All images as rows of a cached table, uint8 (n, size, size, 3), each as `array` gives it. Raises ImageError."""
    def compute(positions: Sequence[int]) -> Any:
        return np.stack(_threads(lambda p: array(refs[p], size), positions))

    return cache.rows(f"pixels-{size}", keys(refs), compute)


def measure(ref: str) -> tuple[int, int]:
    """(width, height) from the header, turned as EXIF says, without decoding. Raises ImageError."""
    encoded = content(ref)
    with _reading(ref):
        image = _header(ref, encoded)
        width, height = image.size
        sideways = image.format in ("JPEG", "MPO", "WEBP") and (turn := _turn(image)) is not None and int(turn) in (
            2, 4, 5, 6)
        return (height, width) if sideways else (width, height)


def natural_size(refs: Sequence[str]) -> int:
    """The largest of SIZES that the median short side fills (at least the least one); unreadable images do not count.

    With very many images it is smaller, so that the table of their pixels stays below TABLE_BYTES.
    """
    sides = []
    for ref in refs[::-(-len(refs) // _LOOK) or 1]:
        with contextlib.suppress(ImageError):  # what is unreadable is reported by whoever decodes it
            sides.append(min(measure(ref)))
    side = float(np.median(sides)) if sides else 0.0
    room = (TABLE_BYTES / (3 * max(len(refs), 1))) ** 0.5
    return max((size for size in SIZES if size <= min(side, room)), default=SIZES[0])


def unreadable(refs: Sequence[str], size: int) -> dict[int, str]:
    """{position: reason} of the images that cannot be decoded; every one is decoded, into the cache where there is one.

    What was decoded in vain before a damaged neighbour was met is kept until its table can be written.
    """
    bad: dict[int, str] = {}
    made: dict[int, Any] = {}
    known: dict[int, str] = {}

    def attempt(position: int, work: Callable[[str], Any], into: dict[int, Any]) -> None:
        try:
            into[position] = work(refs[position])
        except ImageError as error:
            bad[position] = error.reason

    keep = cache.place() is not None
    if not keep:
        _threads(lambda p: attempt(p, lambda ref: array(ref, size).shape, known), range(len(refs)))
        return dict(sorted(bad.items()))
    _threads(lambda p: attempt(p, _stamped, known), range(len(refs)))
    while True:
        good = [position for position in range(len(refs)) if position not in bad]

        def compute(rows: Sequence[int], good: list[int] = good) -> Any:
            wanted, before = [good[row] for row in rows], len(bad)
            _threads(lambda p: attempt(p, lambda ref: array(ref, size), made), [p for p in wanted if p not in made])
            if len(bad) > before:
                raise _SomeUnreadable
            return np.stack([made.pop(p) for p in wanted])

        try:
            cache.rows(f"pixels-{size}", keys([refs[p] for p in good]), compute)
        except _SomeUnreadable:
            continue
        return dict(sorted(bad.items()))


class _SomeUnreadable(Exception):
    """Within `unreadable`: start again without those just found."""


def _stamped(ref: str) -> str:
    return "" if ref.startswith("data:") else _stamp(ref)
