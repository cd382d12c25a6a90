"""Folders of texts: a folder for each class with a file for each text, with or without train, val and test."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rightfit.data.readers._decode import decode
from rightfit.errors import DataError
from rightfit.records import Finding, frozen

SUFFIXES = frozenset({".txt", ".text", ".md"})
LARGEST = 64 << 20
LOOK = 2000
_PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
          "test": "test", "testing": "test"}
_UNLABELLED = frozenset({"unsup", "unlabeled", "unlabelled", "unsupervised"})


@frozen
class Found:
    """The texts of a folder: `rows` and `held` (set aside by a test folder) are (path, label) pairs, label None where
    files lie in no class folder. `empty`: class folders without a text; `aside`: folders without labels.
    """

    rows: tuple[tuple[Path, str | None], ...]
    held: tuple[tuple[Path, str | None], ...] = ()
    empty: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()


def is_folder(source: Any) -> bool:
    """Whether a source is a folder."""
    return isinstance(source, str | Path) and "://" not in str(source) and Path(source).expanduser().is_dir()


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def _texts(folder: Path, every: bool) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and (path.suffix.lower() in SUFFIXES or every):
            yield path


def holds_texts(source: Any) -> bool:
    """Whether most files that lie in a folder, up to three levels deep, are texts (of the first 2,000)."""
    suffixes: Counter[bool] = Counter()
    folders, depth = [Path(source).expanduser()], 0
    while folders and depth < 4 and suffixes.total() < LOOK:
        below: list[Path] = []
        for folder in folders:
            for path in folder.iterdir():
                if path.name.startswith((".", "__")) or suffixes.total() >= LOOK:
                    continue
                if path.is_dir():
                    below.append(path)
                else:
                    suffixes[path.suffix.lower() in SUFFIXES] += 1
        folders, depth = below, depth + 1
    return suffixes[True] > suffixes[False]


def find(source: Any, every: bool, labelled: bool) -> Found:
    """The texts below a folder; `every` takes files of any suffix; not `labelled` takes class folders as mere places.
    Raises DataError for one class only, or no text at all.
    """
    root = Path(source).expanduser()
    inside = _folders(root)
    parts = {p: _PARTS[p.name.lower()] for p in inside if p.name.lower() in _PARTS}
    if not labelled or not inside:
        rows = tuple((p, None) for p in _texts(root, every))
        if not rows:
            raise DataError(f"a folder of texts must hold files that end in {', '.join(sorted(SUFFIXES))}; got "
                            f"path={str(root)!r} with none.")
        return Found(rows=rows)
    if len(parts) == len(inside) and "test" in parts.values() and len(set(parts.values())) == 1:
        parts = {}
    split = len(parts) == len(inside)
    known = [p for p in inside if not split or parts[p] != "test"]
    rows, empty, aside = _classes(known if split else [root], every)
    held, _, _ = _classes([p for p in inside if split and parts[p] == "test"], every)
    labels = {label for _, label in rows}
    if len(labels) < 2:
        raise DataError(f"a folder of texts must hold two or more class folders with texts; got path={str(root)!r} "
                        f"with classes={sorted(str(label) for label in labels)}.")
    return Found(rows=rows, held=held, empty=empty, aside=aside)


def _classes(roots: list[Path], every: bool) -> tuple[tuple[tuple[Path, str | None], ...], tuple[str, ...],
                                                      tuple[str, ...]]:
    rows: list[tuple[Path, str | None]] = []
    seen: Counter[str] = Counter()
    aside: list[str] = []
    for root in roots:
        for folder in _folders(root):
            if folder.name.lower() in _UNLABELLED:
                aside.append(folder.name)
                continue
            found = [(path, folder.name) for path in _texts(folder, every)]
            seen[folder.name] += len(found)
            rows += found
    # Listed class by class, the rows would stand sorted by their target; a hash mixes them, always in the same way.
    rows.sort(key=lambda row: hashlib.sha256(f"{row[1]}/{row[0].name}".encode(errors="replace")).digest())
    return tuple(rows), tuple(name for name, count in seen.items() if not count), tuple(aside)


def load(rows: tuple[tuple[Path, str | None], ...], encoding: str | None) -> tuple[Any, list[Path], list[Finding]]:
    """The frame (text, and label where there are labels) of readable files, their paths, and what was noticed."""
    import pandas as pd

    texts, labels, paths = [], [], []
    bad: list[tuple[str, str]] = []
    odd: Counter[str] = Counter()
    replaced: list[str] = []
    for path, label in rows:
        try:
            text, code, lost = _content(path, encoding)
        except DataError as error:
            bad.append((str(path), str(error)))
            continue
        if code not in ("utf-8", "utf-8-sig"):
            odd[code] += 1
        if lost:
            replaced.append(str(path))
        texts.append(text)
        labels.append(label)
        paths.append(path)
    if not texts:
        raise DataError(f"a folder of texts must hold a readable one; got {len(bad)} files, all unreadable, the first "
                        f"because {bad[0][1]}")
    columns: dict[str, Any] = {"text": pd.Series(texts, dtype=object)}
    if any(label is not None for label in labels):
        columns["label"] = pd.Series(labels, dtype=object)
    return pd.DataFrame(columns), paths, [*_unreadable(bad), *_encodings(odd, replaced, len(texts))]


def _content(path: Path, encoding: str | None) -> tuple[str, str, int]:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"a text must be at most {LARGEST >> 20} MiB long; got path={str(path)!r}.")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"a text must be readable; got path={str(path)!r}: {error.strerror}.") from error
    return decode(content, path, encoding) if content else ("", "utf-8", 0)


def _unreadable(bad: list[tuple[str, str]]) -> Iterator[Finding]:
    if bad:
        yield Finding(code="unreadable_items", severity="warning",
                      evidence=f"{len(bad):,} files cannot be read as text, the first {bad[0][0]!r}.",
                      consequence="They are left out; every one is listed with its reason.",
                      data={"count": len(bad), "items": [{"item": p, "reason": why} for p, why in bad[:500]]})


def _encodings(odd: Counter[str], replaced: list[str], rows: int) -> Iterator[Finding]:
    if odd:
        named = ", ".join(f"{count:,} as {code}" for code, count in odd.most_common(3))
        yield encoding_finding(f"{odd.total():,} of {rows:,} texts are not UTF-8 and were read {named}.",
                               {"encodings": dict(odd)})
    elif replaced:
        yield encoding_finding(f"{len(replaced):,} of {rows:,} texts hold bytes that are not UTF-8, the first "
                               f"{replaced[0]!r}; they are shown as \ufffd.", {"items": replaced[:200]})


def encoding_finding(evidence: str, data: dict[str, Any]) -> Finding:
    """The finding for texts that are not plain UTF-8."""
    return Finding(code="text_encoding", severity="info", evidence=evidence, data=data,
                   consequence="If accents or characters look wrong, name the encoding or save the data as UTF-8.")
