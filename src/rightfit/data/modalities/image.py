"""Images: a folder for each class, a zip of one, or a table with a column of images; one image to predict."""

from __future__ import annotations

import dataclasses
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rightfit.data import readers
from rightfit.data._media import decode, scratch
from rightfit.data.modalities import _image_files as listing
from rightfit.data.modalities import _image_portable as portable
from rightfit.data.modalities import _image_table as tables
from rightfit.data.modalities import _layout as layout
from rightfit.data.modalities._image_example import COLUMN, example, hard
from rightfit.data.readers._files import is_path, suffix
from rightfit.data.schema import infer, positions
from rightfit.data.table import Modality, Table, shown
from rightfit.data.values import canonical
from rightfit.errors import DataError, UsageError
from rightfit.records import Column, Finding, Need, Schema

CLASSES = 5000
LISTED = 50
_LOOK = 200
_SPLIT = frozenset({"split", "subset", "partition", "fold", "set"})


def claims(source: Any, need: Need) -> bool:
    """A folder or zip in which at least half of the first files are images by name, one image, or a table of images."""
    if is_path(source):
        path = Path(source).expanduser()
        if path.is_dir():
            return _mostly(name for name, entry in listing.below(path) if not entry.is_dir())
        if (path.is_file() and listing.is_image(path.name)) or (_zipped(path) and _mostly(_names(path))):
            return True
    return tables.claims(source, need)


def _zipped(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file() and zipfile.is_zipfile(path)


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name for name in archive.namelist() if not name.endswith("/")]
    except (zipfile.BadZipFile, OSError):
        return []


def _mostly(names: Any) -> bool:
    some = list(islice((name for name in names if not listing.is_hidden(name)), _LOOK))
    return bool(some) and sum(map(listing.is_image, some)) >= 0.5 * len(some)


def read(source: Any, need: Need) -> Table:
    """Rows whose images can all be decoded; the others are findings. Raises DataError, UsageError, UnknownName."""
    if is_path(source):
        path = Path(source).expanduser()
        if path.is_dir():
            return _files(listing.of_folder(path), need, {"format": "folder", "path": str(path)})
        if path.is_file() and listing.is_image(path.name):
            one = listing.Listing(files=((path.name, str(path.absolute())),), folders=())
            return _files(one, need, {"format": "file", "path": str(path)})
        if path.suffix.lower() == ".zip" and (not path.is_file() or not suffix(path)):
            if not path.is_file():
                raise DataError(f"the data must exist; got path={str(path)!r}, which is not there.")
            return _files(listing.of_zip(path), need, {"format": "zip", "path": str(path)})
    return _table(source, need)


# --- folders and zips -------------------------------------------------------------------------------------------------

def _files(found: listing.Listing, need: Need, origin: dict[str, Any]) -> Table:
    import pandas as pd

    if not found.files:
        raise DataError(f"a folder of images must hold some; got path={origin['path']!r} with none among "
                        f"{len(found.others) + len(found.hidden)} files.")
    column, target = _column_name(need), _target_name(need)
    laid = layout.arrange(found.files, found.folders)
    labels = Counter(item.label for item in laid.rows if item.label is not None)
    if len(labels) > CLASSES:
        raise DataError(f"a target must have at most {CLASSES} classes; got {len(labels)} folders in "
                        f"path={origin['path']!r}, group them.")
    findings = [*_layout_findings(laid, column, target), *layout.spelling(labels, target)]
    strange = layout.unknown_labels(laid.held, {*labels}) if labels else Counter()
    findings += [_only_in_test(strange, target)] if strange else []
    held = [i for i in laid.held if i.label in labels] if labels else []
    items = [*laid.rows, *held]
    size, bad = _decoded([item.path for item in items])
    rows = [item for p, item in enumerate(laid.rows) if p not in bad]
    held = [item for p, item in enumerate(held, len(laid.rows)) if p not in bad]
    findings += _unreadable(column, {items[p].name: reason for p, reason in bad.items()}, len(items))
    if not rows:
        raise _none_readable(len(items), items[min(bad)].name, bad[min(bad)])
    counts = Counter(canonical(item.label) for item in rows if item.label is not None)
    ordered = tuple(str(c) for c in sorted(counts, key=lambda c: (-counts[c], str(c))))
    columns = [Column(name=column, kind="image", dtype="object", nullable=False)]
    if labels:
        columns.append(Column(name=target, kind="categorical", role="target", categories=ordered[:1000],
                              dtype="object", nullable=False))
    origin |= {"classes": len(counts), "images": len(rows), "held": len(held), "parts": dict(laid.parts),
               "hidden": len(found.hidden), "ignored": len(found.others), "size": size,
               "paths": [item.name for item in rows]}

    def frame(some: Sequence[layout.Item]) -> Any:
        made = {column: pd.Series([item.path for item in some], dtype=object)}
        return pd.DataFrame(made | ({target: pd.Series([i.label for i in some], dtype=object)} if labels else {}))

    posed = None
    if need.problem is None and labels and layout.numbered(map(str, labels)):
        posed = dataclasses.replace(need, problem="binary" if len(counts) == 2 else "multiclass")
    return Table(frame=frame(rows), schema=Schema(columns=tuple(columns)), findings=tuple(findings), origin=origin,
                 held=frame(held) if held else None, need=posed)


