"""Rows held out from an update, what packages say of them, and which is better there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.delivery import due
from rightfit.package import LoadedModel, load
from rightfit.records import Dataset, Rule

DRAWS = 500  # of a bootstrap: the standard error to 3 %


class Held:
    """The champion and the rows held out; what each package says of them is asked once."""

    def __init__(self, model: LoadedModel, rows: Dataset, promise: Mapping[str, Any] | None) -> None:
        self.model, self.rows, self.promise = model, rows, promise
        self._said: dict[Path, tuple[LoadedModel, tuple[Any, Any]]] = {}
        self._said[model.path] = (model, due.delivered(model, rows))

    def said(self, part: Path | None = None) -> tuple[Any, Any]:
        """As delivered by a package, by default the champion: (pred, codes)."""
        return self._of(part)[1]

    def keeps(self, part: Path) -> bool:
        """Whether a package keeps what the champion promised."""
        return self.promise is not None and due.keeps(self._of(part)[0], self.rows, self.promise,
                                                            self.said(part))

    def rule(self, part: Path) -> Rule:
        """How a package turns what it says into labels."""
        return self._of(part)[0].rule

    def _of(self, part: Path | None) -> tuple[LoadedModel, tuple[Any, Any]]:
        place = part or self.model.path
        if place not in self._said:
            other = load(place)
            self._said[place] = (other, due.delivered(other, rows_for(other, self.rows)))
        return self._said[place]

    def value(self, part: Path | None = None) -> float:
        """The metric of a package."""
        from rightfit.metrics import base, rules

        task = self.model.task
        return rules.of_rows(base.find(task.metric, task.problem), self.rows.y, *self.said(part),
                             np.arange(len(self.rows)), task)

    def compared(self, part: Path, with_: Path | None = None, together: bool = False) -> Any:
        """part minus another, by default the champion. together: rows next to each other in time are drawn together,
        sqrt(n) at once (Kuensch 1989), so that what was right for some days in a row counts less than its rows."""
        from rightfit.metrics import compare

        (pred, codes), (base, base_codes), task = self.said(part), self.said(with_), self.model.task
        several = len(self.rows)
        blocks = np.arange(several) // max(int(np.sqrt(several)), 1) if together else None
        return compare.paired_rows(self.rows.y, pred, base, task.metric, task, groups=blocks, n=DRAWS,
                                   codes=None if base_codes is None else (codes, base_codes))


def rows_for(model: LoadedModel, rows: Dataset) -> Dataset:
    """Coerced rows as a model of another schema takes them."""
    from rightfit.data.schema import coerce

    return rows if model.schema == rows.schema else dataclasses.replace(rows, X=coerce(rows.X, model.schema),
                                                                        schema=model.schema)
