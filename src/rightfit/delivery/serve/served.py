"""One loaded model as the server uses it: its contract, its answers, its reasons, its version."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rightfit.data.values import Unreadable, parser
from rightfit.errors import DataError, PackageError
from rightfit.package import LoadedModel, load
from rightfit.records import frozen

Record = Mapping[str, Any]
MAX_WARM = 5
SHORTEST = 32  # no picture is smaller than this in base64, and many a path is
ENCODED = "encoded bytes (multipart), base64, or a base64 data URI"
STORED = 1000  # a schema keeps so many categories; of a longer list it cannot tell which value is new


class Invalid(DataError):
    """Records that break the contract; `faults` holds {"row", "field", "must", "got"} for each."""

    def __init__(self, faults: Sequence[Mapping[str, Any]]) -> None:
        first = faults[0]
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        super().__init__(f"field {first['field']!r} must hold {first['must']}; got {first['got']} in "
                         f"row={first['row']}{more}, correct it.")
        self.faults = [dict(fault) for fault in faults]


@frozen
class Scored:
    """The answers to some records: calibrated values (n, k), one answer a record, reasons where asked for."""

    values: Any
    answers: tuple[dict[str, Any], ...]
    reasons: tuple[list[dict[str, Any]], ...] = ()


def version_of(path: Path) -> str:
    """SHA-256 of a package's manifest, which itself holds the hash of every file."""
    if path.is_dir():
        return hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest()
    with zipfile.ZipFile(path) as archive:
        name = next((n for n in archive.namelist() if n == "manifest.json" or n.endswith("/manifest.json")), None)
        if name is None:
            raise PackageError(f"a package must hold manifest.json; got path={str(path)!r} without it.")
        return hashlib.sha256(archive.read(name)).hexdigest()