def _column_name(need: Need) -> str:
    return next((name for name, kind in need.kinds.items() if kind == "image"), COLUMN)


def _target_name(need: Need) -> str:
    if need.target is None:
        return "label"
    if isinstance(need.target, str) and not need.target.lstrip("-").isdigit() and need.target != _column_name(need):
        return need.target
    raise UsageError(f"a folder of images has one target, the names of its folders; got target={need.target!r}, "
                     "leave it out.")


def _layout_findings(laid: layout.Layout, column: str, target: str) -> list[Finding]:
    found = [Finding(code="empty_class", severity="warning", column=target,
                     evidence=f"The folder {name!r} holds no image.", data={"path": name},
                     consequence="There is no such class in the model.") for name in laid.empty[:LISTED]]
    if len(laid.empty) > LISTED:
        found.append(Finding(code="empty_class", severity="warning", column=target,
                             evidence=f"{len(laid.empty) - LISTED} more folders hold no image.",
                             data={"more": len(laid.empty) - LISTED}, consequence="There are no such classes."))
    if laid.loose:
        found.append(Finding(code="unlabelled_image", severity="warning", column=column,
                             evidence=f"{len(laid.loose)} images lie in no class folder, the first is "
                                      f"{laid.loose[0]!r}.", consequence="Left out.",
                             data={"count": len(laid.loose), "paths": list(laid.loose[:LISTED])}))
    return found


def _only_in_test(strange: Counter[str], target: str) -> Finding:
    some = ", ".join(f"{name!r} ({count})" for name, count in strange.most_common(5))
    return Finding(code="class_only_in_test", severity="warning", column=target,
                   evidence=f"The test part has {len(strange)} classes that the training part lacks: {some}.",
                   consequence="Those images are left out of the test.", data={"classes": dict(strange)})


# --- tables -----------------------------------------------------------------------------------------------------------

def _table(source: Any, need: Need) -> Table:
    import pandas as pd

    frame, origin = readers.read(source, need)
    have = list(frame.columns)
    looked = {name: frame[name].dropna().iloc[:tables.LOOK].tolist() for name in have}
    peeked = tables.peek(source) if suffix_of(source) in (".parquet", ".pq") else {}
    column = tables.image_column({**looked, **peeked}, need)
    if column is None or column not in have:
        raise DataError(f"a table of images must have a column of file paths, data URIs or bytes; got "
                        f"columns={', '.join(have[:12])} of {shown(source)}, name one by kind: COLUMN=image.")
    values = frame[column].tolist()
    if suffix_of(source) in (".parquet", ".pq"):
        values = tables.nested(Path(source).expanduser(), column) or values
    paths = [v for v in values if isinstance(v, str)]
    folder = tables.located(paths, tables.base(source)) or tables.base(source)
    refs, wrong = tables.references(values, folder)
    refs = scratch.out_of_line([ref or "" for ref in refs])  # type: ignore[assignment]
    schema, findings = _schema(frame, column, need)
    names = [str(value) if isinstance(value, str) and len(value) < 1000 else f"row {row}"
             for row, value in enumerate(values)]
    empty = [row for row, ref in enumerate(refs) if not ref and row not in wrong]
    some = [row for row, ref in enumerate(refs) if ref]
    size, undecoded = _decoded([str(refs[row]) for row in some])
    bad = wrong | {some[p]: reason for p, reason in undecoded.items()}
    keep = [row for row in some if row not in bad]
    more = [*_missing(column, empty), *_unreadable(column, {names[row]: bad[row] for row in sorted(bad)}, len(refs)),
            *_spellings(frame, schema, need)]
    if not keep:
        first = min(bad, default=None)
        raise _none_readable(len(refs), "" if first is None else names[first], "missing" if first is None
                             else bad[first])
    frame = frame.assign(**{column: pd.Series(refs, dtype=object, index=frame.index)})
    rows, held = _parted(frame, schema, keep)
    _learnable(frame.iloc[rows].reset_index(drop=True), schema, need)
    origin = {**origin, "column": column, "folder": str(folder), "images": len(rows), "held": len(held), "size": size,
              "paths": [names[row] for row in rows]}
    origin.pop("kinds", None)
    return Table(frame=frame.iloc[rows].reset_index(drop=True), schema=schema, findings=(*findings, *more),
                 origin=origin, held=frame.iloc[held].reset_index(drop=True) if held else None)


def suffix_of(source: Any) -> str:
    """The lower-case suffix of a path, empty for what is none."""
    return suffix(source) if is_path(source) else ""


