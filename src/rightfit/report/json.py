"""Decision -> decision.json: the stable object that other programs read."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rightfit.errors import DataError, UsageError
from rightfit.records import Decision, Finding, Task, asdict

SCHEMA = "rightfit.decision/1"
FILE = "decision.json"
_TRIAL = ("name", "family", "state", "metric", "latency_p95_ms", "memory_mib", "size_mib", "fit_s", "error")
_FINDING = ("code", "severity", "column", "evidence", "consequence")
_CHOSEN = ("name", "family", "params", "steps")
_ESTIMATE = ("metric", "value", "low", "high", "level", "n", "method")
_MEASURED = ("latency_p50_ms", "latency_p95_ms", "memory_mib", "size_mib", "throughput_per_s", "fit_s")
_SPENT = ("wall_s", "budget_s", "trials")


def clean(value: Any) -> Any:
    """Any value as JSON can hold it: NaN and infinities become None, NumPy values Python ones, everything else text.

    >>> clean({"a": float("nan"), 2: (1, "x")})
    {'a': None, '2': [1, 'x']}
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value.encode("utf-8", "replace"), "utf-8")
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if dataclasses.is_dataclass(value):
        return clean(asdict(value))
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(one) for one in value]
    if hasattr(value, "tolist"):
        return clean(value.tolist())
    return clean(str(value))


def _split(record: Mapping[str, Any], names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The named fields, None where absent, and the rest."""
    return {n: record.get(n) for n in names}, {k: v for k, v in record.items() if k not in names}


def _interval(metric: Any) -> dict[str, Any]:
    if isinstance(metric, Mapping):
        return {name: metric.get(name) for name in ("value", "low", "high")}
    return {"value": metric, "low": None, "high": None}


def _task(task: Task) -> tuple[dict[str, Any], dict[str, Any]]:
    fields, rest = _split(asdict(task), ("modality", "problem", "target", "metric"))
    fields["target"] = task.target[0] if len(task.target) == 1 else list(task.target)
    return fields, rest


def _trials(trials: tuple[Mapping[str, Any], ...]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rows, rest = [], {}
    for trial in trials:
        row, more = _split(trial, _TRIAL)
        row["metric"] = _interval(row["metric"])
        row["error"] = row["error"] or ""
        rows.append(row)
        rest[str(row["name"])] = more
    return rows, {name: more for name, more in rest.items() if more}


def _findings(findings: tuple[Finding, ...]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    both = [_split(asdict(finding), _FINDING) for finding in findings]
    return [kept for kept, _ in both], [more for _, more in both]


def to_json(decision: Decision) -> dict[str, Any]:
    """The stable object of decision.json, JSON values only; what has no place in it goes to `extras`.

    `task.target` is one name, or a list when there are several. `extras.task`, `extras.trials` (by name) and
    `extras.findings` (same order as `findings`) hold the fields of these records that the stable part leaves out.
    Keys of `measured`, `estimate` and `spent` are always there, None where nothing was measured.
    """
    task, task_more = _task(decision.task)
    trials, trials_more = _trials(decision.trials)
    findings, findings_more = _findings(decision.findings)
    chosen = decision.chosen
    spent: dict[str, Any] = {name: None for name in _SPENT} | dict(decision.spent)
    more = {"task": task_more, "trials": trials_more, "findings": findings_more}
    return dict(clean({
        "schema": SCHEMA,
        "status": decision.status,
        "task": task,
        "chosen": None if chosen is None else {"params": {}, "steps": []} | dict(chosen),
        "estimate": dict.fromkeys(_ESTIMATE) | dict(decision.estimate),
        "measured": dict.fromkeys(_MEASURED) | dict(decision.measured),
        "limits": [asdict(limit) for limit in decision.limits],
        "nearest": decision.nearest,
        "ties": decision.ties,
        "front": decision.front,
        "baseline": decision.baseline,
        "trials": trials,
        "rejected": [{"name": one.get("name", ""), "reason": one.get("reason", "")} for one in decision.rejected],
        "findings": findings,
        "what_would_change": decision.what_would_change,
        "spent": spent,
        "machine": decision.machine,
        "versions": decision.versions,
        "seed": decision.seed,
        "why": decision.why,
        "extras": more | dict(decision.extras),
    }))


def text(data: Mapping[str, Any]) -> str:
    """The object as the text of a JSON file, UTF-8, ends with a line break."""
    return json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_whole(path: Path, content: str) -> Path:
    """Write a UTF-8 file so that a reader sees the old content or the new one, never half of it. Raises UsageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UsageError(f"the report's folder must be writable; got folder={str(path.parent)!r}, "
                         f"{error.strerror}, choose another.") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def write_json(decision: Decision | Mapping[str, Any], folder: str | Path) -> Path:
    """Write decision.json into a folder, atomically; give its path. Raises UsageError."""
    data = to_json(decision) if isinstance(decision, Decision) else clean(decision)
    return write_whole(Path(folder) / FILE, text(data))


def read(folder: str | Path) -> dict[str, Any]:
    """The decision of a run folder, or of a decision.json given itself. Raises UsageError or DataError."""
    path = Path(folder)
    path = path / FILE if path.is_dir() else path
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"a run folder must hold {FILE}; got folder={str(folder)!r}, {error.strerror or error}, "
                         f"run `rightfit choose` first.") from error
    except ValueError as error:
        raise DataError(f"{FILE} must be JSON in UTF-8; got file={str(path)!r}, {error}, "
                        f"run `rightfit choose` again.") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        version = found.get("schema") if isinstance(found, dict) else type(found).__name__
        raise DataError(f"{FILE} must have schema {SCHEMA!r}; got schema={version!r} in file={str(path)!r}, "
                        f"write it again with this version.")
    return found
