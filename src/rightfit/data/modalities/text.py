"""Texts: files with a text column (or several), lines of text, and folders, or zips, of one file per text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rightfit.data import readers
from rightfit.data.modalities import _text_folder as folders
from rightfit.data.modalities._layout import numbered, spelling
from rightfit.data.modalities._text_columns import chosen, only_texts, schema_of
from rightfit.data.modalities._text_example import example, hard
from rightfit.data.modalities._text_labels import unlisted
from rightfit.data.modalities.tabular import check_target
from rightfit.data.schema import positions
from rightfit.data.table import Modality, Table
from rightfit.errors import DataError, RightfitError
from rightfit.records import Finding, Need, Problem
from rightfit.registry import plugin

SAMPLES = 64


def claims(source: Any, need: Need) -> bool:
    """A folder or zip of text files, or rows whose features (all but target, group, time, dropped, ids) are texts."""
    if folders.is_folder(source):
        return folders.holds_texts(source)
    if readers.find(source) is None:
        return False
    try:
        return only_texts(readers.look(source, need), need)
    except RightfitError:
        return False  # the general reader says what is wrong


def read(source: Any, need: Need) -> Table:
    """Rows whose features are texts (str; empty ones are missing later). Raises DataError, UsageError, UnknownName.

    `need.options`: encoding; for files of one text per line, lines ("plain" or "labelled") and labels (a file). A test
    folder goes to `held`. Labels listed in brackets, or several __label__ marks, make a multilabel target.
    """
    return _folder(source, need) if folders.is_folder(source) else _rows(source, need)


def _folder(source: Any, need: Need) -> Table:
    asked = need.modality is not None
    root = folders.unpacked(source)
    found = folders.find(root, every=asked, unlabelled=asked and need.target is None)
    frame, paths, findings = folders.load(found.rows, need.options.get("encoding"))
    findings += found.findings
    labelled = "label" in frame.columns
    target = "label" if labelled and need.target is None else need.target
    named = dataclasses.replace(need, target=target, kinds={}, problem=need.problem or _problem(frame))
    origin: dict[str, Any] = {"format": "folder" if Path(source).is_dir() else "zip", "path": str(source),
                              "paths": [path.relative_to(root).as_posix() for path in paths]}
    held = None
    if found.held:
        held, held_paths, more = folders.load(found.held, need.options.get("encoding"))
        origin["held_paths"] = [path.relative_to(root).as_posix() for path in held_paths]
        findings += [f for f in more if f.code not in {g.code for g in findings}]
    table = _table(frame, named, ("text",), findings, origin)
    return dataclasses.replace(table, held=held, need=named if labelled else None)


def _problem(frame: Any) -> Problem | None:
    """Folders named by numbers are classes all the same."""
    if "label" not in frame.columns or not numbered(frame["label"].dropna().unique()):
        return None
    return "binary" if frame["label"].nunique() == 2 else "multiclass"


def _rows(source: Any, need: Need) -> Table:
    if need.options.get("lines"):
        frame, origin = plugin("rightfit.data.readers", "lines", "reader").read(source, need)
    else:
        frame, origin = readers.read(source, need)
    origin.pop("kinds", None)
    findings: list[Finding] = []
    code = str(origin.get("encoding", "utf-8"))
    if origin.get("replaced"):
        findings.append(folders.encoding_finding(f"{origin['replaced']:,} bytes are not {code}; they are shown as "
                                                 "\ufffd.", {"replaced": origin["replaced"]}))
    elif not code.lower().startswith(("utf", "ascii")):
        findings.append(folders.encoding_finding(f"The file is not UTF-8 and was read as {code}.", {"encoding": code}))
    delimiter = origin.pop("delimiter", None)
    targets = positions(list(frame.columns), need.target)
    if len(targets) == 1 and need.delimiter is None and (found := unlisted(frame[targets[0]])) is not None:
        frame = frame.assign(**{targets[0]: found[0]})
        delimiter = found[1]
    asked = need if delimiter is None or need.delimiter or not targets else dataclasses.replace(need,
                                                                                                 delimiter=delimiter)
    table = _table(frame, asked, chosen(frame, need), findings, origin)
    return table if asked is need else dataclasses.replace(table, need=asked)


def _table(frame: Any, need: Need, texts: tuple[str, ...], findings: list[Finding], origin: dict[str, Any]) -> Table:
    schema, more = schema_of(frame, need, texts)
    targets = [c.name for c in schema.columns if c.role == "target"]
    for name in targets:
        check_target(frame, schema, name, need)
        more += spelling((value for value in frame[name].dropna() if isinstance(value, str)), name)
    if targets and not schema.features:
        raise DataError(f"the data must hold a text column beside the target; got "
                        f"columns={', '.join(map(str, frame.columns))}.")
    if targets and not any(isinstance(value, str) and value.strip() for name in texts for value in frame[name]):
        raise DataError(f"texts must hold words; got {len(frame)} rows with column={', '.join(texts)} empty in all, "
                        "look at the source or name another column by --kind column=text.")
    return Table(frame=frame, schema=schema, findings=(*findings, *more), origin=origin)


SPEC = Modality(name="text", claims=claims, read=read, rank=60, samples=SAMPLES, preload=("torch",),
                example=example, hard=hard)
