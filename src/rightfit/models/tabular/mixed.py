"""Texts beside other columns: what a pretrained encoder makes of them, as scores of the target, joins a tabular model.

No row that the tabular model learns from was seen by the head that scored it (stacking with cross-fitted scores,
Wolpert 1992, Stacked Generalization).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import UsageError
from rightfit.models.text import _encoder, _net, frozen_encoder
from rightfit.models.text._grams import join
from rightfit.records import Column, Dataset, Facts, Family, Model, Schema, Task

DEFAULTS: Mapping[str, Any] = {**frozen_encoder.DEFAULTS, "inner": "lightgbm", "inner_params": {}}
FOLDS = 5
SHARE = 0.6  # of the time, for reading the texts
UNTRAINED_S = 5.0


class Mixed:
    """`reader` scores the text columns, one score for each class or value; `model` learns from them and all columns.

    Without a text column, as after one was dropped, it is the tabular model alone.
    """

    def __init__(self, params: Mapping[str, Any], task: Task) -> None:
        self.params, self.task = dict(params), task
        self.learned: dict[str, Any] = {}
        self.reader: frozen_encoder.Frozen | None = None
        self.model: Model | None = None
        self.names: tuple[str, ...] = ()

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> Mixed:
        """Embed the texts, score each row by heads that have not seen it, then fit the tabular model; by `deadline`."""
        shown = self._read(data, seed, time.monotonic() + SHARE * (deadline - time.monotonic()))
        inner = registry.plugin("rightfit.models", str(self.params["inner"]), "family")
        model: Model = inner.build({**inner.defaults, **self.params["inner_params"]}, self.task)
        self.model = model.fit(shown, seed=seed, deadline=deadline)
        return self

    def _read(self, data: Dataset, seed: int, until: float) -> Dataset:
        """The rows with what the texts say of the target as further columns."""
        self.reader, self.names = None, ()
        if not _has_texts(data):
            return data
        self.reader = frozen_encoder.build(_own(self.params), dataclasses.replace(self.task, modality="text"))
        self.reader.fit(data, seed=seed, deadline=until)
        self.learned = {"l2": self.reader.learned.get("l2", self.params["l2"])}
        return self._widened(data, self._crossed(data, self.reader, seed, until))

    def untrained(self, data: Dataset) -> Mixed:
        """The same with an encoder and a head of random weights, and a tabular model that is soon fitted."""
        inner = registry.plugin("rightfit.models", str(self.params["inner"]), "family")
        if _has_texts(data):
            self.reader = frozen_encoder.untrained(_own(self.params), dataclasses.replace(self.task, modality="text"),
                                                   data)
            scores = np.asarray(self.reader.predict(data.X), np.float64).reshape(len(data), -1)
            data = self._widened(data, self._taken(scores))
        quick: Model = inner.build({**inner.defaults, **inner.smoke}, self.task)
        self.model = quick.fit(data, seed=0, deadline=time.monotonic() + UNTRAINED_S)
        return self

    def _widened(self, data: Dataset, scores: Any) -> Dataset:
        """The rows with the scores (n, k) as further columns."""
        assert self.reader is not None
        labels = self.task.classes[-scores.shape[1]:] if self.task.classifies else self.task.target
        about = " + ".join(self.reader.columns)
        self.names = tuple(f"{about} ({label}, encoder)" for label in labels)
        columns = tuple(Column(name=name, kind="numeric", dtype="float64") for name in self.names)
        return dataclasses.replace(data, X=self._joined(data.X, scores),
                                   schema=Schema(columns=(*data.schema.columns, *columns)))

    def _crossed(self, data: Dataset, reader: frozen_encoder.Frozen, seed: int, until: float) -> Any:
        """Scores (n, k) of rows by heads that have not seen them; missing where a text was not embedded in time."""
        from sklearn.model_selection import GroupKFold, KFold

        X, done = _encoder.embed(reader.words.ids(join(data.X, reader.columns)), reader.params, reader.loaded, until)
        y, groups = np.asarray(data.y)[done], None if data.groups is None else np.asarray(data.groups)[done]
        weight = None if data.weight is None else np.asarray(data.weight, np.float64)[done]
        params = {**reader.params, "l2": reader.learned.get("l2", reader.params["l2"])}
        whole = groups is None or len(np.unique(groups)) < FOLDS
        parts = KFold(min(FOLDS, len(X)), shuffle=True, random_state=seed % 2**32).split(X) if whole else \
            GroupKFold(FOLDS).split(X, groups=groups)
        out: Any = None
        for at, (train, held) in enumerate(parts):  # a seed each: no head goes on from another's checkpoint
            found = _scored(X, y[train], (train, held), None if weight is None else weight[train], params,
                            (reader.task, seed + at, until))
            out = np.full((len(data), found.shape[1]), np.nan) if out is None else out
            out[done[held]] = found
        return self._taken(out)

    def _taken(self, scores: Any) -> Any:
        """Of two classes the scores of one say all."""
        return scores[:, -1:] if self.task.problem == "binary" else scores

    def _joined(self, X: Any, scores: Any) -> Any:
        return X.assign(**dict(zip(self.names, np.asarray(scores, np.float64).T, strict=True)))

    def predict(self, X: Any) -> Any:
        """As every model of the task predicts. Raises UsageError before a fit."""
        if self.model is None:
            raise UsageError("a model must be fitted before it predicts; got fitted=False, call fit first.")
        if self.reader is None:
            return self.model.predict(X)
        scores = np.asarray(self.reader.predict(X), np.float64).reshape(len(X), -1)
        return self.model.predict(self._joined(X, self._taken(scores)))

    def save(self, folder: Any) -> dict[str, Any]:
        """Write the reader and the tabular model into folders of their own; the meta of the runtime `chain`."""
        if self.model is None:
            raise UsageError("a model must be fitted before it is saved; got fitted=False, call fit first.")
        if self.reader is None:
            return self.model.save(folder)
        parts: dict[str, dict[str, Any]] = {}
        for name, model in (("first", self.reader), ("then", self.model)):
            home = Path(folder) / name
            home.mkdir()
            parts[name] = {"folder": name, "meta": model.save(home)}
        return {"runtime": "chain", **parts, "names": list(self.names)}


def _has_texts(data: Dataset) -> bool:
    return data.y is not None and any(c.kind == "text" and c.name in data.X for c in data.schema.features)


def _own(params: Mapping[str, Any]) -> dict[str, Any]:
    """What of the params is the encoder's."""
    named = (*frozen_encoder.DEFAULTS, "checkpoint", "fingerprint")
    return {name: params[name] for name in named if name in params}


