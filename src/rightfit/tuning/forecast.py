"""What a trial will take before it starts: seconds and memory, from a family's prior and from what this run has seen.

A prior is off by a factor that is learned on this machine, as the run goes on: a part that all families share (the
machine), one of the family and one of the candidate, each known the better the more of its trials are done (a random
effects model of logarithms; Gelman and Hill 2007, chapter 12). A forecast decides only what cannot finish at all.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rightfit.records import Candidate, Family, Trial
from rightfit.resources import home
from rightfit.resources.forecast import Forecast
from rightfit.tuning.state import SCREEN, Race, Seen, Unit

# Standard deviations of logarithms, from benchmarks/choices.py: of the machine, of families on one machine, of the
# candidates of a family, and of the folds of a candidate.
SPREADS = {"fit_s": (0.7, 0.9, 0.6, 0.3), "peak_mib": (0.4, 0.3, 0.15, 0.08)}
STRETCH = 0.3  # further doubt for each factor e between the rows known and the rows asked for
Z = 1.96
CUT = 0.9  # of a soft deadline, from which a fit may have been cut short by it: it tells only the least
WHOLE = 0.7  # of the time that an earlier fold took, from which a fit is no torso
LIBRARY_MIB = {"torch": 450.0, "keras": 700.0, "tensorflow": 700.0}
PROCESS_MIB = 260.0  # interpreter, pandas, scikit-learn
COPIES = 4.0  # of the rows as float64, while they are encoded and split
WEIGHTS = 6.0  # of a network: its own, gradients, two moments, the best epoch, the export
NAMES = ("fit_s", "peak_mib")
EARLIER = 5  # runs on this machine whose ratios are kept


def prior_s(family: Family, race: Race, rows: float) -> float:
    """Seconds of one fit on so many rows, by the family's own prior."""
    return max(family.seconds(dataclasses.replace(race.board.task, rows=max(1, round(rows)))), 1e-3)


def prior_mib(family: Family, race: Race, candidate: Candidate, rows: float) -> float:
    """Peak MiB of a process that fits, by rows, columns, libraries, and the size of the untrained network."""
    screened = race.board.trials.get((candidate.key, SCREEN, 0.0))
    weights = WEIGHTS * screened.measured.get("size_mib", 0.0) if screened else 0.0
    library = max((LIBRARY_MIB.get(name, 0.0) for name in family.requires), default=0.0)
    return PROCESS_MIB + library + COPIES * rows * max(race.board.task.features, 1) * 8 / 2**20 + weights


def _row_s(race: Race, candidate: Candidate) -> float:
    """What one row costs the untrained network; 0 where it was not measured."""
    screened = race.board.trials.get((candidate.key, SCREEN, 0.0))
    return screened.measured.get("latency_p50_ms", 0.0) if screened else 0.0


def _size(race: Race, candidate: Candidate) -> float:
    """The logarithm of a network's cost of a row over that of its family's first: training costs so many times more."""
    own = _row_s(race, candidate)
    first = next((cost for other in race.short.candidates if other.family == candidate.family
                  and (cost := _row_s(race, other)) > 0), 0.0)
    return math.log(own / first) if own > 0 and first > 0 else 0.0


def _prior(race: Race, candidate: Candidate, name: str, rows: float) -> float:
    family = race.short.families[candidate.family]
    if name == "peak_mib":
        return math.log(prior_mib(family, race, candidate, rows))
    return math.log(prior_s(family, race, rows)) + _size(race, candidate)


def _cut(trial: Trial) -> bool:
    return trial.measured.get("fit_s", 0.0) >= CUT * trial.measured.get("soft_s", math.inf)


def seen(race: Race, name: str) -> Iterator[Seen]:
    """What the finished trials say of a figure; those that a deadline cut short say nothing of time."""
    for trial in race.board.trials.values():
        value, rows = trial.measured.get(name, 0.0), trial.measured.get("train_rows", 0.0)
        known = trial.candidate.family in race.short.families and trial.fold >= 0 and trial.state == "ok"
        if known and value > 0 and rows > 0 and not (name == "fit_s" and _cut(trial)):
            work = trial.measured.get("work", 1.0) if name == "fit_s" else 1.0
            yield Seen(family=trial.candidate.family, candidate=trial.candidate.key, rows=rows,
                       log_ratio=math.log(value / work) - _prior(race, trial.candidate, name, rows))


def _file() -> Path:
    """Where the ratios of this machine's earlier runs lie."""
    from rightfit import resources

    box = resources.machine()
    return home.place("fits", [box["cpu"], box["flags"], box["architecture"], box["cores"]])


def recall() -> dict[str, tuple[Seen, ...]]:
    """What earlier runs on this machine said of each figure: one for each family and run, the newest EARLIER runs."""
    try:
        told = json.loads(_file().read_text(encoding="utf-8"))
        return {name: tuple(Seen(str(family), f"earlier {at}", float(ratio), float(rows))
                            for family, some in told[name].items() for at, (ratio, rows) in enumerate(some))
                for name in NAMES}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def remember(race: Race) -> None:
    """Keep what this run said, so that the next one begins with it; a home that cannot be written costs only that."""
    path, found = _file(), dict[str, dict[str, list[list[float]]]]()
    before = recall()
    for name in NAMES:
        kept = found.setdefault(name, {})
        for one in before.get(name, ()):
            kept.setdefault(one.family, []).append([one.log_ratio, one.rows])
        now: dict[str, list[Seen]] = {}
        for one in seen(race, name):
            now.setdefault(one.family, []).append(one)
        for family, some in now.items():
            rows = math.exp(sum(math.log(one.rows) for one in some) / len(some))
            kept[family] = [*kept.get(family, []), [_mean(some), rows]][-EARLIER:]
    home.keep(path, found)