def _schema(frame: Any, column: str, need: Need) -> tuple[Schema, tuple[Finding, ...]]:
    """The image column is the only feature; target, group and time as tables have them; the others are not used."""
    have = list(frame.columns)
    named = {field: positions(have, getattr(need, field), field) for field in ("target", "group", "time", "drop")}
    if column in named["target"]:
        raise UsageError(f"the target must be another column than the images; got target={column!r}.")
    image = Column(name=column, kind="image", dtype="object", nullable=False)
    others = frame.drop(columns=[column])
    if not others.shape[1]:
        return Schema(columns=(image,)), ()
    asked = dataclasses.replace(
        need, target=named["target"] or None, group=next(iter(named["group"]), None),
        time=next(iter(named["time"]), None), drop=(), keep=(),
        kinds={name: kind for name, kind in need.kinds.items() if name != column},
        missing=tuple(m for m in need.missing if "@" not in m or m.rpartition("@")[2] != column))
    schema, findings = infer(others, asked)
    rest = {c.name: dataclasses.replace(c, role="dropped") if c.role == "feature" else c for c in schema.columns}
    unused = [c.name for c in schema.columns if c.role == "feature"]
    used = {name for some in named.values() for name in some}
    told = tuple(f for f in findings if f.column in used)
    if unused:
        told += (Finding(code="columns_not_used", severity="info", column=None, data={"columns": unused[:LISTED]},
                         evidence=f"{len(unused)} columns beside the images: {', '.join(unused[:10])}.",
                         consequence="Models of images do not see them."),)
    return Schema(columns=tuple(image if name == column else rest[name] for name in have)), told


def _learnable(frame: Any, schema: Schema, need: Need) -> None:
    from rightfit.data.modalities.tabular import check_target

    for column in schema.columns:
        if column.role == "target":
            check_target(frame, schema, column.name, need)


def _spellings(frame: Any, schema: Schema, need: Need) -> list[Finding]:
    found: list[Finding] = []
    for column in schema.columns:
        if column.role == "target" and column.kind in ("categorical", "text", "id"):
            labels = {value for value in frame[column.name].dropna().unique() if isinstance(value, str)}
            if need.delimiter is not None:
                labels = {part.strip() for label in labels for part in label.split(need.delimiter)}
            found += layout.spelling(labels, column.name) if len(labels) <= CLASSES else ()
    return found


def _parted(frame: Any, schema: Schema, keep: list[int]) -> tuple[list[int], list[int]]:
    """Rows for learning and rows for testing, where a column such as `split` says train and test."""
    for column in schema.columns:
        if column.role != "dropped" or column.name.lower() not in _SPLIT:
            continue
        parts = [layout.PARTS.get(str(value).strip().lower(), "") for value in frame[column.name].iloc[keep]]
        if {"train", "test"} <= set(parts) and "" not in parts:
            held = [row for row, part in zip(keep, parts, strict=True) if part == "test"]
            return [row for row, part in zip(keep, parts, strict=True) if part != "test"], held
    return keep, []


# --- what both share --------------------------------------------------------------------------------------------------

def _decoded(refs: Sequence[str]) -> tuple[int, dict[int, str]]:
    """The natural size, and {position: reason} of those that cannot be decoded; all are, into the run's cache."""
    size = decode.natural_size(refs)
    return size, decode.unreadable(refs, size)


def _unreadable(column: str, bad: Mapping[str, str], total: int) -> list[Finding]:
    found = [Finding(code="unreadable_image", severity="warning", column=column, evidence=f"{name}: {reason}.",
                     consequence="Left out.", data={"path": name, "reason": reason})
             for name, reason in islice(bad.items(), LISTED)]
    if len(bad) > LISTED:
        rest = Counter(reason.split(":")[0] for reason in islice(bad.values(), LISTED, None))
        told = ", ".join(f"{reason} ({count})" for reason, count in rest.most_common(5))
        found.append(Finding(code="unreadable_image", severity="warning", column=column,
                             evidence=f"{len(bad) - LISTED} more of {total} images cannot be read: {told}.",
                             consequence="Left out.", data={"more": len(bad) - LISTED, "reasons": dict(rest)}))
    return found


def _missing(column: str, rows: Sequence[int]) -> list[Finding]:
    if not rows:
        return []
    return [Finding(code="missing_image", severity="warning", column=column, consequence="Left out.",
                    evidence=f"{len(rows)} rows have no image, the first is row {rows[0]}.",
                    data={"count": len(rows), "rows": list(rows[:LISTED])})]


def _none_readable(total: int, name: str, reason: str) -> DataError:
    return DataError(f"some images must be readable; got {total}, of which none is, the first is {name!r} ({reason}), "
                     "give others.")


SPEC = Modality(name="image", claims=claims, read=read, rank=20, portable=portable.portable, samples=8,
                preload=("torch", "torchvision", "timm"), example=example, hard=hard)