def shown(value: Any) -> str:
    """A value for a message, short."""
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Served:
    """A package ready to serve; `verify` is the public key that must have signed it, `number` its registry version.

    Raises PackageError when made from one that is damaged, or signed otherwise.
    """

    def __init__(self, path: Path, verify: str | None = None, number: int | None = None) -> None:
        from rightfit.registry import plugins

        if verify is not None:
            from rightfit.package import sign

            sign.check(path, verify)
        self.version, self.number = version_of(path), number
        self.model: LoadedModel = load(path)
        self.path = path
        added = plugins("rightfit.data.column_kinds")
        self.features = self.model.schema.features
        self.names = tuple(column.name for column in self.features)
        self.media = frozenset(column.name for column in self.features if column.kind in added)
        self._known = frozenset(column.name for column in self.model.schema.columns)
        self._categories = {c.name: frozenset(c.categories) for c in self.features
                            if c.kind == "categorical" and 0 < len(c.categories) < STORED}
        self._ranges = {c.name: (c.low, c.high) for c in self.features
                        if c.kind == "numeric" and c.low is not None and c.high is not None}
        self._moments = frozenset(c.name for c in self.features if c.kind == "datetime")
        self._reference = self._typical()

    @property
    def identity(self) -> dict[str, Any]:
        """Which model this is, as every answer says."""
        number = {} if self.number is None else {"registry_version": self.number}
        return {"model_version": self.version, **number}

    @property
    def threshold(self) -> Any:
        """The threshold of the rule: a number, one per label, or None where the likeliest or cheapest class wins."""
        rule, task = self.model.rule, self.model.task
        if rule.threshold:
            return rule.threshold[0] if len(rule.threshold) == 1 else list(rule.threshold)
        return 0.5 if task.problem in ("binary", "multilabel") and not rule.cost else None

    def edges(self) -> tuple[float, ...]:
        """Where the histogram of predicted values is cut: ten steps over what the package says of its own sample."""
        if self.model.task.classifies or not self.model.sample:
            return ()
        values = self.model.values(list(self.model.sample))
        low, high = float(values.min()), float(values.max())
        return tuple(low + (high - low) * i / 10 for i in range(11)) if low < high else (low,)

    def warm(self) -> float:
        """Score the package's own sample a few times; seconds of one row. Raises what scoring raises."""
        import time

        rows = [dict(record) for record in self.model.sample[:MAX_WARM]]
        best = 0.0
        for row in rows:
            start = time.perf_counter()
            self.model.predict_one(row)
            took = time.perf_counter() - start
            best = took if not best else min(best, took)
        if len(rows) > 1:
            self.model.values(rows)
        return best

    def parse(self, records: Sequence[Record], seen: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
        """Records as values of the schema; adds to `seen` {(what, field): rows}. Raises Invalid."""
        rows, faults = [], []
        for at, record in enumerate(records):
            if self.media:
                record = self._encoded(record)
            odd = [name for name in self.names if type(record.get(name)) in (list, dict, tuple)]
            odd += [name for name in self.media if self._is_path(record.get(name))]
            try:
                rows.append({} if odd else self.model.parse(record))
            except (DataError, ValueError, TypeError, OverflowError):
                faults += self._faults(at, record)
            if odd:
                faults += self._faults(at, record)
            elif rows and not faults:
                self._count(record, rows[-1], seen)
        if faults:
            for fault in faults:
                seen["invalid", fault["field"] if fault["field"] in self._known else ""] += 1
            raise Invalid(faults)
        return rows

    def _encoded(self, record: Record) -> Record:
        """Media given as plain base64, or as {"b64": base64} (TensorFlow Serving's form), as their bytes."""
        found = dict(record)
        for name in self.media:
            value = found.get(name)
            if isinstance(value, dict) and set(value) == {"b64"}:
                value = value["b64"]
            if isinstance(value, str) and self._is_path(value) and len(value) >= SHORTEST:
                try:
                    found[name] = base64.b64decode(value, validate=True)
                except (binascii.Error, ValueError):
                    continue
        return found

    @staticmethod
    def _is_path(value: Any) -> bool:
        # Whoever may ask for a prediction may not read files of this machine.
        return isinstance(value, str) and bool(value.strip()) and not value.lstrip().startswith("data:")

    def _faults(self, at: int, record: Record) -> list[dict[str, Any]]:
        faults = []
        for column in self.features:
            name, must = column.name, ""
            if name not in record:
                faults.append({"row": at, "field": name, "must": "a value, null when unknown", "got": "no such field"})
                continue
            value = record[name]
            if name in self.media and self._is_path(value):
                must = ENCODED
            elif type(value) in (list, dict, tuple):
                must = "a single value"
            else:
                try:
                    parser(column)(value)
                except Unreadable as error:
                    must = ENCODED if name in self.media else str(error)
                except (DataError, ValueError, TypeError, OverflowError) as error:
                    must = f"a value that can be read as {column.kind} ({str(error)[:100]})"
            if must:
                faults.append({"row": at, "field": name, "must": must, "got": shown(value)})
        return faults or [{"row": at, "field": self.names[0] if self.names else "", "must": "readable values",
                           "got": "a record that cannot be read"}]

    def _count(self, record: Record, row: Record, seen: Counter[tuple[str, str]]) -> None:
        for name, value in row.items():
            if value is None or value != value:
                seen["missing", name] += 1
            elif name in self._categories:
                if value not in self._categories[name]:
                    seen["unseen", name] += 1
            elif name in self._ranges:
                low, high = self._ranges[name]
                if not low <= value <= high:
                    seen["range", name] += 1
        if len(record) > len(row):
            extra = sum(name not in self._known for name in record)
            if extra:
                seen["extra", ""] += 1

    def score(self, rows: Sequence[Record], records: Sequence[Record], reasons: int = 0) -> Scored:
        """Answers to parsed rows; `records` are the raw ones that reasons quote. Raises Invalid, DataError."""
        try:
            values = self.model.values_of(rows)
        except DataError:
            raise Invalid(self._undecoded(rows, records)) from None
        answers = tuple(self.model.answer(one) for one in values)
        found = tuple(self._why(row, record, value, reasons) for row, record, value
                      in zip(rows, records, values, strict=True)) if reasons else ()
        return Scored(values=values, answers=answers, reasons=found)

    def _undecoded(self, rows: Sequence[Record], records: Sequence[Record]) -> list[dict[str, Any]]:
        """Which rows hold what only shows when it is decoded: a damaged picture, none at all."""
        faults = []
        for at, row in enumerate(rows):
            try:
                self.model.values_of([row])
            except DataError as error:
                named = sorted(self.media) or list(self.names)
                faults.append({"row": at, "field": named[0] if named else "",
                               "must": "what can be decoded" if row.get(named[0]) is not None else "a value",
                               "got": getattr(error, "reason", "") or shown(records[at].get(named[0]))})
        return faults or [{"row": 0, "field": "", "must": "what can be scored together", "got": f"{len(rows)} rows"}]

    def _typical(self) -> dict[str, Any]:
        """Of each feature the median or the most frequent value of the package's sample: what reasons compare with."""
        rows = []
        for record in self.model.sample:
            try:
                rows.append(self.model.parse(record))
            except DataError:
                continue
        found: dict[str, Any] = {}
        for column in self.features:
            values = [row[column.name] for row in rows]
            known = sorted(v for v in values if v is not None and v == v)
            missing = float("nan") if column.kind in ("numeric", "boolean") else None
            if column.kind in ("numeric", "datetime", "boolean"):
                found[column.name] = known[len(known) // 2] if known else missing
            elif column.kind == "categorical":
                found[column.name] = Counter(known).most_common(1)[0][0] if known else missing
            else:
                found[column.name] = missing
        return found

    def _why(self, row: Record, record: Record, value: Any, top: int) -> list[dict[str, Any]]:
        """Occlusion: how the output changes when one feature takes its typical value and the others stay.

        Effects are of the predicted class's probability, of the value otherwise; they do not add up where features
        act together. Media columns have no typical value and are left out (Zeiler and Fergus 2014, section 4.2).
        """
        names = [name for name in self.names if name not in self.media and not _same(row[name], self._reference[name])]
        if not names:
            return []
        changed = self.model.values_of([{**row, name: self._reference[name]} for name in names]
                                       + [dict(row)])
        at = int(value.argmax()) if self.model.task.classifies else 0
        if self.model.task.one_label:
            at = self.model.task.classes.index(self.model.answer(value)["prediction"])
        effects = changed[-1, at] - changed[:-1, at]
        order = sorted(range(len(names)), key=lambda i: -abs(float(effects[i])))
        return [{"field": names[i], "value": record.get(names[i]), "reference": self._readable(names[i]),
                 "effect": float(effects[i])} for i in order[:top] if effects[i] != 0]

    def _readable(self, name: str) -> Any:
        """A typical value as a caller would have sent it."""
        value = self._reference[name]
        if value is None or value != value:
            return None
        if name in self._moments:
            return datetime.fromtimestamp(value / 1e9, UTC).isoformat()
        return value


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (a != a and b != b)
