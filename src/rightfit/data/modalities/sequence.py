"""Sequences: a table in time order becomes rows of forecast origins, history as features, the horizon as targets.

Row of origin t: target[t-0], target[t-1], ... (lags), the calendar at t; targets are target[t+1] ... target[t+horizon].
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from rightfit.data import readers
from rightfit.data.modalities._sequence_example import example, hard
from rightfit.data.schema import coerce, infer, positions
from rightfit.data.table import Modality, Table
from rightfit.errors import DataError, UsageError
from rightfit.records import Column, Finding, Need, Schema

BLOCK, SPAN = "block[t]", "span[t]"
MAX_ORIGINS = 50_000
MAX_LAGS = 400
_CYCLES = {"hour": 86_400.0, "weekday": 7 * 86_400.0, "year": 365.2425 * 86_400.0}


def claims(source: Any, need: Need) -> bool:
    """Whatever a reader accepts, once a horizon is asked for."""
    return need.horizon is not None and readers.find(source) is not None


def posed(need: Need, table: Table) -> Need:
    """The need as it reads on rows of origins: all steps ahead are targets, folds stay a horizon apart."""
    target = tuple(c.name for c in table.schema.columns if c.role == "target")
    return dataclasses.replace(need, target=target, problem="forecasting", time=BLOCK, group=SPAN)


def read(source: Any, need: Need) -> Table:
    """Origins of every series. Raises DataError: times twice, not enough rows; UsageError: no or several targets."""
    import pandas as pd

    if need.horizon is None:
        raise UsageError("forecasting needs the number of steps to look ahead; got horizon=None, give --horizon.")
    series, name, findings, origin = _series(source, need)
    found = need.options.get("lags") or _lags(series, need.horizon)
    steps = np.unique(np.concatenate([s.index.to_numpy() for s in series]))
    made = [_origins(s, name, found, need.horizon, steps, _cycles(series)) for s in series]
    parts = [part for part in made if part is not None]
    if not parts:
        longest = max(len(s) for s in series)
        raise DataError(f"a series must be longer than its {found} lags and the horizon; got rows={longest} and "
                        f"horizon={need.horizon}, give more history or a shorter horizon.")
    frame = pd.concat(parts, ignore_index=True)
    frame = frame.iloc[::-(-len(frame) // MAX_ORIGINS)].reset_index(drop=True)
    roles = {BLOCK: "time", SPAN: "group"} | {c: "target" for c in frame.columns if "[t+" in c}
    columns = tuple(Column(name=c, kind="numeric", role=roles.get(c, "feature"), dtype="float64",
                           low=float(frame[c].min()), high=float(frame[c].max())) for c in frame.columns)
    table = Table(frame=frame, schema=Schema(columns=columns), findings=findings,
                  origin={**origin, "series": len(series), "lags": found, "horizon": need.horizon, "target": name})
    return dataclasses.replace(table, need=posed(need, table))


def latest(source: Any, need: Need, schema: Schema) -> Any:
    """The row of features at the end of every series, to forecast what comes after the data; DataFrame (series, f)."""
    import pandas as pd

    series, name, _, _ = _series(source, need)
    lags = sum("[t-" in c.name for c in schema.features)
    cycles = tuple(cycle for cycle in _CYCLES if f"{cycle}_sin[t]" in {c.name for c in schema.features})
    rows = [_features(s, name, lags, np.array([len(s) - 1]), cycles) for s in series if len(s) >= lags]
    if not rows:
        raise DataError(f"a forecast needs the last {lags} steps; got rows={max(len(s) for s in series)}, give more.")
    return pd.concat(rows, ignore_index=True)[[c.name for c in schema.features]]


def _series(source: Any, need: Need) -> tuple[list[Any], str, tuple[Finding, ...], dict[str, Any]]:
    """Each series as float64 values indexed by time (or position), the target's name, findings and origin."""
    frame, origin = readers.read(source, need)
    names = positions(list(frame.columns), need.target)
    if len(names) != 1:
        raise UsageError(f"forecasting needs one target column; got target={need.target!r}, name one.")
    wanted = [c for c in (need.time, need.group, names[0]) if c is not None]
    lacking = [c for c in wanted if c not in frame.columns]
    if lacking:
        raise UsageError(f"time and group must be columns of the data; got {lacking[0]!r} among {list(frame.columns)}.")
    schema, findings = infer(frame[wanted], dataclasses.replace(need, target=None, time=None, group=None, horizon=None,
                                                                drop=(), keep=tuple(wanted)))
    columns = {c.name: dataclasses.replace(c, role="feature") for c in schema.columns if c.name in wanted}
    for column, kinds in ((names[0], ("numeric", "boolean")), (need.time, ("numeric", "datetime"))):
        if column is not None and columns[column].kind not in kinds:
            raise DataError(f"{column} must be {' or '.join(kinds)} to forecast; got kind={columns[column].kind!r}.")
    table = coerce(frame, Schema(columns=tuple(columns.values())))
    if need.time is not None:
        if table[need.time].isna().any():
            raise DataError(f"every row needs a time; got {need.time!r} with {table[need.time].isna().sum()} missing.")
        table = table.sort_values(need.time, kind="stable")
    parts = [part for _, part in table.groupby(need.group, sort=True)] if need.group else [table]
    series = [p[names[0]].set_axis(p[need.time] if need.time else range(len(p))).astype(float) for p in parts]
    for one in series:
        if not one.index.is_unique:
            moment = one.index[one.index.duplicated()][0]
            raise DataError(f"a series has one value at a time; got {need.time}={moment} twice, name the group.")
    ragged = sum(len(np.unique(np.diff(s.index.to_numpy()))) > 1 for s in series)
    if ragged:
        findings = (*findings, Finding(code="irregular_steps", severity="warning", column=need.time,
                                       evidence=f"{ragged} of {len(series)} series have steps of unequal length",
                                       consequence="steps are counted by rows, not by the clock"))
    return series, names[0], findings, origin


