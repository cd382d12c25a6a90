"""`rightfit replay`: months of production on a table in the order of time; what updates would have brought.

The first rows choose a model. Then period after period is predicted by three champions: one that is never updated; one
that is fitted again after every period, on the newest labelled rows, and deployed as it is; and one that the monitor
watches, which is updated when it alarms. Labels are known once their period is over. What is done is a line of
`periods.jsonl`, so that a replay that was stopped goes on.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import units
from rightfit.choose import choose
from rightfit.delivery import due, update, versions, ways
from rightfit.delivery.monitor import check
from rightfit.delivery.monitor.compare import Past, Rules
from rightfit.errors import DataError, RightfitError, UsageError
from rightfit.package import LoadedModel, load
from rightfit.records import Dataset, Need, asdict, frozen, revive

POLICIES = ("never", "every", "alarm")
LINES, NEED, FIRST = "periods.jsonl", "replay.json", "first"
FEWEST, MOST_WAIT = 30, 6


@frozen
class Plan:
    """How time is cut. first: rows that choose the model, or a share below 1; period: 500rows or 30d, of the rest.

    learn: newest labelled rows that an update may use, as many as `first` by default. rules: when the monitor alarms.
    cooldown: periods after an update was looked for in which none is; twice as many each time that nothing came of it.
    """

    first: float = 0.3
    period: str = "30d"
    learn: int | None = None
    rules: Rules | None = None
    cooldown: int = 3


@frozen
class Sum:
    """One policy over all periods: the metric's mean over rows, accuracy (nan for values), what retraining cost.

    looked: times an update was looked for; updated: times another model went live; seconds: CPU time of retraining.
    """

    policy: str
    value: float
    accuracy: float
    looked: int
    updated: int
    seconds: float


@frozen
class Replayed:
    """A whole replay. periods: a mapping each, see `periods.jsonl`; covered: of the periods with an estimate without
    labels, how many realised scores lay in its interval; alarms: windows that alarmed."""

    metric: str
    sums: tuple[Sum, ...]
    periods: tuple[Mapping[str, Any], ...]
    estimated: int
    covered: int
    alarms: int


@frozen
class _Champions:
    """The folders of the three champions, and what they learn from."""

    never: Path
    every: Path
    alarm: Path


def replay(source: Any, need: Need, *, out: str | Path, plan: Plan | None = None,
           watch: Callable[[Mapping[str, Any]], None] = lambda line: None) -> Replayed:
    """Play production on a labelled table; `need` names target and time. Goes on where it was stopped.

    source: a path or a frame. out: a folder of its own. watch: hears every period. Raises DataError, UsageError.
    """
    plan, home = plan or Plan(), Path(out)
    frame, when = _ordered(source, need)
    first, edges = cut(when, plan)
    learn = plan.learn or first
    if learn < update.WATCHED:
        raise UsageError(f"updates must see {update.WATCHED} labelled rows; got learn={learn}, take more, or more "
                         "first rows.")
    home.mkdir(parents=True, exist_ok=True)
    _same(home, need, plan, len(frame))
    chosen = choose(frame.iloc[:first].reset_index(drop=True), need, out=home / "run")
    if chosen.decision.chosen is None:
        raise DataError(f"a replay needs a model that meets the limits; got none on the first rows={first}, relax a "
                        "limit.")
    at = _Champions(never=home / "run" / "package", every=home / "every", alarm=home / "alarm")
    if not versions.is_registry(at.alarm):
        details = update.promise(at.never)
        versions.promote(at.alarm, versions.add(at.alarm, at.never, run="run", details=details))
    lines = _lines(home)
    live = lines[-1]["alarm"]["live"] if lines else 1
    if versions.read(at.alarm).champion != live:  # stopped after an update, before its period was a line
        versions.rollback(at.alarm, why="The period is played again.")
    for number in range(len(lines), len(edges) - 1):
        line = _played(frame, (edges[number], edges[number + 1]), learn, at, lines, plan)
        with (home / LINES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        lines.append(line)
        watch(line)
    return summed(lines, load(at.never).task.metric)


def _ordered(source: Any, need: Need) -> tuple[Any, Any]:
    """The rows with their target, in the order of time, and their time: int64 ns, or numbers."""
    import pandas as pd

    from rightfit.data.table import pick

    if need.time is None or need.target is None:
        raise UsageError(f"a replay needs a target and a time; got target={need.target!r}, time={need.time!r}, name "
                         "both.")
    frame = source if hasattr(source, "iloc") else pick(source, need).read(source, need).frame
    for name in (need.time, *([need.target] if isinstance(need.target, str) else [])):
        if name not in frame.columns:
            raise DataError(f"a replay's table must hold column={name!r}; got {list(frame.columns)[:5]}, name another.")
    given = frame[need.time]
    numbers = pd.to_numeric(given, errors="coerce")
    if numbers.notna().all():
        when = numbers.to_numpy(float)
    else:
        parsed = pd.to_datetime(given, errors="coerce", utc=True, format="mixed")
        if parsed.isna().any():
            row = int(np.flatnonzero(parsed.isna())[0])
            raise DataError(f"every row must have a time; got {need.time}={given.iloc[row]!r} in row={row}, fill it or "
                            "leave the row out.")
        when = parsed.astype("datetime64[ns, UTC]").astype("int64").to_numpy()
    order = np.argsort(when, kind="stable")
    return frame.iloc[order].reset_index(drop=True), when[order]


def cut(when: Any, plan: Plan) -> tuple[int, list[int]]:
    """(rows that choose, ends of the periods): when (n,) in order. Raises UsageError, DataError.

    >>> cut(np.arange(400.0), Plan(first=0.4, period="100rows"))
    (160, [160, 260, 360])
    """
    n = len(when)
    first = int(plan.first * n) if plan.first < 1 else int(plan.first)
    text = plan.period.replace("rows", "").strip()
    if text.isdigit():
        step = int(text)
        edges = list(range(first, n + 1, step)) if step else []
    elif when.dtype.kind == "f":
        raise UsageError(f"a time of numbers is cut by rows; got period={plan.period!r}, write 500rows.")
    else:
        width = int(units.seconds(plan.period, "period") * 1e9)
        marks = np.arange(when[min(first, n - 1)], when[-1] + 1, width)
        edges = np.unique([*np.searchsorted(when, marks[1:]), first]).tolist()
    edges = [first] + [e for e in edges if e > first]
    short = [b - a for a, b in pairwise(edges) if b - a < FEWEST]
    if first < update.FEWEST or len(edges) < 3:
        raise DataError(f"a replay needs {update.FEWEST} rows to choose on and 2 periods after them; got "
                        f"rows={n}, first={first}, periods={len(edges) - 1}, take shorter ones.")
    if short:
        raise DataError(f"a period must hold {FEWEST} rows; got one of rows={min(short)}, take longer ones.")
    return first, edges


def _same(home: Path, need: Need, plan: Plan, rows: int) -> None:
    """Whether the folder holds this replay, or none yet. Raises UsageError."""
    wanted = json.loads(json.dumps({"target": need.target, "time": need.time, "metric": need.metric, "rows": rows,
                                    "plan": asdict(plan)}))
    path = home / NEED
    if not path.exists():
        path.write_text(json.dumps(wanted), encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != wanted:
        raise UsageError(f"a folder holds one replay; got out={str(home)!r} with another one, name another folder.")


def _lines(home: Path) -> list[dict[str, Any]]:
    """What was played before; a torn last line is cut off and played again."""
    path = home / LINES
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[:content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    return [json.loads(line) for line in whole.splitlines()]


def _played(frame: Any, edges: tuple[int, int], learn: int, at: _Champions, before: list[dict[str, Any]],
            plan: Plan) -> dict[str, Any]:
    """One period: predicted by all three, then its labels are known and two of them may be renewed."""
    start, end = edges
    window = frame.iloc[start:end].reset_index(drop=True)
    known = frame.iloc[max(0, end - learn):end].reset_index(drop=True)
    never = load(at.never)
    last = before[-1]["every"]["package"] if before else FIRST
    every = never if last == FIRST else load(at.every / last)
    line: dict[str, Any] = {"period": len(before), "start": start, "end": end, "rows": end - start,
                            "never": _scored(never, window), "every": _scored(every, window),
                            "alarm": _scored(load(versions.champion(at.alarm)), window)}
    line["every"] |= _every(never, known, at.every, last, len(before))
    line["alarm"] |= _watched(window, known, at.alarm, before, plan)
    return line


def _rows(model: LoadedModel, frame: Any) -> Dataset:
    from rightfit.data.assemble import assemble

    return assemble(frame, model.schema, model.task)


def _scored(model: LoadedModel, window: Any) -> dict[str, Any]:
    from rightfit.metrics import base
    from rightfit.metrics import rules as scoring

    task, rows = model.task, _rows(model, window)
    pred, codes = due.delivered(model, rows)
    value = scoring.of_rows(base.find(task.metric, task.problem), rows.y, pred, codes, np.arange(len(rows)), task)
    found = {"value": float(value), "labelled": len(rows)}
    if codes is not None and codes.ndim == 1:
        found["accuracy"] = float(np.mean(codes == rows.y))
    return found


def _every(never: LoadedModel, known: Any, home: Path, last: str, number: int) -> dict[str, Any]:
    """The first model's candidate on the newest labelled rows; where that fails, the package before stays."""
    started, name, said = time.process_time(), str(number), ""
    home.mkdir(exist_ok=True)
    try:
        ways.refit(never, _rows(never, known)).write(home / name)
    except (RightfitError, ValueError, ArithmeticError) as error:
        said, name = str(error)[:200], last
    for old in home.iterdir():
        if old.name not in (name, last):  # the last one is needed again if this period is
            shutil.rmtree(old)
    return {"package": name, "seconds": time.process_time() - started, "looked": True, "updated": not said,
            "error": said}


