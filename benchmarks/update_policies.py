"""Why updates are as they are: policies on made streams, where the settings of `rightfit update` were chosen.

    python benchmarks/update_policies.py [--seeds 8]           benchmarks/results/update_policies.csv

Streams of 9,000 rows (no change, abrupt, gradual, a walk, recurring; `+ar`: features and noise that last for some 30
rows) and a linear model whose threshold is tuned, in periods of 250 rows; updates see the newest 2,000. Every period
alarms, so that looking is what costs. `kept` is the accuracy over that of fitting again after every period, `cost` the
rows fitted over the same. `before`: two stages on single rows, the challenger goes live. `now`: one stage on 30 % of
the rows, the cheapest way that suffices, neighbours together, fitted again on all. The policies are written anew here,
in small: how rightfit itself does on real streams is `replay_drift`.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from common import append_csv, read_csv, show

ROWS, COLUMNS, LEARN, PERIOD, LASTS = 9000, 20, 2000, 250, 0.97
STREAMS = ("none", "abrupt", "gradual", "walk", "none+ar", "walk+ar", "recurring+ar")
NAMES = ("stream", "policy", "seeds", "never", "every", "accuracy", "kept", "cost", "looked", "updated")
COST = {"recalibrate": 0.02, "third": 0.6, "all": 1.8}


def lasting(noise: Any) -> Any:
    """Rows of which each keeps most of the one before."""
    for i in range(1, len(noise)):
        noise[i] = LASTS * noise[i - 1] + np.sqrt(1 - LASTS**2) * noise[i]
    return noise


def stream(name: str, seed: int) -> tuple[Any, Any]:
    """X (n, d), y (n,) of 0 and 1."""
    rng, when = np.random.default_rng(seed), np.arange(ROWS) / ROWS
    kind, ar = name.removesuffix("+ar"), name.endswith("+ar")
    X, first, last = rng.normal(size=(ROWS, COLUMNS)), rng.normal(size=COLUMNS), rng.normal(size=COLUMNS)
    noise = rng.normal(size=ROWS)
    if ar:
        X, noise = lasting(X), lasting(noise)
    share = {"abrupt": (when > 0.35 + 0.3 * rng.random()) * 1.0, "gradual": np.clip((when - 0.3) / 0.6, 0, 1),
             "recurring": np.floor(5 * when) % 2}.get(kind, np.zeros(ROWS))
    weights = first + np.cumsum(0.03 * rng.normal(size=(ROWS, COLUMNS)), axis=0) if kind == "walk" else \
        (1 - share)[:, None] * first + share[:, None] * last
    score = (X * weights).sum(axis=1) / np.sqrt(COLUMNS) + 0.8 * np.sin(2 * X[:, 1]) * (1 - share) + 0.7 * noise
    return X, (score > 0).astype(int)


def features(X: Any) -> Any:
    """What the linear model sees."""
    return np.column_stack([np.ones(len(X)), X, np.sin(2 * X)])


def fitted(X: Any, y: Any) -> Any:
    """Ridge weights."""
    F = features(X)
    return np.linalg.solve(F.T @ F + 3 * np.eye(F.shape[1]), F.T @ (y - 0.5))


def tuned(weights: Any, X: Any, y: Any) -> float:
    """The threshold of the best accuracy."""
    scores = features(X) @ weights
    grid = np.quantile(scores, np.linspace(0.05, 0.95, 19))
    return float(grid[int(np.argmax([np.mean((scores >= t) == y) for t in grid]))])


def right(model: tuple[Any, float], X: Any, y: Any) -> Any:
    """1.0 where a model (weights, threshold) is right."""
    return (((features(X) @ model[0]) >= model[1]) == y).astype(float)


def made(way: str, champion: tuple[Any, float], X: Any, y: Any) -> tuple[Any, float]:
    """What a way of retraining makes of labelled rows."""
    if way == "recalibrate":
        return champion[0], tuned(champion[0], X, y)
    start = 2 * len(X) // 3 if way == "third" else 0
    X, y = X[start:], y[start:]
    cut = int(0.8 * len(X))
    return fitted(X, y), tuned(fitted(X[:cut], y[:cut]), X[cut:], y[cut:])


def t_of(gain: Any, together: bool = False) -> float:
    """Standard errors of a mean gain, of single rows or of sqrt(n) neighbours at once."""
    if together:
        size = int(np.sqrt(len(gain)))
        gain = gain[len(gain) % size:].reshape(-1, size).mean(axis=1)
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    return float(gain.mean() / error) if error > 0 else 0.0


def fell(promise: tuple[float, float], seen: Any) -> bool:
    """Whether it is significantly less than promised (value, standard error)."""
    return bool(promise[0] - seen.mean() > 1.645 * np.hypot(seen.std() / np.sqrt(len(seen)), promise[1]))


def before(champion: Any, promise: Any, X: Any, y: Any) -> tuple[Any, float, Any]:
    """Two stages: the way is picked on older rows, the challenge is on 600 newer ones.

    Returns what goes live or None, the cost, and where it was right on rows held out.
    """
    learn, cost, found = len(X) - 600, 0.0, {}
    older = learn - min(max(learn // 4, 300), 600)
    base = right(champion, X[older:learn], y[older:learn])
    for way in COST:
        found[way] = right(made(way, champion, X[:older], y[:older]), X[older:learn], y[older:learn])
        cost += COST[way] * older
    gained = [w for w in ("recalibrate", "all", "third") if (found[w] - base).mean() > 0]
    if not gained:
        return None, cost, None
    best = max(gained, key=lambda w: found[w].mean())
    way = next(w for w in gained if w == best or t_of(found[best] - found[w]) < 1)
    model, now = made(way, champion, X[:learn], y[:learn]), right(champion, X[learn:], y[learn:])
    then = right(model, X[learn:], y[learn:])
    gain, tried = then - now, t_of(found[way] - base)
    won = gain.mean() > 0 and (t_of(gain) > 1.645 or (fell(promise, now) and (t_of(gain) + tried) / 2**0.5 > 1.645))
    return (model if won else None), cost + COST[way] * learn, then


def now(champion: Any, promise: Any, X: Any, y: Any) -> tuple[Any, float, Any]:
    """One stage: the cheapest way that suffices, on 30 % of the rows, fitted again on all."""
    learn, cost, found = int(0.7 * len(X)), 0.0, {}
    held = right(champion, X[learn:], y[learn:])
    for way in COST:
        found[way] = right(made(way, champion, X[:learn], y[:learn]), X[learn:], y[learn:])
        cost += COST[way] * learn
        if t_of(found[way] - held, True) > 2.13 and not fell(promise, found[way]):
            break
    gained = [w for w in found if (found[w] - held).mean() > 0]
    if not gained:
        return None, cost, None
    best = max(gained, key=lambda w: found[w].mean())
    way = next(w for w in gained if w == best or t_of(found[best] - found[w]) < 1)
    gain = found[way] - held
    if not (t_of(gain, True) > 2.13 or (fell(promise, held) and t_of(gain) > 1)):
        return None, cost, None
    return made(way, champion, X, y), cost + COST[way] * len(X) / (1 if way == "recalibrate" else 2), found[way]


POLICIES = {"before": (before, 16), "now": (now, 6)}


def played(X: Any, y: Any, policy: str) -> dict[str, float]:
    """One policy on one stream; `never` and `every` are policies too."""
    champion = made("all", (None, 0.0), X[:LEARN], y[:LEARN])
    cut = int(0.7 * LEARN)
    first = right(made("all", champion, X[:cut], y[:cut]), X[cut:LEARN], y[cut:LEARN])
    promise, wait, failed = (first.mean(), first.std() / np.sqrt(len(first))), 0, 0
    sums, seen = {"cost": 0.0, "looked": 0.0, "updated": 0.0}, []
    for start in range(LEARN, len(X) - PERIOD + 1, PERIOD):
        end = start + PERIOD
        seen.append(right(champion, X[start:end], y[start:end]).mean())
        known = slice(end - LEARN, end)
        if policy == "every":
            champion, sums["cost"] = made("all", champion, X[known], y[known]), sums["cost"] + 1.8 * LEARN
        elif policy != "never" and wait:
            wait -= 1
        elif policy != "never":
            look, most = POLICIES[policy]
            model, cost, got = look(champion, promise, X[known], y[known])
            sums["cost"], sums["looked"] = sums["cost"] + cost, sums["looked"] + 1
            failed = failed + 1 if model is None else 0
            wait = min(3 * 2**max(failed - 1, 0), most)
            if model is not None:
                champion, promise = model, (got.mean(), got.std() / np.sqrt(len(got)))
                sums["updated"] += 1
    return {"accuracy": float(np.mean(seen)), **sums}


def main() -> None:
    """Measure what is not known, a stream at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    given = parser.parse_args()
    known = {row["stream"] for row in read_csv("update_policies")}
    for name in (n for n in STREAMS if n not in known):
        found: dict[str, list[dict[str, float]]] = {p: [] for p in ("never", "every", *POLICIES)}
        for seed in range(given.seeds):
            X, y = stream(name, seed)
            for policy, lines in found.items():
                lines.append(played(X, y, policy))
        mean = {p: {n: float(np.mean([line[n] for line in lines])) for n in lines[0]} for p, lines in found.items()}
        never, every = mean["never"]["accuracy"], mean["every"]
        for policy in POLICIES:
            one = mean[policy]
            line = {"stream": name, "policy": policy, "seeds": given.seeds, "never": never, "every": every["accuracy"],
                    "accuracy": one["accuracy"], "kept": one["accuracy"] / every["accuracy"],
                    "cost": one["cost"] / every["cost"], "looked": one["looked"], "updated": one["updated"]}
            append_csv("update_policies", {n: line[n] for n in NAMES})
            show(line)


if __name__ == "__main__":
    main()
