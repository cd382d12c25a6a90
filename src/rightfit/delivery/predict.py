"""A file in, predictions out, row by row in the order of the file."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rightfit.errors import DataError, UsageError
from rightfit.package import LoadedModel, load
from rightfit.records import Finding, Need, frozen

LIGHT_BYTES = 1 << 18
_QUOTED = re.compile(r'(?:(?<=,)|(?<=\n)|\A)"(?:[^"]|"")*"(?=,|\n|\Z)')
Rows = list[dict[str, Any]]


def _light_csv(text: str, features: set[str]) -> Rows | None:
    """Records of a plain CSV whose header names every feature; None for what needs the full reader.

    Cells stay text, as the full reader keeps them; anything in which the two could differ is left to it.
    """
    text = text.replace("\r\n", "\n")
    gaps = text.count(",")
    if "\r" in text or "\0" in text or '"' in _QUOTED.sub("", text) or not gaps or text.count(", ") >= 0.9 * gaps:
        return None
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    names = [name.strip() for name in rows[0]] if rows else []
    if len(rows) < 2 or len(set(names)) != len(names) or not features <= set(names):
        return None
    if any(len(row) != len(names) for row in rows):
        return None
    return [dict(zip(names, row, strict=True)) for row in rows[1:]]


def _light_jsonl(text: str, features: set[str]) -> Rows | None:
    """Records of flat JSON lines; None for what needs the full reader."""
    try:
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    except ValueError:
        return None
    if not rows or not all(isinstance(row, dict) for row in rows):
        return None
    if not features <= {name.strip() for row in rows for name in row}:
        return None
    for row in rows:
        for name, value in row.items():
            if name != name.strip() or isinstance(value, dict | list):
                return None
            if isinstance(value, int) and abs(value) > 2**53:
                return None
    return [{name: row.get(name) for name in features} for row in rows]


_LIGHT: Mapping[str, Callable[[str, set[str]], Rows | None]] = {
    ".csv": _light_csv, ".jsonl": _light_jsonl, ".ndjson": _light_jsonl}


def light(path: Path, features: set[str]) -> Rows | None:
    """A small plain file as records without pandas; None when the full reader must decide."""
    parse = _LIGHT.get(path.suffix.lower())
    if parse is None or not path.is_file() or not 0 < path.stat().st_size <= LIGHT_BYTES:
        return None
    try:
        return parse(path.read_bytes().decode("utf-8-sig"), features)
    except (UnicodeDecodeError, csv.Error):
        return None


@frozen
class Written:
    """What a prediction run wrote: the rows, and what the reader found wrong with the rest."""

    rows: int
    findings: tuple[Finding, ...] = ()


_Named = tuple[list[str] | None, tuple[Finding, ...]]


def rows(model: LoadedModel, source: str | Path) -> tuple[Any, _Named]:
    """The raw rows of any source, read as the training data were; their names where they are files, and findings."""
    from rightfit.data import readers
    from rightfit.data.table import pick

    numbered = all(column.name.isdigit() for column in model.schema.features)
    kinds = added(model)
    need = Need(modality=model.task.modality, options={} if numbered else {"header": True}, kinds=kinds)
    if not kinds and readers.find(source) is not None:
        frame = readers.read(source, need)[0]
        if {column.name for column in model.schema.features} <= set(frame.columns):
            return frame, (None, ())
    table = pick(source, need).read(source, need)
    return table.frame, (table.origin.get("paths"), tuple(table.findings))


def added(model: LoadedModel) -> dict[str, str]:
    """Features of kinds that a modality adds: only it knows what their raw values refer to."""
    from rightfit.registry import plugins

    added = plugins("rightfit.data.column_kinds")
    return {column.name: column.kind for column in model.schema.features if column.kind in added}


def _values(model: LoadedModel, source: str | Path) -> tuple[Any, _Named]:
    plain = "://" not in str(source) and not added(model)
    found = light(Path(source), {column.name for column in model.schema.features}) if plain else None
    if found is not None:
        try:
            return model.values(found), (None, ())
        except DataError:
            pass  # the full reader says in which row
    frame, named = rows(model, source)
    return model.values(frame), named


def columns(model: LoadedModel, values: Any) -> dict[str, list[Any]]:
    """The columns of the output, from calibrated values (n, k).

    `prediction`, then `probability_<class>`; several values: `prediction_<target or level>` each; several
    labels: joined by `;`.
    """
    found = model.decide(values)
    if not model.task.classifies:
        if values.shape[1] == 1:
            return {"prediction": found.tolist()}
        names = [f"{level:g}" for level in model.task.quantiles] or model.task.target
        names = names if len(names) == values.shape[1] else [str(i) for i in range(values.shape[1])]
        return {f"prediction_{name}": found[:, i].tolist() for i, name in enumerate(names)}
    if model.task.problem == "multilabel":
        pairs = ((c for c, yes in zip(model.task.classes, row, strict=True) if yes) for row in found.tolist())
        table: dict[str, list[Any]] = {"prediction": [";".join(pair) for pair in pairs]}
    else:
        table = {"prediction": found.tolist()}
    return table | {f"probability_{name}": values[:, i].tolist() for i, name in enumerate(model.task.classes)}


def bounds(model: LoadedModel, values: Any) -> dict[str, list[Any]]:
    """`low` and `high` of intervals (several outputs: `low_<target>`, ...), or the `set` of classes joined by `;`."""
    from rightfit.metrics import conformal

    task, kept = model.task, model.rule.conformal
    if task.classifies:
        inside = conformal.sets(values, task, kept)
        return {"set": [";".join(model.classes_[row]) for row in inside]}
    ends = conformal.intervals(values, task, kept)
    names = [""] if ends.shape[1] == 1 else [f"_{name}" for name in task.target]
    return {f"{side}{name}": ends[:, i, at].tolist() for i, name in enumerate(names)
            for at, side in enumerate(("low", "high"))}


def _write_csv(table: Mapping[str, list[Any]], file: IO[bytes]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(table)
    out.writerows(zip(*table.values(), strict=True))
    text.flush()
    text.detach()


def _write_parquet(table: Mapping[str, list[Any]], file: IO[bytes]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(dict(table)), file)


_WRITERS: Mapping[str, Callable[[Mapping[str, list[Any]], IO[bytes]], None]] = {
    ".csv": _write_csv, ".parquet": _write_parquet, ".pq": _write_parquet}


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the name only when it is complete."""
    part = path.with_name(f".{path.name}.part-{secrets.token_hex(4)}")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def predict(package_path: str | Path, data_path: str | Path, out_path: str | Path, *,
            intervals: bool = False) -> Written:
    """Predict every row of a source and write CSV or Parquet by extension; findings say what could not be read.

    `intervals` adds what `bounds` gives.
    Small plain CSV and JSON-lines files take a path without pandas that gives the same result. The output is complete
    or not there. Raises PackageError, DataError for rows that break the schema, UsageError for the output.
    """
    out = Path(out_path)
    if out.suffix.lower() not in _WRITERS:
        raise UsageError(f"the output must end in {', '.join(_WRITERS)}; got out={str(out)!r}.")
    if not out.parent.is_dir() or out.is_dir():
        raise UsageError(f"the output must be a file in an existing folder; got out={str(out)!r}, "
                         "create the folder first.")
    model = load(package_path)
    values, (paths, findings) = _values(model, data_path)
    named = {} if paths is None else {"path": list(paths)}
    more = bounds(model, values) if intervals else {}
    with _replacing(out) as file:
        _WRITERS[out.suffix.lower()]({**named, **columns(model, values), **more}, file)
    return Written(rows=len(values), findings=findings)
