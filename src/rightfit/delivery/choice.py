"""What `choose` gives back: the decision, its leaderboard, its reasons, and the model."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from rightfit.records import Decision


class Choice:
    """A decision with its run folder. `status` is chosen or infeasible; `folder` holds report.html and package/."""

    def __init__(self, decision: Decision, folder: Path) -> None:
        self.decision, self.folder = decision, folder

    def __repr__(self) -> str:
        name = self.decision.chosen["name"] if self.decision.chosen else "nothing"
        return f"Choice({self.status}: {name}, {str(self.folder)!r})"

    @property
    def status(self) -> str:
        """chosen or infeasible."""
        return self.decision.status

    @property
    def package(self) -> Path:
        """Where the packaged model is."""
        return self.folder / "package"

    @property
    def report(self) -> Path:
        """The decision report."""
        return self.folder / "report.html"

    def leaderboard(self) -> Any:
        """All candidates as a DataFrame, the chosen one first, with what was measured and why others are out."""
        import pandas as pd

        rows = [{**{k: v for k, v in row.items() if k not in ("metric", "steps", "params")},
                 **(row["metric"] or {}), "params": row["params"]} for row in self.decision.trials]
        return pd.DataFrame(rows)

    def why(self) -> list[str]:
        """Plain sentences: what decided, and what would change the decision."""
        return [*self.decision.why, *self.decision.what_would_change]

    @cached_property
    def model(self) -> Any:
        """The packaged model, loaded. Raises Infeasible where there is none."""
        from rightfit.errors import Infeasible
        from rightfit.package.read import load

        if self.decision.chosen is None:
            near = self.decision.nearest or {}
            raise Infeasible(f"no model meets every limit; the nearest is {near.get('name')}: it would take "
                             f"{near.get('would_take')}.")
        return load(self.package)