def _watched(window: Any, known: Any, registry: Path, before: list[dict[str, Any]], plan: Plan) -> dict[str, Any]:
    """One look of the monitor; where it alarms an update is looked for, less and less often if nothing came of it."""
    rules, cooldown = plan.rules or Rules(), plan.cooldown
    now, mine = versions.read(registry), [line["alarm"] for line in before]
    seen = [revive(Past, one["past"]) for one in mine if one["version"] == now.champion]
    found, past = check.look(versions.champion(registry), window, past=seen, rules=rules)
    wait = mine[-1]["wait"] if mine else 0
    line: dict[str, Any] = {"alarmed": found.alarm, "lost": list(found.lost), "past": asdict(past),
                            "drifted": [f.name for f in found.features if f.alarm], "version": now.champion,
                            "expected": asdict(found.expected), "estimated": asdict(found.estimated),
                            "realised": asdict(found.realised), "looked": False, "updated": False, "seconds": 0.0,
                            "wait": max(0, wait - 1), "failed": mine[-1]["failed"] if mine else 0, "said": ""}
    if found.alarm and not wait:
        done = update.update(registry, known)
        line |= {"looked": done.status != "not due", "updated": done.status == "promoted", "seconds": done.seconds,
                 "said": " ".join(done.why)}
        failed = 0 if done.status == "promoted" else line["failed"] + (done.status == "kept")
        line |= {"failed": failed, "wait": min(cooldown * 2**max(failed - 1, 0), MOST_WAIT) if line["looked"] else 0}
    return line | {"live": versions.read(registry).champion}