def _scored(X: Any, y: Any, rows: tuple[Any, Any], weight: Any, params: Mapping[str, Any],
            how: tuple[Task, int, float]) -> Any:
    """Scores (m, k) of the held rows by a head on the others."""
    import torch

    from rightfit.models._nn import head, loop
    from rightfit.models._nn.device import limited

    train, held = rows
    task, seed, until = how
    target = _net.Target.of(y, task)
    with limited(), loop.seeded(seed):
        found, _ = head.fit(str(params["head"]), head.Problem(X=X[train], y=target.y, weight=weight), params, task,
                            seed=seed, deadline=until)
        with torch.inference_mode():
            logits = found.eval()(torch.from_numpy(X[held])).numpy().astype(np.float64)
    return loop.finish(logits * target.scale + target.shift, task).reshape(len(held), -1)


def build(params: Mapping[str, Any], task: Task) -> Mixed:
    """An unfitted encoder of texts before a tabular model."""
    return Mixed({**DEFAULTS, **params}, task)


def untrained(params: Mapping[str, Any], task: Task, data: Dataset) -> Mixed:
    """Encoder, head and tabular model of about the same cost, before any training."""
    return build(params, task).untrained(data)


SPEC = Family(
    name="mixed", modality="tabular", problems=_net.PROBLEMS, build=build, kinds=frozenset({"text"}),
    facts=Facts(year=2021, paper="Shi et al. 2021, Benchmarking Multimodal AutoML for Tabular Data with Text Fields; "
                                 "Wolpert 1992, Stacked Generalization; MiniLM: Wang et al. 2020",
                licence="Apache-2.0 (the checkpoint's own licence counts)", framework="transformers",
                good_at="texts beside numbers and categories, where the meaning of words counts",
                bad_at="texts that are codes or names; milliseconds a row, tens of megabytes",
                pretrained=f"{_encoder.ENCODER} (Apache-2.0, 91 MB) unless another checkpoint is named"),
    defaults=DEFAULTS, variants=({"inner": "linear"},),
    handles=frozenset({"missing", "categorical", "text", "weights", "nonlinear"}),
    seconds=lambda task: 8.0 + 6e-3 * task.rows, requires=("torch", "transformers", "tokenizers", "lightgbm"),
    smoke={"inner": "lightgbm", "inner_params": {"n_estimators": 60, "learning_rate": 0.2, "num_leaves": 15}},
    prepare=_encoder.prepare, untrained=untrained, rank=8, rung=0.25)
