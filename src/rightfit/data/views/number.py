"""Numbers as they are."""

from __future__ import annotations

from typing import Any

from rightfit.data.views._spec import View


def see(values: Any) -> Any:
    """float64 (n,)."""
    return values.to_numpy(float)


SPEC = View(name="number", kinds=("numeric",), on="number", test="ks", see=see)
