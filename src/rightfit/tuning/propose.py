"""Where new candidates come from: grid, random, and TPE over the families' search spaces."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from rightfit.records import Candidate, Dimension, Family

GRID_POINTS = 3  # per range, as in Hastie et al. and the caret defaults
TPE_WARMUP = 8


def points(dimension: Dimension, n: int = GRID_POINTS) -> list[Any]:
    """The grid of one dimension: its choices, or n points evenly spread, on the log scale where it is one.

    >>> points(Dimension(low=0.01, high=1.0, log=True))
    [0.01, 0.1, 1.0]
    >>> points(Dimension(choices=("l1", "l2")))
    ['l1', 'l2']
    """
    if dimension.choices:
        return list(dimension.choices)
    low, high = _bounds(dimension)
    if dimension.log:
        low, high = math.log(low), math.log(high)
    raw = [low + (high - low) * i / (n - 1) for i in range(n)]
    values = [math.exp(v) if dimension.log else v for v in raw]
    return list(dict.fromkeys(round(v) for v in values)) if dimension.whole else [float(f"{v:.6g}") for v in values]


def _bounds(dimension: Dimension) -> tuple[float, float]:
    if dimension.low is None or dimension.high is None:
        raise ValueError(f"a dimension needs choices, or low and high; got {dimension}.")
    return dimension.low, dimension.high


def grid(families: Mapping[str, Family]) -> Iterator[Candidate]:
    """Every grid point of every family, families taking turns."""
    def of(family: Family) -> Iterator[Candidate]:
        axes = {name: points(dimension) for name, dimension in family.space.items()}
        for values in itertools.product(*axes.values()):
            yield Candidate(family=family.name, params={**family.defaults, **dict(zip(axes, values, strict=True))})

    turns = [of(f) for f in families.values() if f.space]
    for row in itertools.zip_longest(*turns):
        yield from (candidate for candidate in row if candidate is not None)


def draw(family: Family, random: Any) -> Candidate:
    """One point drawn from a family's space with a numpy Generator."""
    params = dict(family.defaults)
    for name, dimension in family.space.items():
        if dimension.choices:
            params[name] = dimension.choices[int(random.integers(len(dimension.choices)))]
            continue
        low, high = _bounds(dimension)
        value = math.exp(random.uniform(math.log(low), math.log(high))) if dimension.log else random.uniform(low, high)
        params[name] = round(value) if dimension.whole else float(f"{value:.6g}")
    return Candidate(family=family.name, params=params)


def random(families: Mapping[str, Family], seed: int) -> Iterator[Candidate]:
    """Points drawn without end, families taking turns (Bergstra and Bengio 2012)."""
    import numpy as np

    generator = np.random.default_rng(seed)
    spaces = [f for f in families.values() if f.space]
    while spaces:
        yield from (draw(family, generator) for family in spaces)


def tpe(family: Family, seen: list[tuple[Candidate, float]], seed: int) -> Candidate:
    """The next point by the tree-structured Parzen estimator (Bergstra et al. 2011) after `seen` (candidate, utility).

    The study is rebuilt from the ledger at every call, so that a resumed run continues as if never stopped.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    axes = {name: _distribution(dimension) for name, dimension in family.space.items()}
    sampler = optuna.samplers.TPESampler(seed=seed + len(seen), n_startup_trials=TPE_WARMUP, multivariate=False)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for candidate, utility in seen:
        params = candidate.params
        inside = {n: params[n] for n in axes if n in params and _holds(axes[n], params[n])}
        study.add_trial(optuna.trial.create_trial(params=inside, value=utility,
                                                  distributions={n: axes[n] for n in inside}))
    asked = study.ask(axes)
    params = {name: _plain(value, family.space[name]) for name, value in asked.params.items()}
    best = max(seen, key=lambda item: item[1], default=None)
    return Candidate(family=family.name, params={**(best[0].params if best else family.defaults), **params})


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    low, high = _bounds(dimension)
    if dimension.whole:
        return IntDistribution(int(low), int(high), log=dimension.log)
    return FloatDistribution(low, high, log=dimension.log)


def _holds(distribution: Any, value: Any) -> bool:
    if hasattr(distribution, "choices"):
        return value in distribution.choices
    return isinstance(value, int | float) and distribution.low <= value <= distribution.high


def _plain(value: Any, dimension: Dimension) -> Any:
    return value if dimension.choices or dimension.whole else float(f"{value:.6g}")


def unregularised(candidate: Candidate, family: Family) -> dict[str, Candidate]:
    """For each regulariser of the family, the same candidate without it: what it bought can then be measured."""
    found = {}
    for name in family.regularisers:
        value = candidate.params.get(name, family.defaults.get(name))
        off: Any = False if isinstance(value, bool) else 0.0
        dimension = family.space.get(name)
        if dimension is not None and not isinstance(value, bool):
            if dimension.choices:
                continue
            low, _ = _bounds(dimension)
            off = int(low) if dimension.whole else (low if dimension.log else 0.0)
        if value not in (None, off):
            found[name] = Candidate(family=candidate.family, params={**candidate.params, name: off},
                                    steps=candidate.steps)
    return found
