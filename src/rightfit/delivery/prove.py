"""From the board to contenders: the best packages are measured one by one, alone, each in a fresh process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.decide import Contender
from rightfit.package.probe import ATTEMPTS, BLOCK_SECONDS, BLOCKS, LIMIT_S, probe
from rightfit.resources import afford
from rightfit.resources.measure import BLOCK_CALLS, FEWEST_CALLS, LONGEST_BLOCK
from rightfit.tuning.board import Board, Entry, difference, spread_of
from rightfit.tuning.board import finalists as common
from rightfit.tuning.clock import Clock

PROBES = 6
UNHURRIED_S = 15.0
HASTE, HASTE_S, HASTE_BLOCKS = 0.1, 1.0, 2  # of the time left, seconds at least, and blocks, for what no limit hangs on
PROBE_S = 3.0  # what a probe costs at least, for deciding how many fit into the time left


def finalists(board: Board, baseline: str) -> dict[str, Entry]:
    """Entries that can be compared, all on the folds that they have in common; best first."""
    kept, folds = common(board, baseline)
    found = {k: e for k in kept if (e := board.entry(k, folds)) is not None}
    return dict(sorted(found.items(), key=lambda item: (-board.rank(item[1]), item[0])))


def reserves(board: Board) -> dict[str, Entry]:
    """Everyone on the first fold: asked when no finalist meets the limits."""
    found = {k: board.entry(k, (0,)) for k in board.candidates
             if board.has(k, 0) and k not in board.failed and k not in board.ablations}
    known = {k: e for k, e in found.items() if e is not None}
    return dict(sorted(known.items(), key=lambda item: (-board.rank(item[1]), item[0])))


def measure(board: Board, entries: Mapping[str, Entry], folder: Path, clock: Clock, keep_s: float,
            known: dict[str, Mapping[str, float]]) -> None:
    """Probe the packages of the best entries until `keep_s` seconds are left; results go to `known` {key: figures}."""
    probed, longest = 0, PROBE_S
    for key in entries:
        path = folder / "models" / key
        if key in known or not (path / "manifest.json").exists():
            continue
        if probed >= PROBES or clock.left(keep_s) < longest:
            return
        before = clock.left()
        known[key] = figures(probe(path, **care(board, clock)))
        probed, longest = probed + 1, max(longest, before - clock.left())


def care(board: Board, clock: Clock) -> dict[str, Any]:
    """How often a probe may sit down anew on a noisy machine, and for how long: less where no limit hangs on it."""
    if board.task.limits:
        return {"attempts": ATTEMPTS, "limit_s": LIMIT_S}
    left = clock.left()
    return {"attempts": ATTEMPTS if left > UNHURRIED_S else 1, "limit_s": min(LIMIT_S, max(HASTE_S, HASTE * left))}


def probe_s(board: Board, measured: Mapping[str, float]) -> float:
    """Seconds that it takes to measure a package with such a latency, at least."""
    block = BLOCK_CALLS * measured.get("latency_p50_ms", 0.0) / 1000
    block = max(BLOCK_SECONDS, min(block, LONGEST_BLOCK), block * FEWEST_CALLS / BLOCK_CALLS)
    return (BLOCKS if board.task.limits else HASTE_BLOCKS) * block


def figures(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a probe's result."""
    return {name: float(value) for name, value in result.items()
            if isinstance(value, int | float) and not isinstance(value, bool)}


def contenders(board: Board, entries: Mapping[str, Entry], known: Mapping[str, Mapping[str, float]],
               baseline: str) -> list[Contender]:
    """The entries as the decision sees them, with paired gaps to each other."""
    found = []
    for key, entry in entries.items():
        measured = afford.priced(board.task.serving, board.task.limits,
                                 {**entry.measured, **known.get(key, {}), **entry.floors})
        gaps = {other: gap(entry, theirs) for other, theirs in entries.items() if other != key}
        found.append(Contender(key=key, family=entry.candidate.family, utility=entry.utility, measured=measured,
                               gaps=gaps, baseline=key == baseline))
    return found


def gap(entry: Entry, other: Entry) -> tuple[float, float, float, float]:
    """How far `other` is behind, with its 95 % interval and t: (mean, low, high, t)."""
    mean, t = difference(entry, other)
    if t == 0 or abs(t) >= 99 or not np.isfinite(t):
        return mean, mean, mean, t
    half = 1.96 * abs(mean / t)
    return mean, mean - half, mean + half, t


def spread(board: Board, entry: Entry, shift: float = 0.0) -> dict[str, float]:
    """The mean over folds, plus `shift`, with a 95 % interval that is corrected for overlapping training sets."""
    sign = 1.0 if board.metric.greater_is_better else -1.0
    mean, half = sign * (entry.utility + shift), 1.96 * spread_of(entry.draws, entry)
    low, high = board.metric.low, board.metric.high
    return {"value": min(max(mean, low), high), "low": max(mean - half, low), "high": min(mean + half, high)}
