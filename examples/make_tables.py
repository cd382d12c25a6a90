"""Makes the two tables of this folder from scikit-learn's bundled copy of Breast Cancer Wisconsin (Diagnostic).

    python examples/make_tables.py [folder]

breast_cancer.csv holds the 569 rows as they are, with the class spelled out. breast_cancer_dirty.csv holds the same
rows with the faults that tables of practice have, drawn from a fixed seed, so that the audit has something to find.
Both files are the same, byte for byte, on every machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

SEED = 20240501
CLEAN, DIRTY = "breast_cancer.csv", "breast_cancer_dirty.csv"


def clean() -> pd.DataFrame:
    """569 rows: 30 measurements of cell nuclei, and `diagnosis`, malignant or benign."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer(as_frame=True)
    frame = bunch.data.rename(columns=lambda name: name.replace(" ", "_"))
    frame["diagnosis"] = bunch.target_names[bunch.target]
    return frame


def dirty(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows with an id column, three markers of missing values, a constant and twelve repeated rows."""
    rng = np.random.default_rng(SEED)
    found = frame.astype({name: object for name in ("mean_texture", "worst_area", "mean_symmetry")})
    for name, marker in (("mean_texture", -999), ("worst_area", "?"), ("mean_symmetry", "")):
        found.loc[rng.choice(len(found), size=40, replace=False), name] = marker
    found = pd.concat([found, found.iloc[rng.choice(len(found), size=12, replace=False)]], ignore_index=True)
    found.insert(0, "patient_id", 842000 + rng.permutation(len(found)))
    found.insert(1, "laboratory", "Madison")
    return found


def main(folder: Path) -> None:
    """Write both tables."""
    table = clean()
    table.to_csv(folder / CLEAN, index=False, lineterminator="\n")
    dirty(table).to_csv(folder / DIRTY, index=False, lineterminator="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
