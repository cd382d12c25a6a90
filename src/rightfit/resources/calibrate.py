"""This machine's roofline measured in a fresh process: every rate, and what networks of blocks add to their sum."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

import numpy as np

from rightfit.resources import blocks, forecast, micro, roofline


def calibrated() -> dict[str, Any]:
    """The rates of `roofline.calibrate` with the scales that networks of blocks call for; about 3 s."""
    found = roofline.calibrate()
    return {**found, "scale": _scales(roofline.read(found))}


def _scales(line: roofline.Roofline) -> dict[str, float]:
    """By how much networks of blocks take longer than the sum of their operators, for the kinds that they stand for."""
    found: dict[str, float] = {}
    for name, (kinds, shape, _) in blocks.NETWORKS.items():
        content = blocks.content(name)
        feed = {"X": np.random.default_rng(0).random(shape, np.float32)}
        whole = micro.best(partial(roofline.session(content).run, None, feed), roofline.WHOLE_S, share=0.5)
        expected, _ = forecast.seconds(forecast.layers(content)[0], line)
        found |= dict.fromkeys(kinds, min(max(whole / expected, 0.5), 2.0))
    return found


def main() -> int:
    """Calibrate in this process and print one JSON line."""
    started = time.perf_counter()
    found = calibrated()
    print(json.dumps({**found, "seconds": time.perf_counter() - started}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
