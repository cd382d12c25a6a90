"""Choose a model under limits, and use it: the README's Python example as a program.

    python examples/need.py [budget] [run folder]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd

import rightfit as rf

TABLE = Path(__file__).resolve().parent / "breast_cancer.csv"


def main(budget: str = "60s", out: str | None = None, families: tuple[str, ...] = ()) -> rf.Choice:
    """Recall of 0.9 or more for malignant tumours, an answer within 5 ms at p95, a package of at most 20 MB."""
    need = rf.Need(target="diagnosis", positive="malignant", metric="roc_auc", at_least={"recall": 0.9},
                   max_latency="5ms", max_size="20MB", budget=budget, families=families)
    choice = rf.choose(TABLE, need, out=out or tempfile.mkdtemp(prefix="rightfit-"))
    print("\n".join(choice.why()))
    if choice.status == "chosen":
        print(choice.model.predict_one(pd.read_csv(TABLE).iloc[0].to_dict()))
    print(choice.report)
    return choice


if __name__ == "__main__":
    given = dict(zip(("budget", "out"), sys.argv[1:], strict=False))
    main(given.get("budget", "60s"), given.get("out"))
