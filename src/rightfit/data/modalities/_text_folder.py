"""Folders of texts: a folder for each class with a file for each text, with or without train, val and test."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rightfit.data.modalities import _zip
from rightfit.data.modalities._layout import arrange, unknown_labels
from rightfit.data.readers._decode import decode
from rightfit.errors import DataError
from rightfit.records import Finding, frozen

SUFFIXES = frozenset({".txt", ".text", ".md"})
LARGEST = 64 << 20
LOOK = 2000
HIDDEN = (".", "__")
_UNLABELLED = frozenset({"unsup", "unlabeled", "unlabelled", "unsupervised"})


Row = tuple[Path, str | None]


@frozen
class Found:
    """The texts of a folder: `rows` and `held` (set aside by a test folder) are (path, label) pairs, label None where
    files lie in no class folder; and what was noticed.
    """

    rows: tuple[Row, ...]
    held: tuple[Row, ...] = ()
    findings: tuple[Finding, ...] = ()


def is_folder(source: Any) -> bool:
    """Whether a source is a folder, or a zip that holds texts."""
    if not isinstance(source, str | Path) or "://" in str(source):
        return False
    return Path(source).expanduser().is_dir() or (_zip.is_zip(source) and holds_texts(source))


def unpacked(source: Any) -> Path:
    """The folder itself, or what a zip holds, its texts unpacked into the run's cache. Raises DataError."""
    path = Path(source).expanduser()
    if not _zip.is_zip(path):
        return path
    with _zip.opened(path, "texts") as archive:
        wanted = {name: info for name, info in _zip.members(archive, path).items()
                  if not name.endswith("/") and not _hidden(name)}
        return _zip.unpacked(archive, wanted, path, LARGEST, "texts")


def _listed(root: Path, every: bool) -> tuple[list[tuple[str, str]], list[str]]:
    """Names relative to the folder and paths of its texts, and the names of the folders below it; hidden ones left
    out, `every` takes files of any suffix.
    """
    files, below = [], []
    for place, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(HIDDEN))
        here = Path(place)
        below += [(here / f).relative_to(root).as_posix() for f in folders]
        files += [((here / n).relative_to(root).as_posix(), str(here / n)) for n in sorted(names)
                  if not n.startswith(HIDDEN) and (every or Path(n).suffix.lower() in SUFFIXES)]
    return files, below


def holds_texts(source: Any) -> bool:
    """Whether most files below a folder or inside a zip are texts; the first 2,000 are looked at."""
    counts: Counter[bool] = Counter()
    for name in _names(Path(source).expanduser()):
        counts[Path(name).suffix.lower() in SUFFIXES] += 1
        if counts.total() >= LOOK:
            break
    return counts[True] > counts[False]


def _names(path: Path) -> Iterator[str]:
    """The names of the files below a folder, or of those in a zip of two or more, hidden ones left out."""
    if not path.is_dir():
        inside = _zip.names(path)
        yield from (name for name in inside if len(inside) > 1 and not _hidden(name))
        return
    for _, folders, names in os.walk(path):
        folders[:] = [f for f in folders if not f.startswith(HIDDEN)]
        yield from (name for name in names if not name.startswith(HIDDEN))


def _hidden(name: str) -> bool:
    return any(part.startswith(HIDDEN) for part in name.split("/"))


def find(source: Any, every: bool, unlabelled: bool) -> Found:
    """The texts below a folder, by class folders where there are; `every` takes files of any suffix. Where
    `unlabelled` is allowed, one class folder is a mere place. Raises DataError for one class only, or no text at all.
    """
    root = Path(source).expanduser()
    files, below = _listed(root, every)
    if not files:
        raise DataError(f"a folder of texts must hold files that end in {', '.join(sorted(SUFFIXES))}; got "
                        f"path={str(root)!r} with none.")
    layout = arrange(files, below)
    rows, findings = layout.rows, []
    aside = [item.name for item in rows if item.label is not None and item.label.lower() in _UNLABELLED]
    rows = tuple(item for item in rows if item.label is None or item.label.lower() not in _UNLABELLED)
    labels = sorted({item.label for item in rows if item.label is not None})
    if len(labels) < 2 and unlabelled:
        return Found(rows=tuple((Path(path), None) for _, path in files))
    if len(labels) < 2:
        raise DataError(f"a folder of texts must hold two or more class folders with texts; got path={str(root)!r} "
                        f"with classes={labels}.")
    if layout.loose or aside:
        names = [*layout.loose, *aside]
        findings.append(Finding(code="unlabelled_items", severity="info",
                                evidence=f"{len(names):,} texts lie in no class folder, such as {names[0]}.",
                                consequence="They are left out.", data={"count": len(names), "items": names[:200]}))
    for name in layout.empty:
        findings.append(Finding(code="empty_class", severity="warning", column=name,
                                evidence=f"The class folder {name} holds no text.",
                                consequence="There is no such class until it holds texts.", data={"class": name}))
    if layout.parts.get("val"):
        findings.append(Finding(code="validation_joined", severity="info",
                                evidence=f"The source sets {layout.parts['val']:,} texts aside for validation.",
                                consequence="They are learned from too: rightfit validates by its own folds.",
                                data=dict(layout.parts)))
    unknown = unknown_labels(layout.held, set(labels))
    if unknown:
        findings.append(Finding(code="unknown_test_labels", severity="warning",
                                evidence=f"{unknown.total():,} test texts have a label that no other text has: "
                                         f"{', '.join(list(unknown)[:5])}.",
                                consequence="They are left out of the final check.", data=dict(unknown)))
    held = tuple((Path(i.path), i.label) for i in layout.held if i.label in labels)
    return Found(rows=tuple((Path(i.path), i.label) for i in rows), held=held, findings=tuple(findings))


def load(rows: tuple[Row, ...], encoding: str | None) -> tuple[Any, list[Path], list[Finding]]:
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
