"""The runtime of texts: a vectoriser, then a core over its bag of features or over its ids."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import PackageError, UnknownName
from rightfit.models.text._grams import join, join_row
from rightfit.package import verify
from rightfit.package.runtimes import Runtime
from rightfit.records import frozen

CORES = "rightfit.package.cores"
CHUNK = 32


@frozen
class Vectoriser:
    """Where a vectoriser lives: `home` has a class `name` with from_json; `ids` whether it gives ids or bags."""

    home: str
    name: str
    ids: bool
    requires: tuple[str, ...] = ()


VECTORISERS: Mapping[str, Vectoriser] = {
    "bag": Vectoriser(home="rightfit.models.text._vectorise", name="Bag", ids=False),
    "ids": Vectoriser(home="rightfit.models.text._vectorise", name="Ids", ids=True),
    "tokens": Vectoriser(home="rightfit.models.text._tokens", name="Tokens", ids=True, requires=("tokenizers",)),
}


class _Bags:
    """Sparse rows to a core that takes (indptr, indices, values)."""

    def __init__(self, columns: Sequence[str], vectoriser: Any, core: Callable[[Any], Any]) -> None:
        self._columns, self._vectoriser, self._core = columns, vectoriser, core

    def frame(self, X: Any) -> Any:
        return self._core(self._vectoriser.bag(join(X, self._columns)))

    def rows(self, records: Sequence[Mapping[str, Any]]) -> Any:
        return self._core(self._vectoriser.bag([join_row(record, self._columns) for record in records]))

    def row(self, record: Mapping[str, Any]) -> Any:
        positions, values = self._vectoriser.row(join_row(record, self._columns))
        return self._core((np.array([0, len(positions)]), positions, values))


class _Ids:
    """Ids int64 (n, length), 0 where a row has ended, to a graph that derives its mask from them."""

    def __init__(self, columns: Sequence[str], vectoriser: Any, core: Callable[[Any], Any], outputs: int) -> None:
        self._columns, self._vectoriser, self._core, self._outputs = columns, vectoriser, core, outputs

    def _run(self, texts: Sequence[str]) -> Any:
        ids = self._vectoriser.ids(texts)
        # Rows of about one length stand together, so that little is computed on padding.
        order = np.argsort([len(row) for row in ids], kind="stable")
        found = np.empty((len(ids), self._outputs))
        for start in range(0, len(ids), CHUNK):
            here = order[start:start + CHUNK]
            X = np.zeros((len(here), max(len(ids[at]) for at in here)), np.int64)
            for place, at in enumerate(here):
                X[place, :len(ids[at])] = ids[at]
            found[here] = np.asarray(self._core(X), np.float64).reshape(len(here), self._outputs)
        return found

    def frame(self, X: Any) -> Any:
        return self._run(join(X, self._columns))

    def rows(self, records: Sequence[Mapping[str, Any]]) -> Any:
        return self._run([join_row(record, self._columns) for record in records])

    def row(self, record: Mapping[str, Any]) -> Any:
        return self._core(self._vectoriser.row(join_row(record, self._columns))[None])


def _parts(meta: Mapping[str, Any]) -> tuple[Vectoriser, Mapping[str, Any]]:
    """The vectoriser and the only core that a package names."""
    named, cores = meta.get("vectoriser"), meta.get("cores")
    if not isinstance(named, Mapping) or not isinstance(cores, list) or len(cores) != 1 or \
            not isinstance(cores[0], Mapping):
        raise PackageError("a package of texts must name its vectoriser and one core; got "
                           f"vectoriser={str(named)[:60]}, cores={str(cores)[:60]}.")
    if named.get("name") not in VECTORISERS:
        raise UnknownName("vectoriser", str(named.get("name")), VECTORISERS)
    return VECTORISERS[str(named["name"])], cores[0]


def load(folder: Path, meta: Mapping[str, Any]) -> _Bags | _Ids:
    """The scorer of a verified folder. Raises PackageError, UnknownName for what this version does not have."""
    columns, outputs = meta.get("columns"), meta.get("outputs")
    if not isinstance(columns, list) or not columns or not all(isinstance(name, str) for name in columns):
        raise PackageError(f"a package of texts must name its columns; got columns={str(columns)[:60]}.")
    if type(outputs) is not int or outputs < 1:
        raise PackageError(f"a package of texts must state its outputs, 1 or more; got outputs={str(outputs)[:20]}.")
    found, core = _parts(meta)
    content = verify.inside(folder, meta["vectoriser"].get("file")).read_text(encoding="utf-8")
    vectoriser = getattr(importlib.import_module(found.home), found.name).from_json(content)
    score = registry.plugin(CORES, str(core.get("format")), "core format").load(verify.inside(folder, core.get("file")))
    if found.ids:
        return _Ids(columns, vectoriser, score, outputs)
    if getattr(score, "weight", np.empty((0, 0))).shape[0] != vectoriser.width:
        raise PackageError(f"weights must have a row for every feature; got features={vectoriser.width} and another "
                           "number of rows, the package is damaged.")
    return _Bags(columns, vectoriser, score)


def requires(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The distributions that the vectoriser and the core need."""
    found, core = _parts(meta)
    format_ = registry.plugin(CORES, str(core.get("format")), "core format")
    return tuple(sorted({"numpy", *found.requires, *format_.requires}))


SPEC = Runtime(name="text", load=load, requires=requires)
