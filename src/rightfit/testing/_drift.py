"""What every drift test must hold: its size, its power, and that it is a function of what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rightfit.delivery.monitor.drift._spec import DriftTest

Named = tuple[str, Callable[[], None]]
Draw = Callable[[Any, int, float], Any]
LEVELS, SHIFT, POWER_ROWS, POWER = (0.05, 0.01), 0.25, 2000, 0.95
HINT, AGAIN, SURE = 0.05, 6, 1e-4
REPEATS = {"number": 80, "category": 100, "vectors": 20}
TRIES = {"number": 6, "category": 20, "vectors": 6}
COLUMNS = 5
SIZES = ((200, 500), (500, 200), (40, 30))


def check_drift_test(spec: DriftTest) -> tuple[Named, ...]:
    """Every check of a drift test on samples that are made here: (name, function without arguments).

    Size: over repeated draws without drift (normal, heavy-tailed, tied, few, rare categories; either side larger)
    p <= 0.05 and p <= 0.01 come at most as often as they say. What comes too often with a chance below 5 % is drawn
    anew, six times as much, and fails there with a chance of 1 in 10,000 if the size is right; a p that is small three
    times as often as it says passes with a chance below 1 % at 5 %, of 2 % at 1 % (vectors, which are dear: 45 %).
    Power: 0.25 sd at 2,000 rows a side is seen at 5 % in at least 95 % of draws.
    """
    def named(test: Callable[[DriftTest], None]) -> Named:
        return test.__name__.removeprefix("_"), lambda: test(spec)

    return tuple(named(test) for test in DRIFT_CHECKS)


def _normal(rng: Any, rows: int, shift: float) -> Any:
    return rng.normal(size=rows) + shift


def _heavy(rng: Any, rows: int, shift: float) -> Any:
    return rng.standard_t(1.5, size=rows) + shift


def _tied(rng: Any, rows: int, shift: float) -> Any:
    return rng.poisson(1 + shift, size=rows).astype(float)


def _letters(rng: Any, rows: int, shift: float) -> Any:
    """Five even categories of a shifted normal."""
    return np.array(list("abcde"), object)[np.digitize(_normal(rng, rows, shift), (-0.8416, -0.2533, 0.2533, 0.8416))]


def _rare(rng: Any, rows: int, shift: float) -> Any:
    """Whole codes, most of which come once or never: at 300 rows some 40 of 300 values are seen."""
    return np.minimum(rng.zipf(1.8, size=rows), 300) + int(10 * shift)


def _two(rng: Any, rows: int, shift: float) -> Any:
    return np.where(rng.random(rows) < 0.03 + shift / 4, "yes", "no")


def _rows(column: Draw) -> Draw:
    """Five independent columns, of which only the first shifts."""
    def drawn(rng: Any, rows: int, shift: float) -> Any:
        return np.column_stack([column(rng, rows, shift if k == 0 else 0.0) for k in range(COLUMNS)]).astype(np.float32)

    return drawn


KINDS: dict[str, tuple[Draw, ...]] = {"number": (_normal, _heavy, _tied), "category": (_letters, _rare, _two),
                                      "vectors": tuple(map(_rows, (_normal, _heavy, _tied)))}


def _run(spec: DriftTest, reference: Any, window: Any, seed: int = 0) -> tuple[float | None, float]:
    p, effect = spec.run(reference, window, np.random.default_rng(seed))
    assert (p is None) == spec.figure_only, f"p must be None for a figure only, and only then; got p={p!r}."
    assert p is None or 0 <= p <= 1, f"p must be in [0, 1]; got p={p!r}."
    assert 0 <= effect <= spec.most and np.isfinite(effect), \
        f"the effect must be finite and in [0, {spec.most:g}]; got effect={effect!r}."
    return p, effect


def _p(spec: DriftTest, reference: Any, window: Any, seed: int = 0) -> float:
    """The p; a figure only counts as p = 1."""
    p, _ = _run(spec, reference, window, seed)
    return 1.0 if p is None else p


def _keeps_its_size(spec: DriftTest) -> None:
    cases = [(draw, sizes) for draw in range(len(KINDS[spec.on])) for sizes in SIZES]

    def drawn(stage: int, some: list[tuple[int, tuple[int, int]]]) -> list[Any]:
        repeats = REPEATS[spec.on] * (1, AGAIN)[stage]
        return [_undrifted(spec, kind, sizes, repeats, stage) for kind, sizes in some]

    first = drawn(0, cases)
    groups = [([case], [found]) for case, found in zip(cases, first, strict=True)] + [(cases, first)]
    for level in LEVELS:
        for group, found in groups:
            if not _often(np.concatenate(found), level, HINT):
                continue
            again = np.concatenate(drawn(1, group))
            what = "all together" if group is cases else \
                f"{KINDS[spec.on][group[0][0]].__name__.strip('_')} of {group[0][1][0]} and {group[0][1][1]} rows"
            assert not _often(again, level, SURE), \
                f"without drift p <= {level} may come in {level:.0%} of draws; got {int((again <= level).sum())} of " \
                f"{len(again)} fresh ones, {what}."


def _undrifted(spec: DriftTest, kind: int, sizes: tuple[int, int], repeats: int, stage: int) -> Any:
    draw, (n, m) = KINDS[spec.on][kind], sizes
    rng = np.random.default_rng((kind, n, m, stage))
    return np.array([_p(spec, draw(rng, n, 0.0), draw(rng, m, 0.0), i) for i in range(repeats)])


def _often(p: Any, level: float, beyond: float) -> bool:
    """Whether p <= level comes more often than a uniform p does with a chance of `beyond`."""
    from scipy import stats

    return bool((p <= level).sum() > stats.binom.isf(beyond, len(p), level))


def _has_power(spec: DriftTest) -> None:
    draw, tries, rng = KINDS[spec.on][0], TRIES[spec.on], np.random.default_rng(1)

    def pair(shift: float, swap: bool) -> tuple[Any, Any]:
        one, other = draw(rng, POWER_ROWS, 0.0), draw(rng, POWER_ROWS, shift)
        return (other, one) if swap else (one, other)

    found = [_run(spec, *pair(SHIFT, i % 2 == 1), seed=i) for i in range(tries)]
    still = max(_run(spec, *pair(0.0, False))[1] for _ in range(tries)) if spec.figure_only else 0.0
    seen = sum(effect > still if p is None else p <= LEVELS[0] for p, effect in found)
    assert seen >= POWER * tries, f"{SHIFT} sd at {POWER_ROWS} rows must be seen in {POWER:.0%} of draws; got " \
                                  f"{seen} of {tries}."


def _says_the_same_of_either_side(spec: DriftTest) -> None:
    rng, draw = np.random.default_rng(2), KINDS[spec.on][0]
    one, other = draw(rng, 500, 0.0), draw(rng, 500, 1.0)
    (p, effect), (q, swapped) = _run(spec, one, other), _run(spec, other, one)
    assert p is None or q is None or max(p, q) <= 0.01, f"1 sd must be seen either way; got p={p} and p={q}."
    assert 0 < effect < 2 * swapped < 4 * effect, f"swapped sides must have like effects; got {effect}, {swapped}."
    same = _p(spec, one, one)
    assert same > LEVELS[0], f"a sample against itself must not be told from it; got p={same}."


def _changes_nothing_and_gives_the_same(spec: DriftTest) -> None:
    rng, draw = np.random.default_rng(3), KINDS[spec.on][0]
    one, other = draw(rng, 400, 0.0), draw(rng, 400, 0.1)
    kept, same = one.copy(), other.copy()
    state = _global_draws()
    first = _run(spec, one, other, 5)
    assert np.array_equal(one, kept) and np.array_equal(other, same), "a drift test must change nothing; it did."
    assert first == _run(spec, kept, same, 5), "a drift test must find the same for the same seed; it did not."
    assert state == _global_draws(), "all that is random must come from the generator given; got numpy's global one."


def _global_draws() -> str:
    """The state of numpy's global generator."""
    with np.printoptions(threshold=10_000):
        return repr(np.random.get_state(legacy=False))