def combined(known: Sequence[Seen], family: str, candidate: str, rows: float, name: str) -> tuple[float, float]:
    """(mean, standard deviation) of log measured over prior for a candidate, given what is known.

    >>> mean, spread = combined([Seen("a", "a-1", 1.0, 100.0)] * 3, "a", "a-1", 100.0, "fit_s")
    >>> 0.9 < mean < 1.0, spread < SPREADS["fit_s"][0]
    (True, True)
    >>> combined([], "a", "a-1", 100.0, "fit_s")[0]
    0.0
    """
    machine, between, within, noise = SPREADS[name]
    groups: dict[str, dict[str, list[Seen]]] = {}
    for one in known:
        groups.setdefault(one.family, {}).setdefault(one.candidate, []).append(one)

    def doubt(some: Iterable[Seen]) -> float:
        """The variance of a candidate's own mean: its folds, and how far its rows are from those asked for."""
        some = list(some)
        away = min(abs(math.log(one.rows / max(rows, 1.0))) for one in some)
        return noise**2 / len(some) + (STRETCH * away) ** 2

    def of_family(candidates: dict[str, list[Seen]]) -> list[tuple[float, float]]:
        return [(_mean(some), doubt(some) + within**2) for some in candidates.values()]

    others = [_pooled(of_family(parts), 0.0, math.inf) for name_, parts in groups.items() if name_ != family]
    mean, variance = _pooled([(m, v + between**2) for m, v in others], 0.0, machine**2)
    variance += between**2
    own = groups.get(family, {})
    mean, variance = _pooled(of_family({k: v for k, v in own.items() if k != candidate}), mean, variance)
    variance += within**2
    if candidate in own:
        mean, variance = _pooled([(_mean(own[candidate]), doubt(own[candidate]))], mean, variance)
    return mean, math.sqrt(variance + noise**2)


def _mean(some: Sequence[Seen]) -> float:
    return sum(one.log_ratio for one in some) / len(some)


def _pooled(values: Sequence[tuple[float, float]], mean: float, variance: float) -> tuple[float, float]:
    """The mean of (value, variance) pairs and of a prior, each by its precision, and its variance."""
    weights = [(mean, 0.0 if math.isinf(variance) else 1 / variance), *((m, 1 / v) for m, v in values)]
    total = sum(weight for _, weight in weights)
    return (sum(m * weight for m, weight in weights) / total, 1 / total) if total else (0.0, math.inf)


def rows_of(race: Race, unit: Unit) -> float:
    """The training rows of a unit of work."""
    return len(race.board.stage.folds[unit.fold][0]) * unit.fidelity


def of(race: Race, unit: Unit) -> dict[str, Forecast]:
    """Seconds of the fit and peak MiB of its process, each with its 95 % interval."""
    rows, found = rows_of(race, unit), {}
    for name in NAMES:
        known = [*race.earlier.get(name, ()), *seen(race, name)]
        mean, spread = combined(known, unit.candidate.family, unit.candidate.key, rows, name)
        work = race.short.families[unit.candidate.family].haste if name == "fit_s" and race.looks(unit) else 1.0
        value = work * math.exp(_prior(race, unit.candidate, name, rows) + mean)
        ratio = math.exp(Z * spread)
        found[name] = Forecast(value=value, low=value / ratio, high=value * ratio)
    return found


def met(race: Race, family: str) -> bool:
    """Whether a fit of the family was timed, in this run or an earlier one on this machine."""
    return any(one.family == family for one in (*race.earlier.get("fit_s", ()), *seen(race, "fit_s")))


def hopeless(race: Race, unit: Unit, told: Mapping[str, Forecast], left: float) -> str:
    """Why a unit cannot finish: even the low end of its forecast is more than there is; "" where it may.

    What has finished before may finish again, and the first of a race is always tried; what is only measured beside
    the leader costs what the leader cost.
    """
    key = unit.candidate.key
    if unit.screens or race.empty or race.board.folds(key) or key in race.board.ablations:
        return ""
    spent, room = told["fit_s"], told["peak_mib"]
    if spent.low > left:
        return (f"not trained: a fit was forecast to take {spent.value:.3g} s ({spent.low:.3g} to {spent.high:.3g}), "
                f"and {left:.3g} s were left")
    if room.low > race.memory_mib:
        return (f"not trained: a fit was forecast to take {room.value:.4g} MiB of memory ({room.low:.4g} to "
                f"{room.high:.4g}), and {race.memory_mib:.4g} are allowed")
    return ""


def cut_short(race: Race, unit: Unit, soft_s: float) -> bool:
    """Whether a further fold would be stopped long before the time that the candidate's folds took so far: a model that
    was cut short says nothing about one that was not.
    """
    entry = race.board.entry(unit.candidate.key) if unit.fidelity == 1.0 and unit.fold > 0 else None
    return entry is not None and WHOLE * race.board.fit_s(entry) > soft_s


def kept(told: Mapping[str, Forecast]) -> dict[str, float]:
    """The forecasts as figures of the trial, so that the report can hold them against what was measured."""
    return {f"{name}_forecast{end}": getattr(one, part) for name, one in told.items()
            for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))}
