"""The order of the portfolio that was learned on many tables, by the shape of the data; data, in order.json.

It is what `python benchmarks/replay --order` writes from benchmarks/results/replay_table.csv: at each place the
candidate that adds most to those before it (Salinas & Erickson 2024, TabRepo).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from rightfit.records import Candidate, Task

FEW_ROWS = 1000


def shape_of(problem: str, rows: int) -> str:
    """The kind of table as the learned order knows it.

    >>> shape_of("binary", 500), shape_of("regression", 5000)
    ('classes, few rows', 'values, many rows')
    """
    return f"{'values' if problem == 'regression' else 'classes'}, {'few' if rows < FEW_ROWS else 'many'} rows"


@functools.cache
def learned() -> dict[str, Any]:
    """The file: where it comes from, and {modality: {shape: [{"family", "params"}, best first]}}."""
    text = resources.files("rightfit.tuning").joinpath("order.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def arranged(candidates: list[Candidate], task: Task, shifts: Mapping[str, float], first: str) -> list[Candidate]:
    """The candidates, those of the learned order ahead of the others; family `first` keeps its first turn.

    shifts: by how much the advice sets each family back for these data; what it sets back keeps its place.
    """
    entries = learned()["shapes"].get(task.modality, {}).get(shape_of(task.problem, task.rows), ())
    known = [Candidate(family=e["family"], params=e["params"]).key for e in entries
             if shifts.get(e["family"], 0.0) <= 0]
    places = {key: at for at, key in enumerate(known)}
    opening = next((c.key for c in candidates if c.family == first), "")
    return sorted(candidates, key=lambda c: -1 if c.key == opening else places.get(c.key, len(places)))
