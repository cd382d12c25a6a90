"""Holds the audit against the traps that the index of the real tables lists.

    RIGHTFIT_DATA=../shared/data python benchmarks/audit.py [name ...]

For every tabular table: the table is read, understood and audited as `rightfit audit` does it; the findings (and the
reader's
notes) are compared with the index: leaks, ids and constants among `drop_columns`, missing markers, group and time
columns. A false
alarm is a leak, id, marker, group or time claim of severity warning or severe that the index does not list; questions
(severity ask) that it does not list are counted beside them. Writes benchmarks/results/audit.csv.
"""

from __future__ import annotations

import csv
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from rightfit.data.assemble import assemble
from rightfit.data.audit import audit
from rightfit.records import Audit, Need, Task
from rightfit.registry import plugins
from rightfit.task.understand import understand

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("RIGHTFIT_DATA", HERE.parent.parent / "shared" / "data"))
CLAIMS = {"target_leak": "leak", "leak_hint": "leak", "id_column": "id", "constant": "constant",
          "hidden_missing": "marker",
          "missing_marker": "marker", "group_leakage": "group", "time_order": "time"}


def read(row: dict[str, str]) -> tuple[Audit, Task, list[str], float]:
    """The audit of one table, its task, its column names, and the seconds the audit took."""
    target: str | int = row["target"] if row["header"] == "yes" else int(row["target"])
    need = Need(target=target)
    source = str(DATA / row["file"])
    modality = next(m for m in plugins("rightfit.data.modalities").values() if m.claims(source, need))
    table = modality.read(source, need)
    task = understand(table.frame, table.schema, need, modality.name)
    data = assemble(table.frame, table.schema, task)
    start = time.perf_counter()
    return audit(data, task, notes=table.findings), task, [str(c)
                                                           for c in table.frame.columns], time.perf_counter() - start


def traps(row: dict[str, str], columns: list[str]) -> list[tuple[str, str, set[str]]]:
    """(kind, what, columns any of which counts) for every trap the index lists; positions become the reader's names."""
    def named(text: str) -> str:
        return columns[int(text)] if row["header"] != "yes" and text.isdigit() else text

    found = [("drop", name, {named(name)}) for name in row["drop_columns"].split("|") if name]
    for token in filter(None, row["na_marker"].split("|")):
        value, _, where = token.partition("@")
        for name in where.split(",") if where else [""]:
            found.append(("marker", f"{value}@{name}" if name else value, {named(name)} if name else set()))
    found += [("group", name, {named(name)}) for name in row["group_column"].split("|") if name]
    if row["time_column"]:
        listed = set() if row["time_column"] == "row_order" else {named(n) for n in row["time_column"].split("|")}
        found.append(("time", row["time_column"], listed))
    return found


def hit(kind: str, what: str, where: set[str], result: Audit, task: Task) -> bool:
    """Whether a trap was named by a finding or by a question of the task."""
    claims = [(CLAIMS.get(f.code, ""), f) for f in result.findings]
    if kind == "drop":
        return any(c in ("leak", "id", "constant") and f.column in where for c, f in claims)
    if kind == "marker" and not where:
        spelled = {"<empty>": "", "<space>": " "}.get(what, what)
        return any(f.code == "missing_values" if spelled == "" else c == "marker" and spelled in _marks(f) for c,
                   f in claims)
    if kind == "marker":
        return any(c == "marker" and f.column in where for c, f in claims)
    flag = "--group " if kind == "group" else "--time "
    asked = any(flag in q and (not where or any(flag + w in q for w in where)) for q in task.questions)
    return asked or any(c == kind and (not where or f.column in where) for c, f in claims)


def _marks(finding: Any) -> list[str]:
    """The strings a marker finding names; its data hold them as a list of values or as a count per marker."""
    return [str(m) for key in ("values", "markers") for m in finding.data.get(key, ())]


def false_alarms(listed: list[tuple[str, str, set[str]]], result: Audit) -> tuple[list[str], list[str]]:
    """Claims that the index does not list: those of severity warning or severe, and the questions."""
    drops = {c for kind, _, where in listed if kind == "drop" for c in where}
    whole = {what for kind, what, where in listed if kind == "marker" and not where}
    good: dict[str, Any] = {"leak": drops, "id": drops, "constant": drops}
    for kind in ("marker", "group", "time"):
        good[kind] = {c for k, _, where in listed if k == kind for c in where}
    anywhere = {k for k, _, where in listed if k == "time" and not where}
    alarms: list[str] = []
    asks: list[str] = []
    for f in result.findings:
        kind = CLAIMS.get(f.code, "")
        if not kind or kind == "constant" or kind in anywhere or f.column in good[kind]:
            continue
        if kind == "marker" and {{"": "<empty>", " ": "<space>"}.get(m, m) for m in _marks(f)} & whole:
            continue
        (alarms if f.severity in ("warning", "severe") else asks).append(f"{f.code}:{f.column}")
    return alarms, asks


def main(only: list[str]) -> int:
    index = pd.read_csv(DATA / "index.csv", dtype=str, keep_default_na=False)
    rows = [{str(k): str(v) for k, v in r.items()} for r in index.to_dict("records") if r["modality"] == "tabular"]
    lines: list[dict[str, Any]] = []
    for row in rows:
        if only and not any(o in row["file"] for o in only):
            continue
        try:
            result, task, columns, seconds = read(row)
        except Exception as error:  # A table that cannot be read is a miss of all its traps, and the benchmark goes on.
            print(f"{row['file']}: {type(error).__name__}: {error}")
            count = len(traps({**row, "header": "yes"}, []))
            lines.append({"file": row["file"], "traps": count, "found": 0, "missed": "not read",
                          "error": str(error)[:200]})
            continue
        listed = traps(row, columns)
        missed = [f"{k}:{w}" for k, w, where in listed if not hit(k, w, where, result, task)]
        alarms, asks = false_alarms(listed, result)
        failed = [f.evidence for f in result.findings if f.code in ("check_failed", "check_skipped")]
        lines.append({"file": row["file"], "traps": len(listed), "found": len(listed) - len(missed),
                      "missed": " ".join(missed),
                      "false_alarms": len(alarms), "alarms": " ".join(alarms), "questions": len(asks),
                      "asked": " ".join(asks),
                      "problem": task.problem, "listed_problem": row["task"], "seconds": round(seconds, 2),
                      "error": " ".join(failed)})
        print(" | ".join(f"{k} {v}" for k, v in lines[-1].items() if v not in ("", 0) or k in ("found",
                                                                                               "false_alarms")),
              flush=True)
    total, found = sum(x["traps"] for x in lines), sum(x["found"] for x in lines)
    most = max(x.get("false_alarms", 0) for x in lines)
    share = found / total if total else 1.0
    print(f"\n{found} of {total} traps found ({share:.1%}); false alarms: "
          f"{sum(x.get('false_alarms', 0) for x in lines)} over "
          f"{len(lines)} tables, at most {most} in one; unlisted questions: "
          f"{sum(x.get('questions', 0) for x in lines)}")
    if not only:
        write(lines)
    return 0 if share >= 0.95 and most <= 1 else 1


def write(lines: list[dict[str, Any]]) -> None:
    """benchmarks/results/audit.csv with the versions and the machine in every row."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    about = {"python": platform.python_version(), "machine": platform.machine(),
             **{name: version(name) for name in ("rightfit", "pandas", "numpy", "lightgbm", "cleanlab")}}
    with open(folder / "audit.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*dict.fromkeys(k for line in lines for k in line), *about])
        writer.writeheader()
        writer.writerows({**line, **about} for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
