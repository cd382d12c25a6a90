"""Labelled rows of a window: whether labels moved, whether they follow from the features as before, where a fall began.

Concept drift is seen in the probability integral transform of the label under the delivered probabilities, calibrated
on the reference: uniform whatever the mix of rows, as long as labels follow from the features as they did
(Dawid, Statistical theory: the prequential approach, JRSS A 147, 1984; randomised for classes: Czado et al. 2009).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.delivery.monitor import estimate, windows
from rightfit.delivery.monitor.reference import Sketch
from rightfit.errors import UsageError
from rightfit.records import Finding, Task

LABEL, CONCEPT = "(label)", "(label given prediction)"


def columns(task: Task, y: Any, pred: Any, sketch: Sketch, seed: int = 0) -> dict[str, Any]:
    """What drift tests see of labelled rows, y (n,), pred (n, k) or (n,): nothing for several outputs.

    The label itself; and for classes its randomised transform in [0, 1], for values the error y - pred.
    """
    from rightfit.metrics import calibration

    if np.ndim(y) != 1 or task.problem not in ("binary", "multiclass", "regression"):
        return {}
    if task.problem == "regression":
        return {LABEL: y.astype(float), CONCEPT: y - np.asarray(pred, float)}
    kind = "platt" if task.problem == "binary" else "temperature"
    codes = y.astype(int)
    if len(np.unique(sketch.y)) > 1:
        known = estimate.soft(sketch.pred, len(sketch))
        fitted = calibration.fit_calibration(kind, sketch.y.astype(int), known, task)
        pred = calibration.apply_calibration(estimate.soft(pred, len(sketch)), fitted)
    above, own = pred.cumsum(axis=1)[np.arange(len(y)), codes], pred[np.arange(len(y)), codes]
    drawn = np.random.default_rng([seed, len(y)]).random(len(y))
    return {LABEL: np.array(task.classes, object)[codes], CONCEPT: above - own * drawn}


def falls(task: Task, sketch: Sketch, window: Any, codes: Any, detector: windows.Detector | None) -> list[Finding]:
    """Where the share of right answers was seen to fall, over the reference and then the window's labelled rows.

    codes (r,): as delivered on the reference. Raises UsageError for what are no classes, Unavailable without river.
    """
    if detector is None or window.y is None:
        return []
    if codes is None or np.ndim(window.y) != 1:
        raise UsageError(f"a stream is of right and wrong answers; got problem={task.problem!r}, leave stream out.")
    right = window.codes[window.labelled] == window.y
    before = len(sketch)
    found = windows.falls(np.concatenate([codes == sketch.y, right]).astype(float), detector)
    return [Finding(code="stream_fall", severity="severe", column=LABEL,
                    evidence=f"{detector}: right answers fell, seen at row {int(window.labelled[at - before])}",
                    data={"row": int(window.labelled[at - before])}) for at in found if at >= before][:1]