def summed(lines: list[dict[str, Any]], metric: str) -> Replayed:
    """The policies side by side, weighted by rows."""
    found = []
    for policy in POLICIES:
        every = [line[policy] for line in lines]
        weight = [one["labelled"] for one in every]
        accuracy = [one.get("accuracy", float("nan")) for one in every]
        found.append(Sum(policy=policy, value=float(np.average([one["value"] for one in every], weights=weight)),
                         accuracy=float(np.average(accuracy, weights=weight)),
                         looked=sum(one.get("looked", False) for one in every),
                         updated=sum(one.get("updated", False) for one in every),
                         seconds=float(sum(one.get("seconds", 0.0) for one in every))))
    guessed = [line["alarm"] for line in lines if line["alarm"]["estimated"] and line["alarm"]["realised"]]
    covered = sum(g["estimated"]["low"] <= g["realised"]["value"] <= g["estimated"]["high"] for g in guessed)
    return Replayed(metric=metric, sums=tuple(found), periods=tuple(lines), estimated=len(guessed), covered=covered,
                    alarms=sum(line["alarm"]["alarmed"] for line in lines))


def text(found: Replayed) -> str:
    """A replay for people: the policies, then what the monitor saw."""
    names = {"never": "no updates", "every": "after every period", "alarm": "when the monitor alarms"}
    least = found.sums[1]
    lines = [f"{len(found.periods)} periods, {sum(p['rows'] for p in found.periods)} rows; {found.metric}:"]
    for one in found.sums:
        share = f", {one.seconds / least.seconds:.0%} of every period's" if one.policy == "alarm" and least.seconds \
            else ""
        right = f", accuracy {one.accuracy:.4f}" if one.accuracy == one.accuracy and found.metric != "accuracy" else ""
        lines.append(f"  {names[one.policy]:24} {one.value:.4f}{right}; {one.updated} updates of {one.looked} looked "
                     f"for, {one.seconds:.1f} s of retraining{share}")
    lines.append(f"{found.alarms} windows alarmed; the estimate without labels covered the realised score in "
                 f"{found.covered} of {found.estimated}.")
    return "\n".join(lines)
