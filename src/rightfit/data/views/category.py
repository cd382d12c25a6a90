"""Categories and yes/no as their texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.data.views._spec import View


def see(values: Any) -> Any:
    """object (n,) of str, None where missing; yes/no columns are 0.0 and 1.0."""
    found = np.empty(len(values), object)
    found[:] = [None if value is None or value != value else str(value) for value in values]
    return found


SPEC = View(name="category", kinds=("categorical", "boolean"), on="category", test="chi_square", see=see)