def _survives_hard_sides(spec: DriftTest) -> None:
    rng = np.random.default_rng(4)
    for draw in KINDS[spec.on]:
        some = draw(rng, 300, 0.0)
        flat = np.repeat(some[:1], 300, axis=0)
        far = np.repeat(draw(rng, 1, 9.0), 200, axis=0)
        few = [(some[:n], some[-k:]) for n, k in ((1, 1), (1, 300), (2, 1), (3, 5))]
        for sides in ((flat, flat), (flat, some), (flat, flat[:20]), (flat, far), *few):
            for one, other in (sides, sides[::-1]):
                p, effect = _run(spec, one, other)
                if one is flat and other is flat:
                    assert p in (None, 1.0) and not effect, f"one value must not drift; got p={p}, effect={effect}."
    if spec.on == "category":
        _run(spec, np.array(["a", "b", None] * 50, object), np.array(["c", None, "d"] * 50, object))
        p, effect = _run(spec, np.array(["a", "b"] * 100, object), np.array(["new"] * 200, object))
        assert (p is None or p < 0.01) and effect > 0, f"all values new is drift; got p={p}, effect={effect}."


DRIFT_CHECKS: tuple[Callable[[DriftTest], None], ...] = (
    _keeps_its_size, _has_power, _says_the_same_of_either_side, _changes_nothing_and_gives_the_same,
    _survives_hard_sides)