def period(values: Any) -> int:
    """The first strong peak of the autocorrelation of the differences, or 1 when there is none.

    >>> period(np.sin(np.arange(200) * 2 * np.pi / 12))
    12
    """
    steps = np.diff(values[np.isfinite(values)])
    if len(steps) < 8 or not steps.std():
        return 1
    steps = steps - steps.mean()
    spectrum = np.abs(np.fft.rfft(steps, 2 * len(steps))) ** 2
    acf = np.fft.irfft(spectrum)[:min(len(steps) // 2, MAX_LAGS)]
    acf = acf / acf[0]
    peaks = [k for k in range(2, len(acf) - 1) if acf[k] > 0.2 and acf[k - 1] < acf[k] >= acf[k + 1]]
    return max(peaks, key=lambda k: acf[k] - k / len(acf) * 0.1, default=1)


def _lags(series: list[Any], horizon: int) -> int:
    """Two seasons or two horizons of history, whichever is longer, but at most a quarter of the longest series."""
    longest = max(series, key=len).to_numpy()
    return max(1, min(max(2 * period(longest), 2 * horizon, 16), len(longest) // 4, MAX_LAGS))


def _cycles(series: list[Any]) -> tuple[str, ...]:
    """The calendar cycles that the data show at least twice: a model cannot learn a year from four months."""
    if series[0].index.dtype.kind != "M":
        return ()
    span = max((s.index[-1] - s.index[0]).total_seconds() for s in series)
    return tuple(cycle for cycle, length in _CYCLES.items() if span >= 2 * length)


def _features(one: Any, name: str, lags: int, origins: Any, cycles: tuple[str, ...]) -> Any:
    import pandas as pd

    values = one.to_numpy()
    made = {f"{name}[t-{k}]": values[origins - k] for k in range(lags)}
    if cycles:
        seconds = one.index.to_numpy().astype("datetime64[s]").astype(np.int64)[origins]
        for cycle in cycles:
            made[f"{cycle}_sin[t]"] = np.sin(2 * np.pi * seconds / _CYCLES[cycle])
            made[f"{cycle}_cos[t]"] = np.cos(2 * np.pi * seconds / _CYCLES[cycle])
    return pd.DataFrame(made)


def _origins(one: Any, name: str, lags: int, horizon: int, steps: Any, cycles: tuple[str, ...]) -> Any:
    """Rows of one series whose whole horizon is known.

    Folds split between blocks of 2 x horizon steps and never inside a span, which straddles two blocks by a horizon
    each: so the last origins before a split, whose horizon reaches beyond it, are left out of training.
    """
    import pandas as pd

    values = one.to_numpy()
    origins = np.arange(lags - 1, len(values) - horizon)
    ahead = values[origins[:, None] + np.arange(1, horizon + 1)] if len(origins) else np.empty((0, horizon))
    origins, ahead = origins[np.isfinite(ahead).all(axis=1)], ahead[np.isfinite(ahead).all(axis=1)]
    if not len(origins):
        return None
    targets = pd.DataFrame(ahead, columns=[f"{name}[t+{k}]" for k in range(1, horizon + 1)])
    place = np.searchsorted(steps, one.index.to_numpy()[origins])
    fences = pd.DataFrame({BLOCK: place // (2 * horizon), SPAN: (place + horizon) // (2 * horizon)})
    return pd.concat([_features(one, name, lags, origins, cycles), fences, targets], axis=1)


SPEC = Modality(name="sequence", claims=claims, read=read, rank=10, example=example, hard=hard)
