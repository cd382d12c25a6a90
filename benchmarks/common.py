"""What the benchmarks share: real tables with their needs, outer splits, scoring of a package, result files."""

from __future__ import annotations

import csv
import dataclasses
import os
import platform
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.records import Need, frozen
from rightfit.resources.machine import machine, versions

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SAMPLE_S = 0.25
BLANK = ("<empty>", "<space>")  # blank cells are missing anyway
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process compiles its imports anew, as no user's does
SHOWN = ("rightfit", "numpy", "pandas", "scikit-learn", "lightgbm", "xgboost", "catboost", "onnxruntime")


def data_folder() -> Path:
    """The folder of real tables: RIGHTFIT_DATA, or shared/data beside the repository."""
    return Path(os.environ.get("RIGHTFIT_DATA", HERE.parent.parent / "shared" / "data"))


@frozen
class Real:
    """One real table: its file, what the index says about reading it, and the need that the index implies."""

    name: str
    path: Path
    reading: Mapping[str, Any]
    need: Need
    problem: str


def tables(only: Iterable[str] = ()) -> Iterator[Real]:
    """The tabular tables of the index, without their given test parts; with `only` those, in that order."""
    with (data_folder() / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["modality"] == "tabular" and row["file"] != row["test_file"]]
    known = {(real := _real(row)).name: real for row in rows}
    for name in only or known:
        if name not in known:
            raise SystemExit(f"table must be one of {', '.join(known)}; got table={name!r}.")
        yield known[name]


def _real(row: Mapping[str, str]) -> Real:
    reading: dict[str, Any] = {}
    if row["sep"] in (",", ";", "\\t"):
        reading = {"header": row["header"] == "yes", "separator": row["sep"].replace("\\t", "\t")}
    missing = tuple(token for token in row["na_marker"].split("|") if token and token not in BLANK)
    time = row["time_column"].split("|")[0]
    need = Need(target=row["target"] if row["header"] == "yes" else int(row["target"]),
                drop=tuple(filter(None, row["drop_columns"].split("|"))), missing=missing,
                group=row["group_column"] or None, time=None if time in ("", "row_order") else time)
    return Real(name=Path(row["file"]).name.split(".")[0], path=data_folder() / row["file"], reading=reading, need=need,
                problem=row["task"])


def load(real: Real) -> tuple[Any, Need]:
    """The raw frame of a table, and its need with the kinds that the file itself declares."""
    from rightfit.data import readers

    frame, origin = readers.read(str(real.path), Need(options=real.reading))
    target = real.need.target
    name = str(frame.columns[target]) if isinstance(target, int) else target
    return frame, dataclasses.replace(real.need, target=name, kinds=origin.get("kinds", {}))


def outer(frame: Any, need: Need, classifies: bool, share: float, seed: int) -> tuple[Any, Any]:
    """Row positions (rest, held): `held` is about this share of the rows, and nothing of it is ever shown to rightfit.

    The latest rows where a time column orders them; whole groups, copies of a row on one side, classes spread evenly.
    """
    import pandas as pd
    from sklearn.model_selection import GroupShuffleSplit, StratifiedGroupKFold

    n = len(frame)
    if need.time is not None:
        order = np.argsort(_when(frame[need.time]), kind="stable")
        cut = n - round(share * n)
        return np.sort(order[:cut]), np.sort(order[cut:])
    seen = frame.drop(columns=[need.target, *need.drop], errors="ignore")
    groups = (pd.factorize(frame[need.group].astype(str))[0] if need.group else
              pd.util.hash_pandas_object(seen.astype(str), index=False).to_numpy())
    if classifies:
        splitter = StratifiedGroupKFold(n_splits=max(2, round(1 / share)), shuffle=True, random_state=seed)
        rest, held = next(splitter.split(frame, frame[need.target].astype(str), groups))
    else:
        rest, held = next(GroupShuffleSplit(n_splits=1, test_size=share, random_state=seed).split(frame, None, groups))
    return np.sort(rest), np.sort(held)


def _when(values: Any) -> Any:
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    return (numbers if numbers.notna().all() else pd.to_datetime(values, format="mixed")).to_numpy()


@frozen
class Held:
    """Rows that were held out, as a delivered package sees them: codes or values y, predictions, labels, copies."""

    model: Any
    y: Any
    pred: Any
    codes: Any

    def score(self, name: str, seed: int = 0) -> tuple[float, float, float]:
        """A metric with the 95 % interval of its sampling: (value, low, high)."""
        from rightfit.metrics import base, interval

        return interval.bootstrap(self.y, self.pred, self.codes, base.find(name, self.model.task.problem),
                                  self.model.task, seed=seed, n=400)


