"""What happens inside a fit, point by point: a learning curve, heard by whoever runs the fit.

    with collecting() as points:
        point(epoch=1, loss=0.7, score=0.6)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_points: ContextVar[list[dict[str, float]] | None] = ContextVar("rightfit_trace", default=None)
MOST = 2000


def point(**figures: float) -> None:
    """One point of the curve, such as epoch=, seconds=, loss=, score=; without a listener nothing happens."""
    points = _points.get()
    if points is not None and len(points) < MOST:
        points.append({name: float(value) for name, value in figures.items()})


@contextlib.contextmanager
def collecting() -> Iterator[list[dict[str, float]]]:
    """The points made within it.

    >>> with collecting() as points:
    ...     point(epoch=1, loss=0.5)
    >>> points
    [{'epoch': 1.0, 'loss': 0.5}]
    """
    points: list[dict[str, float]] = []
    token = _points.set(points)
    try:
        yield points
    finally:
        _points.reset(token)
