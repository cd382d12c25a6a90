"""A weighted mean of finished candidates: each member is a model of its own, all are delivered in one package."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import UsageError
from rightfit.records import Dataset, Facts, Model, Task

FACTS = Facts(year=2004, paper="Caruana et al., Ensemble Selection from Libraries of Models, ICML 2004",
              licence="Apache-2.0", framework="rightfit", good_at="the best score, whatever it costs",
              bad_at="latency and size add up; harder to explain")


class Blend:
    """Prediction = sum over members of weight x prediction; weights are above zero and sum to 1."""

    def __init__(self, params: Mapping[str, Any], task: Task) -> None:
        members, weights = params.get("members") or (), params.get("weights") or ()
        if not members or len(members) != len(weights) or min(weights) <= 0 or abs(sum(weights) - 1) > 1e-6:
            raise UsageError("a blend needs members, and for each a weight above zero, together 1; got "
                             f"members={len(members)}, weights={list(weights)}.")
        self.task, self.members = task, members
        self.weights = np.asarray(weights, np.float64)
        self.models: list[Model] = []
        self.learned: dict[str, Any] = {}

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> Blend:
        """Fit every member on the same rows; stops by `deadline`.

        As many at a time as there are threads; but one after another, each with all threads, where a member is trained
        for as long as there is time: those come last, and have what is left.
        """
        threads = int(os.environ.get("RIGHTFIT_THREADS") or 1)
        families = [registry.plugin("rightfit.models", str(member["family"]), "family") for member in self.members]
        order = sorted(range(len(families)), key=lambda at: (families[at].paced, at))

        def one(place: int, until: float) -> Model:
            at = order[place]
            model: Model = families[at].build(dict(self.members[at].get("params") or {}), self.task)
            return model.fit(data, seed=seed + at, deadline=until)

        if threads > 1 and not any(family.paced for family in families):
            with ThreadPoolExecutor(threads) as several:
                fitted = list(several.map(lambda place: one(place, deadline), range(len(order))))
        else:
            fitted = []
            for place in range(len(order)):
                left = max(deadline - time.monotonic(), 0.0)
                fitted.append(one(place, time.monotonic() + left / (len(order) - place)))
        self.models = [fitted[order.index(at)] for at in range(len(order))]
        return self

    def predict(self, X: Any) -> Any:
        """As every model of the task predicts."""
        if not self.models:
            raise UsageError("a model must be fitted before it predicts; got fitted=False, call fit first.")
        parts = [np.asarray(model.predict(X), np.float64) for model in self.models]
        return sum(weight * part for weight, part in zip(self.weights, parts, strict=True))

    def save(self, folder: Any) -> dict[str, Any]:
        """Write each member into a folder of its own; returns the meta of the runtime `blend`."""
        if not self.models:
            raise UsageError("a model must be fitted before it is saved; got fitted=False, call fit first.")
        found = []
        for at, (model, weight) in enumerate(zip(self.models, self.weights, strict=True)):
            home = Path(folder) / f"member{at}"
            home.mkdir()
            found.append({"folder": home.name, "weight": float(weight), "meta": model.save(home)})
        return {"runtime": "blend", "members": found}


def compose(members: Sequence[Mapping[str, Any]], weights: Sequence[float]) -> Mapping[str, Any]:
    """The params of a blend of these members {"family", "params"}."""
    return {"members": [dict(member) for member in members], "weights": [float(w) for w in weights]}