def hold(package: Path, frame: Any) -> Held:
    """Let a delivered package predict raw rows, labels by its own rule; rows of classes it never saw are left out."""
    from rightfit.data.assemble import encode_target, target_present, target_texts
    from rightfit.package.read import load as read

    model = read(package)
    task = model.task
    frame = frame[target_present(frame, task)]
    if task.classifies:
        frame = frame[target_texts(frame[task.target[0]], None, task.classes).isin(task.classes).to_numpy()]
    frame = frame.reset_index(drop=True)
    y, pred = encode_target(frame, task), model.values(frame)
    if not task.classifies:
        return Held(model=model, y=y, pred=pred[:, 0], codes=None)
    place = {name: code for code, name in enumerate(task.classes)}
    return Held(model=model, y=y, pred=pred, codes=np.array([place[label] for label in model.decide(pred)]))


def about() -> dict[str, str]:
    """The columns that every result carries: machine, versions, date, load of the machine when it was measured."""
    found, installed = machine(), versions()
    libraries = [f"python {found['python']}", *(f"{name} {installed[name]}" for name in SHOWN if name in installed)]
    return {"machine": f"{found['cpu']}, {found['cores']} cores, {found['memory_mib'] / 1024:.0f} GiB, "
                       f"{platform.system()} {found['architecture']}",
            "versions": ", ".join(libraries),
            "date": datetime.now(UTC).date().isoformat(), "load_1m": f"{os.getloadavg()[0]:.1f}"}


def read_csv(name: str, folder: Path = RESULTS) -> list[dict[str, str]]:
    """The rows of an earlier result, none where there is no file."""
    path = folder / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_csv(name: str, rows: Iterable[Mapping[str, Any]], folder: Path = RESULTS) -> Path:
    """Write <folder>/<name>.csv whole; rows that do not say where they were measured get this machine's columns."""
    here = about()
    full = [{**row, **({} if row.get("machine") else here)} for row in rows]
    names = [k for k in dict.fromkeys(k for row in full for k in row) if k not in here]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.csv"
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*names, *here])
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in full)
    part.replace(path)
    return path


def append_csv(name: str, row: Mapping[str, Any], folder: Path = RESULTS) -> None:
    """Add one row to a result, so that a benchmark that is stopped goes on where it was."""
    write_csv(name, [*read_csv(name, folder), row], folder)


def show(row: Mapping[str, Any]) -> None:
    """Print one row of a result as one line."""
    print(" | ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)


def proportion(hits: int, n: int) -> str:
    """A share with its exact 95 % interval (Clopper and Pearson 1934).

    >>> proportion(9, 10)
    '9 of 10 (90.0 % [55.5, 99.7])'
    """
    from scipy.stats import binomtest

    if not n:
        return "0 of 0"
    ends = binomtest(hits, n).proportion_ci(method="exact")
    return f"{hits} of {n} ({100 * hits / n:.1f} % [{100 * ends.low:.1f}, {100 * ends.high:.1f}])"


class Tree(threading.Thread):
    """Samples the memory and the processor time of a process and all below it until it is gone; MiB and seconds."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.rss_mib, self.pss_mib, self.most = pid, 0.0, 0.0, 0
        self._busy: dict[tuple[int, float], float] = {}

    @property
    def cpu_s(self) -> float:
        """Processor seconds of every process seen, but for what each did after it was last seen."""
        return sum(self._busy.values())

    def run(self) -> None:
        """Sample until the process ends."""
        import psutil

        root = psutil.Process(self.pid)
        while True:
            try:
                every = [root, *root.children(recursive=True)]
                if root.status() == psutil.STATUS_ZOMBIE:
                    return
            except psutil.NoSuchProcess:
                return
            rss = pss = 0.0
            for process in every:
                try:
                    memory, used = process.memory_full_info(), process.cpu_times()
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
                rss, pss = rss + memory.rss / 2**20, pss + memory.pss / 2**20
                self._busy[process.pid, process.create_time()] = used.user + used.system
            self.rss_mib, self.pss_mib = max(self.rss_mib, rss), max(self.pss_mib, pss)
            self.most = max(self.most, len(every))
            time.sleep(SAMPLE_S)
