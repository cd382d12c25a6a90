"""Which label a file's folder gives it, and which files the source itself sets aside for testing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field

from rightfit.data.values import canonical, is_number
from rightfit.records import Finding, frozen

PARTS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
         "test": "test", "testing": "test", "eval": "test"}


@frozen
class Item:
    """One file: its name relative to the source, its path, its label (None: it lies in no class folder)."""

    name: str
    path: str
    label: str | None


@frozen
class Layout:
    """Files for learning and for testing. `parts`: files by part where the source has parts; `empty`: classes
    without any image; `loose`: names of files that lie in no class folder, where others do."""

    rows: tuple[Item, ...]
    held: tuple[Item, ...] = ()
    parts: Mapping[str, int] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()


def arrange(files: Iterable[tuple[str, str]], folders: Iterable[str]) -> Layout:
    """The layout of (name, path) files and folder names: a folder per class, below train/val/test or not.

    A single folder around everything is looked through; deeper folders belong to the class above them.

    >>> arrange([("p/train/a/1.png", "x"), ("p/train/b/2.png", "y"), ("p/test/a/3.png", "z")], ["p"]).held[0].label
    'a'
    """
    placed = [(name.split("/"), path) for name, path in files]
    dirs = {tuple(name.split("/")) for name in folders} | {tuple(p[:n]) for p, _ in placed for n in range(1, len(p))}
    depth = 0
    while _wraps(placed, dirs, depth):
        depth += 1
    tops = {parts[depth] for parts, _ in placed if len(parts) > depth + 1}
    split = bool(tops) and all(top.lower() in PARTS for top in tops) and \
        any(len(parts) > depth + 2 for parts, _ in placed) and any(PARTS[top.lower()] != "test" for top in tops)
    level = depth + 1 if split else depth
    items: dict[str, list[Item]] = {"train": [], "val": [], "test": []}
    for parts, path in placed:
        label = parts[level] if len(parts) > level + 1 else None
        part = PARTS.get(parts[depth].lower(), "train") if split and len(parts) > depth + 1 else "train"
        items[part].append(Item(name="/".join(parts), path=path, label=label))
    rows = items["train"] + items["val"]
    labelled = any(item.label is not None for item in rows)
    known = {item.label for item in rows}
    empty = {d[level] for d in dirs if len(d) == level + 1 and d[level] not in known
             and (not split or PARTS.get(d[depth].lower()) not in (None, "test"))}
    return Layout(rows=tuple(i for i in rows if i.label is not None or not labelled), held=tuple(items["test"]),
                  parts={p: len(some) for p, some in items.items() if some} if split else {},
                  empty=tuple(sorted(empty)) if labelled else (),
                  loose=tuple(i.name for i in rows if i.label is None) if labelled else ())


def _wraps(placed: list[tuple[list[str], str]], dirs: set[tuple[str, ...]], depth: int) -> bool:
    """Whether at this depth one folder holds everything, and folders with images in them."""
    beside = {d[depth] for d in dirs if len(d) > depth}
    return len(beside) == 1 and all(len(parts) > depth + 1 for parts, _ in placed) and \
        any(len(parts) > depth + 2 for parts, _ in placed)


def spelling(labels: Iterable[str], column: str) -> tuple[Finding, ...]:
    """A question where labels differ only by case or blanks, or have outer blanks: severity ask, code label_spelling.

    >>> spelling(["cat", "Cat ", "dog"], "label")[0].data
    {'labels': [['Cat ', 'cat']]}
    """
    alike: dict[str, set[str]] = {}
    for label in set(labels):
        alike.setdefault(" ".join(label.split()).casefold(), set()).add(label)
    found = [sorted(some) for _, some in sorted(alike.items()) if len(some) > 1 or any(s != s.strip() for s in some)]
    if not found:
        return ()
    merged = any(len({canonical(s) for s in some}) < len(some) or any(s != s.strip() for s in some) for some in found)
    listed = "; ".join(" and ".join(map(repr, some[:4])) for some in found[:5])
    return (Finding(code="label_spelling", severity="ask", column=column,
                    evidence=f"Labels that differ only by case or blanks: {listed}"
                             f"{f'; and {len(found) - 5} more' if len(found) > 5 else ''}.",
                    consequence="Different case stays different classes"
                                f"{'; outer blanks are left out' if merged else ''}. Is that meant? If not, rename.",
                    data={"labels": found}),)


def numbered(labels: Iterable[str]) -> bool:
    """Whether all labels are numbers: folders so named are classes all the same."""
    return all(is_number(label.strip()) for label in labels)


def unknown_labels(held: Iterable[Item], known: set[str | None]) -> Counter[str]:
    """Labels of the test part that no row for learning has, with their counts."""
    return Counter(item.label for item in held if item.label is not None and item.label not in known)
