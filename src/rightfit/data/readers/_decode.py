"""Bytes of free text to text, whatever their encoding: one bad byte must not turn a whole file into nonsense."""

from __future__ import annotations

from pathlib import Path

from rightfit.data.readers import _text

BEYOND = 1 << 18


def decode(content: bytes, path: Path, given: str | None = None) -> tuple[str, str, int]:
    """(text, encoding, bytes replaced): UTF-8 with its bad bytes replaced where most of what is beyond ASCII is UTF-8,
    else the likely older encoding. Raises DataError for binary content, UsageError for an unknown encoding.

    >>> decode("é 中文 ".encode() + b"\\xff", Path("a.txt"))
    ('é 中文 �', 'utf-8', 1)
    >>> decode("café".encode("latin-1"), Path("a.txt"))[:2]
    ('café', 'latin-1')
    """
    beyond = b"\n".join(line for line in content.splitlines() if not line.isascii())[:BEYOND]
    seen = _text.Scan(head=content[:BEYOND], utf8=True, beyond=beyond, whole=len(content) <= BEYOND)
    encoding = _text.encoding(seen, path, given)
    if encoding.startswith("utf-8"):
        try:
            return content.decode("utf-8-sig"), encoding, 0
        except UnicodeDecodeError:
            text = content.decode("utf-8-sig", errors="replace")
        bad = text.count("\ufffd")
        if given or _text.mostly_utf8(beyond):
            return text, encoding, bad
        encoding = _text.legacy(beyond)
    text = content.decode(encoding, errors="replace").removeprefix("\ufeff")
    return text, encoding, text.count("\ufffd")
