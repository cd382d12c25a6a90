"""Rows held out from an update, what packages say of them, and which is better there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.delivery import due
from rightfit.package import LoadedModel
from rightfit.records import Dataset, Rule

CHAMPION = "the champion"
DRAWS = 500  # of a bootstrap: the standard error to 3 %


class Held:
    """The champion and the rows held out; what each challenger says of them is asked once, and kept by its name."""

    def __init__(self, model: LoadedModel, rows: Dataset, promise: Mapping[str, Any] | None) -> None:
        self.model, self.rows, self.promise = model, rows, promise
        self._said = {CHAMPION: due.delivered(model, rows)}

    def hear(self, name: str, raw: Any, rule: Rule) -> None:
        """Enter a challenger: what it says of the rows, (n, k), and how that becomes labels."""
        self._said[name] = due.ruled(self.model.task, raw, rule)

    def said(self, name: str = CHAMPION) -> tuple[Any, Any]:
        """As a challenger delivers it: (pred, codes)."""
        return self._said[name]

    def keeps(self, name: str) -> bool:
        """Whether a challenger keeps what the champion promised."""
        return self.promise is not None and due.keeps(self.model, self.rows, self.promise, self.said(name))

    def value(self, name: str = CHAMPION) -> float:
        """The metric of a challenger."""
        from rightfit.metrics import base, rules

        task = self.model.task
        return rules.of_rows(base.find(task.metric, task.problem), self.rows.y, *self.said(name),
                             np.arange(len(self.rows)), task)

    def compared(self, name: str, with_: str = CHAMPION, together: bool = False) -> Any:
        """A challenger minus another, or the champion. together: rows next to each other in time are drawn together,
        sqrt(n) at once (Kuensch 1989), so that what was right for some days in a row counts less than its rows."""
        from rightfit.metrics import compare

        (pred, codes), (base, base_codes), task = self.said(name), self.said(with_), self.model.task
        several = len(self.rows)
        blocks = np.arange(several) // max(int(np.sqrt(several)), 1) if together else None
        return compare.paired_rows(self.rows.y, pred, base, task.metric, task, groups=blocks, n=DRAWS,
                                   codes=None if base_codes is None else (codes, base_codes))


def rows_for(model: LoadedModel, rows: Dataset) -> Dataset:
    """Coerced rows as a model of another schema takes them."""
    from rightfit.data.schema import coerce

    return rows if model.schema == rows.schema else dataclasses.replace(rows, X=coerce(rows.X, model.schema),
                                                                        schema=model.schema)
