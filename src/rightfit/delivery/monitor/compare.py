"""What is seen of a window against the reference: a test per column, Benjamini-Hochberg, an effect floor, k of n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.delivery.monitor import outside, windows
from rightfit.delivery.monitor.records import FeatureDrift
from rightfit.delivery.monitor.windows import Detector
from rightfit.records import frozen

TESTS = "rightfit.delivery.monitor.drift"
LEVEL = 0.05
MISSING, OUTSIDE, TOGETHER = ": missing", ": outside", "(all columns)"
STRANGE = 0.01  # of a window: the floor for values that the reference never had
COARSER = 2  # for what is made of predictions: those of the reference come from models of some of the rows
_DEFAULT = {"number": "ks", "category": "chi_square", "vectors": "mmd"}


@frozen
class Rules:
    """When a window alarms: rows at least, effect at least, and in `k` of the last `n` windows.

    tests: {number, category or vectors: name of a drift test}, where another than the default is wanted; {all: name of
    one on vectors} for all columns together. time: a column whose clock must not go backwards. stream: adwin or
    page_hinkley over the labelled rows, in their order.
    """

    minimum: int = 100
    floor: float = 0.05
    k: int = 1
    n: int = 1
    tests: Mapping[str, str] | None = None
    time: str | None = None
    stream: Detector | None = None


@frozen
class Past:
    """One earlier window: p as they were tested, and which features were significant."""

    p: Mapping[str, float]
    significant: tuple[str, ...]


def kind(values: Any) -> str:
    """number, category or vectors, by the array."""
    return "category" if values.dtype == object else "vectors" if values.ndim == 2 else "number"


def compare(reference: Mapping[str, Any], window: Mapping[str, Any], *, importance: Mapping[str, float] | None = None,
            past: Sequence[Past] = (), rules: Rules | None = None, seed: int = 0,
            ) -> tuple[tuple[FeatureDrift, ...], Past]:
    """The columns of both sides tested, and what the next windows must know of this one; as `reference.see` gives them.

    p are adjusted over all tests of this window and of the n - 1 before it (Benjamini & Hochberg 1995). Significant:
    adjusted p at most 0.05 and effect at least the floor. A column with gaps has a test of its share of gaps too, one
    of numbers or categories a test of values that the reference never had.
    """
    rules, importance = rules or Rules(), importance or {}
    before = list(past)[len(past) - (rules.n - 1):] if rules.n > 1 else []
    found: list[tuple[str, str, float, float, str]] = []
    for place, name in enumerate(n for n in reference if n in window):
        found += _tested(name, reference[name], window[name], rules, np.random.default_rng([seed, place]))
    if "all" in (rules.tests or {}):
        found.append(_together(reference, window, rules, np.random.default_rng([seed, len(reference)])))
    raw = [p for _, _, p, _, _ in found]
    every = raw + [p for one in before for p in one.p.values()]
    adjusted = windows.adjust(every)[:len(raw)]
    features = []
    for (name, test, _, effect, shift), p in zip(found, adjusted, strict=True):
        significant = bool(p <= LEVEL and effect >= _floor(name, rules))
        lasting = windows.persistent([*(name in one.significant for one in before), significant], rules.k, rules.n)
        features.append(FeatureDrift(name=name, test=test, p=float(p), effect=effect, shift=shift,
                                     importance=float(importance.get(_column(name), 0.0)),
                                     significant=significant, alarm=significant and lasting,
                                     psi=_psi(reference, window, name) if significant else None))
    features.sort(key=lambda f: (not f.alarm, not f.significant, -f.effect * (f.importance or 1e-9), f.p))
    now = Past(p={name: float(p) for (name, *_), p in zip(found, raw, strict=True)},
               significant=tuple(f.name for f in features if f.significant))
    return tuple(features), now


def _column(name: str) -> str:
    return name.removesuffix(MISSING).removesuffix(OUTSIDE)


def _floor(name: str, rules: Rules) -> float:
    if name.endswith(OUTSIDE):
        return min(rules.floor, STRANGE)
    return rules.floor * (COARSER if name.startswith("(") and name != TOGETHER else 1)


def _together(reference: Mapping[str, Any], window: Mapping[str, Any], rules: Rules,
              rng: Any) -> tuple[str, str, float, float, str]:
    """All columns of the data at once: what depends on what is seen too, not only each column by itself."""
    names = [n for n in reference if n in window and not n.startswith("(")]
    test = registry.plugin(TESTS, (rules.tests or {})["all"], "drift test")
    pooled = np.column_stack([_figures(np.concatenate([reference[n], window[n]])) for n in names])
    count = len(reference[names[0]])
    p, effect = test.run(pooled[:count], pooled[count:], rng)
    return TOGETHER, test.name, float(p), float(effect), ""


def _figures(values: Any) -> Any:
    """float32 (n, columns) of pooled rows, in standard deviations: a category by the rank of its frequency, a gap as
    the mean, beside a column of gaps where there are any."""
    import pandas as pd

    gaps = _gaps(values)
    if values.dtype == object:
        counts = pd.Series(values).value_counts()
        values = pd.Series(values).map(dict(zip(counts.index, range(len(counts)), strict=True))).to_numpy(float)
    table = np.asarray(values, float).reshape(len(values), -1)
    mean, spread = np.nanmean(table[~gaps], axis=0), np.nanstd(table[~gaps], axis=0)
    table = np.where(gaps[:, None], 0.0, (table - mean) / np.where(spread > 0, spread, 1.0))
    return np.column_stack([table, gaps] if gaps.any() else [table]).astype(np.float32)


def _tested(name: str, one: Any, other: Any, rules: Rules, rng: Any) -> list[tuple[str, str, float, float, str]]:
    on = kind(one)
    gaps = [_gaps(side) for side in (one, other)]
    found = []
    if any(g.any() for g in gaps):
        test = registry.plugin(TESTS, "chi_square", "drift test")
        p, effect = test.run(*(g.astype(int) for g in gaps), rng)
        found.append((name + MISSING, test.name, float(p), float(effect),
                      f"{gaps[0].mean():.1%} -> {gaps[1].mean():.1%} missing"))
    one, other = (side[~g] for side, g in zip((one, other), gaps, strict=True))
    if len(one) and len(other):
        test = registry.plugin(TESTS, (rules.tests or {}).get(on) or _DEFAULT[on], "drift test")
        p, effect = test.run(*((side.astype(np.float32) if on == "vectors" else side) for side in (one, other)), rng)
        if p is not None:
            found.append((name, test.name, float(p), float(effect), shift(one, other) if p <= LEVEL else ""))
        if on != "vectors" and not name.startswith("("):
            strange, share, said = outside.outside(one, other, rng)
            found.append((name + OUTSIDE, "exceedance", strange, share, f"{share:.1%} of the rows {said}"))
    return found


def _psi(reference: Mapping[str, Any], window: Mapping[str, Any], name: str) -> float | None:
    """The population stability index of a column, None for vectors and shares of gaps."""
    test = {"number": "psi", "category": "psi_category"}.get(kind(reference[name])) if name in reference else None
    if test is None:
        return None
    sides = [values[~_gaps(values)] for values in (reference[name], window[name])]
    return float(registry.plugin(TESTS, test, "drift test").run(*sides, np.random.default_rng(0))[1])


def telling(one: Any, other: Any, most: int = 3) -> Any:
    """Positions of the rows of `other` that differ most in the direction in which it moved away from `one`.

    >>> telling(np.array([1.0, 2, 3]), np.array([2.0, 9, 3, np.nan]), most=2).tolist()
    [1, 2]
    """
    there = np.flatnonzero(~_gaps(other))
    left, right = one[~_gaps(one)], other[there]
    if kind(one) == "category":
        names, counts = np.unique(right.astype(str), return_counts=True)
        before = dict(zip(*np.unique(left.astype(str), return_counts=True), strict=True))
        more = {n: c / len(right) - before.get(n, 0) / max(len(left), 1) for n, c in zip(names, counts, strict=True)}
        score = np.array([more[str(value)] for value in right])
    else:
        away, step = right - left.mean(axis=0), right.mean(axis=0) - left.mean(axis=0)
        score = away @ step if right.ndim == 2 else away * np.sign(step)
    return there[np.argsort(-score, kind="stable")[:most]]


def _gaps(values: Any) -> Any:
    """Bool (n,): missing."""
    if values.dtype == object:
        return np.array([value is None for value in values], bool)
    gone = np.isnan(values)
    return gone.any(axis=1) if gone.ndim == 2 else gone


def shift(one: Any, other: Any) -> str:
    """What changed most, for people.

    >>> shift(np.array([1.0, 2, 3]), np.array([2.0, 3, 4]))
    'median 2 -> 3, middle 80 % 1.2..2.8 -> 2.2..3.8'
    """
    if kind(one) == "vectors":
        return ""
    if kind(one) == "number":
        (a, b, c), (d, e, f) = (np.quantile(side, [0.1, 0.5, 0.9]) for side in (one, other))
        return f"median {b:.4g} -> {e:.4g}, middle 80 % {a:.4g}..{c:.4g} -> {d:.4g}..{f:.4g}"
    shares = []
    for side in (one, other):
        names, counts = np.unique(side.astype(str), return_counts=True)
        shares.append(dict(zip(names.tolist(), (counts / len(side)).tolist(), strict=True)))
    most = sorted(set(shares[0]) | set(shares[1]), key=lambda v: -abs(shares[1].get(v, 0.0) - shares[0].get(v, 0.0)))
    return ", ".join(f"{v} {shares[0].get(v, 0.0):.1%} -> {shares[1].get(v, 0.0):.1%}" for v in most[:3])
