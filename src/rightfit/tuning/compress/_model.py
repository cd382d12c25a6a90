"""A compressed model: the files of a saved one after some steps, answering through the runtime that will serve them."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import UsageError
from rightfit.package import verify
from rightfit.package.read import RUNTIMES
from rightfit.records import Compression, Dataset, Model, Step, Task, asdict

PLUGINS = "rightfit.tuning.compress"


class CompressedModel:
    """Model files in a folder of its own, which goes when the model goes. `learned` is that of the model before."""

    def __init__(self, place: Path, meta: dict[str, Any], task: Task, learned: dict[str, Any]) -> None:
        self._place, self.meta, self.learned = place, meta, learned
        self._flat = not task.classifies and task.outputs == 1
        runtime = registry.plugin(RUNTIMES, str(meta["runtime"]), "runtime")
        self._scorer = runtime.load(place, meta)
        weakref.finalize(self, shutil.rmtree, place, True)

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> CompressedModel:
        """Raises UsageError: a compressed model is made of a fitted one."""
        raise UsageError("a compressed model cannot be fitted; got fit(), fit the model that it is made of.")

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities or values of coerced rows, (n,) for one value."""
        found = np.asarray(self._scorer.frame(X), np.float64).reshape(len(X), -1)
        return found[:, 0] if self._flat else found

    def save(self, folder: Any) -> dict[str, Any]:
        """Copy the model's files into an existing folder; returns the runtime's meta."""
        shutil.copytree(self._place, folder, dirs_exist_ok=True)
        return json.loads(json.dumps(self.meta))  # type: ignore[no-any-return]


def _taken(source: Path, into: Path) -> dict[str, Any]:
    """A package's model files, copied; returns the runtime's meta. Raises PackageError."""
    verify.folder(source)
    info = verify.parse((source / "package.json").read_bytes(), "package.json")
    own = shutil.ignore_patterns(verify.MANIFEST, *verify.REQUIRED)
    shutil.copytree(source, into, dirs_exist_ok=True, ignore=lambda at, names: own(at, names) if Path(
        at) == source else set())
    return dict(info["runtime"])


def compressed(model: Model | Path, steps: Sequence[Step], rows: Dataset, task: Task, seed: int) -> Model:
    """See `rightfit.tuning.compress.apply_steps`."""
    known = [(step, spec) for step in steps
             if (spec := _spec(step)).apply is not None]
    if not known and not isinstance(model, Path):
        return model
    folder = Path(tempfile.mkdtemp(prefix="rightfit-compressed-"))
    try:
        if isinstance(model, Path):
            meta, learned = _taken(model, folder), dict[str, Any]()
        else:
            meta, learned = model.save(folder), dict(model.learned)
        for step, spec in known:
            assert spec.apply is not None
            meta = spec.apply(folder, meta, rows, task, step.params, seed)
            meta = {**meta, "compressed": [*meta.get("compressed", ()), asdict(step)]}
        return CompressedModel(folder, meta, task, learned)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _spec(step: Step) -> Compression:
    found: Compression = registry.plugin(PLUGINS, step.name, "compression")
    return found
