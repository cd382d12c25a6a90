"""What a delimited text is: its encoding, separator, quoting and header."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rightfit.data.readers._files import opened
from rightfit.data.values import MARKERS, is_number
from rightfit.errors import DataError, UsageError

LONGEST_LINE = 64 << 20
_SAMPLE = 1 << 18
_RECORDS = 500
_SEPARATORS = (",", "\t", ";", "|")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One pass over a file: its first bytes, whether all is UTF-8, lines beyond ASCII, and whether `head` is all."""

    head: bytes
    utf8: bool
    beyond: bytes
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How lines become cells. `separator` is one character, or " " with `padded` for runs of blanks."""

    separator: str
    quoted: bool
    padded: bool
    header: bool
    shifted: bool
    columns: tuple[str, ...]


def scan(path: Path) -> Scan:
    """Look through a file once, in constant memory. Raises DataError for a line above 64 MiB."""
    start, beyond, run, utf8, size = b"", bytearray(), 0, True, 0
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    with opened(path) as file:
        while block := file.read(1 << 20):
            size += len(block)
            if len(start) < _SAMPLE:
                start += block[:_SAMPLE - len(start)]
            last = max(block.rfind(b"\n"), block.rfind(b"\r"))
            run = run + len(block) if last < 0 else len(block) - last - 1
            if run > LONGEST_LINE:
                raise DataError(f"a line must be at most {LONGEST_LINE >> 20} MiB long; got path={str(path)!r} with "
                                f"a longer "
                                "one, check that it is a text file with line breaks.")
            if utf8:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    utf8 = False
            if len(beyond) < _SAMPLE and not block.isascii():
                lines = block.splitlines()[:-1] or [block]
                beyond += b"\n".join(line for line in lines if not line.isascii())[:_SAMPLE]
    if utf8:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            utf8 = False
    return Scan(head=start, utf8=utf8, beyond=bytes(beyond), whole=size <= _SAMPLE)


def encoding(seen: Scan, path: Path, given: str | None) -> str:
    """The encoding of a text file. Raises DataError for a binary file, UsageError for an unknown encoding."""
    if given:
        try:
            return codecs.lookup(given).name
        except LookupError:
            raise UsageError(f"encoding must be one that Python knows; got encoding={given!r}.") from None
    for mark, name in _BOMS:
        if seen.head.startswith(mark):
            return name
    zeros = seen.head.count(0)
    if zeros:
        odd, even = seen.head[1::2].count(0), seen.head[0::2].count(0)
        if max(odd, even) > 0.3 * len(seen.head) / 2 and min(odd, even) < 0.05 * max(odd, even):
            name = "utf-16-le" if odd > even else "utf-16-be"
            text = seen.head.decode(name, errors="ignore")
            if sum(c < " " and c not in "\t\r\n" for c in text) < 0.01 * len(text):
                return name
    control = len(re.findall(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", seen.head))
    if zeros or control > 0.05 * max(len(seen.head), 1):
        raise DataError(f"the data file must be text or a known table format; got path={str(path)!r} with binary "
                        f"content, "
                        "convert it or name its format by the suffix.")
    return "utf-8" if seen.utf8 or mostly_utf8(seen.beyond) else legacy(seen.beyond or seen.head)


def mostly_utf8(sample: bytes) -> bool:
    """Whether most of what is beyond ASCII is UTF-8, so that single bad bytes are damage and no other encoding.

    >>> mostly_utf8("一二三四".encode() + b"\\xff"), mostly_utf8("café, déjà".encode("latin-1"))
    (True, False)
    """
    text = sample.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    return sum(not c.isascii() for c in text) - bad >= 3 * max(bad, 1)


def legacy(sample: bytes) -> str:
    """The likely encoding of bytes that are not UTF-8, from lines beyond ASCII."""
    runs = re.findall(rb"[\x80-\xff]+", sample)
    total = sum(map(len, runs))
    paired = sum(len(run) for run in runs if len(run) % 2 == 0)
    leads = [run[i] for run in runs if len(run) % 2 == 0 for i in range(0, len(run), 2)]
    # common GB2312 characters have lead bytes B0..D7; accents of Latin-1 stand alone between ASCII letters
    common = sum(0xA1 <= lead <= 0xA3 or 0xB0 <= lead <= 0xD7 for lead in leads)
    if total and paired >= 0.6 * total and common >= 0.7 * len(leads):
        return "gb18030"
    if sum(len(run) == 1 for run in runs) < 0.5 * len(runs):
        from charset_normalizer import from_bytes

        best = from_bytes(sample).best()
        if best is not None:
            return str(best.encoding)
    windows = re.search(rb"[\x80-\x9f]", sample) and not re.search(rb"[\x81\x8d\x8f\x90\x9d]", sample)
    return "cp1252" if windows else "latin-1"


def sample(seen: Scan, name: str, path: Path, errors: str = "strict") -> str:
    """The first lines of a file, whole lines only. Raises DataError when they do not decode."""
    decoder = codecs.getincrementaldecoder(name)(errors)
    try:
        text = decoder.decode(seen.head, final=seen.whole)
    except UnicodeError as error:
        raise DataError(f"the file must be text in its encoding; got path={str(path)!r} with encoding={name!r}: "
                        f"{error.reason if isinstance(error, UnicodeDecodeError) else error}.") from error
    text = text.removeprefix("\ufeff")
    if not seen.whole:
        text = text[:max(text.rfind("\n"), text.rfind("\r")) + 1] or text
    if not text.strip():
        raise DataError(f"the data file must not be empty; got path={str(path)!r} with blanks only.")
    return text


def dialect(text: str, path: Path, options: Any) -> Dialect:
    """Separator, quoting and header of a text, from its first records; `options` overrules."""
    separator = options.get("separator")
    if separator is not None and len(separator) != 1:
        raise UsageError(f"separator must be one character; got separator={separator!r}.")
    if separator is None:
        separator = _separator(text, path)
    quoted = separator != "\t" or _well_quoted(text, "\t")
    gaps = text.count(separator)
    padded = separator == " " or (gaps > 0 and text.count(separator + " ") >= 0.9 * gaps)
    rows = records(text, separator, quoted, padded)
    width = Counter(map(len, rows[1:] or rows)).most_common(1)[0][0]
    shifted = len(rows[0]) == width - 1 and len(rows) > 1 and any(len(r) == width and r[-1].strip() for r in rows[1:])
    header = options.get("header")
    header = has_header(rows) or shifted if header is None else bool(header)
    names = rows[0] if header else [str(i) for i in range(len(rows[0]))]
    return Dialect(separator=separator, quoted=quoted, padded=padded, header=header, shifted=shifted and header,
                   columns=(("", *names) if shifted and header else tuple(names)))


def records(text: str, separator: str, quoted: bool, padded: bool) -> list[list[str]]:
    """The first records of a text."""
    lines = text.splitlines(keepends=True)
    if separator == " ":
        lines = [" ".join(line.split()) + "\n" for line in lines]
    csv.field_size_limit(LONGEST_LINE)
    cells = csv.reader(iter(lines), delimiter=separator, skipinitialspace=padded,
                       quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    found: list[list[str]] = []
    for record in cells:
        if record:
            found.append(record)
        if len(found) > _RECORDS:
            break
    return found


def _separator(text: str, path: Path) -> str:
    best: tuple[tuple[float, bool, bool, int], str] | None = None
    weak = ""
    for candidate in (*_SEPARATORS, " "):
        rows = records(text, candidate, candidate != "\t" or _well_quoted(text, "\t"), candidate == " ")
        width, count = Counter(map(len, rows)).most_common(1)[0]
        first, share = len(rows[0]), count / len(rows)
        # R writes row names below a header that is one cell shorter
        named_rows = first == width - 1 and count == len(rows) - 1
        if candidate == " " and (best or weak or (share < 1 and not named_rows)):
            continue
        if width >= 2 and (share >= 0.9 or named_rows):
            tabbed = candidate == "\t" and ".tsv" in path.name.lower()
            score = (round(share, 2), first in (width, width - 1), tabbed, width)
            if best is None or score > best[0]:
                best = score, candidate
        elif first >= 2 and not weak and ((width >= 2 and share >= 0.5) or ".csv" in path.name.lower()):
            weak = candidate
    if best is None:
        return weak or ","
    head = text.split("\n", 1)[0]
    return ";" if best[1] == "," and ";" in head and "," not in head else best[1]


def _well_quoted(text: str, separator: str) -> bool:
    opening = [cell for line in text.splitlines() for cell in line.split(separator) if cell.startswith('"')]
    return bool(opening) and all(len(cell) > 1 and cell.endswith('"') for cell in opening)


def _counting(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first record is 0, 1, 2, ... as pandas writes unnamed columns, or years in a row."""
    whole = [int(cell) for cell in first if cell.isdecimal()]
    if len(whole) < 2 or whole != list(range(whole[0], whole[0] + len(whole))) or len(whole) < len(first) - 1:
        return False
    below = [cell for row in rest for cell in row]
    years = whole[0] >= 1900 and whole[-1] <= 2100 and not any(cell.strip() in first for cell in below)
    return years or (whole[0] == 0 and len(whole) >= 3 and first != rest[0])


def has_header(rows: list[list[str]]) -> bool:
    """Whether the first record names the columns: it is text where the rest are numbers, or it never comes again below.

    >>> has_header([["age", "sex"], ["31", "f"]]), has_header([["30", "m"], ["31", "f"]])
    (True, False)
    """
    first, rest = [cell.strip() for cell in rows[0]], rows[1:]
    if not rest:
        return not any(is_number(cell) for cell in first)
    if _counting(first, rest):
        return True
    named, data, seen_again = 0, 0, False
    for position, cell in enumerate(first):
        below = [value for row in rest if position < len(row) and (value := row[position].strip()) not in MARKERS]
        numbers = sum(map(is_number, below))
        if below and numbers >= 0.8 * len(below):
            if is_number(cell) or (cell in MARKERS and cell != ""):
                data += 1
            elif cell:
                named += 1
        elif cell and cell in below:
            seen_again = True
    filled = [cell for cell in first if cell]
    unique = len(set(filled)) == len(filled) and len(filled) >= len(first) - 1
    if named and not data:
        return True
    if data:
        return bool(named) and unique and not seen_again
    return unique and not seen_again
