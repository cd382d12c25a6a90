"""One look at a window: what drifted, what the model is worth there, and whether that is a reason to act (issue 6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.delivery.monitor import concept, estimate, reference
from rightfit.delivery.monitor.compare import Past, Rules, compare, telling
from rightfit.delivery.monitor.records import FeatureDrift, Monitoring, Performance
from rightfit.errors import DataError, UsageError
from rightfit.package import LoadedModel, load, verify
from rightfit.records import Need, frozen

ONE_SIDED, NEAR = 1.645, 0.01


@frozen
class Window:
    """Rows of one window. X: coerced, of the columns that are there; pred, codes: as delivered; y: labels or None.

    labelled: positions (m,) of the rows that have a label; y (m,).
    """

    X: Any
    pred: Any
    codes: Any
    y: Any = None
    labelled: Any = None

    def __len__(self) -> int:
        return len(self.pred)


def monitor(package: str | Path, data: Any, labels: Any = None, *, key: str | None = None, past: Sequence[Past] = (),
            rules: Rules | None = None) -> Monitoring:
    """A window of new rows (a source or a frame) against the reference in the package.

    labels: a source or frame of `key` and the target for some of the rows; or the rows hold the target themselves.
    past: what `look` returned for earlier windows. Raises DataError, UsageError, PackageError.
    """
    return look(package, data, labels, key=key, past=past, rules=rules)[0]


def look(package: str | Path, data: Any, labels: Any = None, *, key: str | None = None, past: Sequence[Past] = (),
         rules: Rules | None = None) -> tuple[Monitoring, Past]:
    """As `monitor`, with what later looks must know of this one."""
    rules = rules or Rules()
    with verify.opened(Path(package)) as folder:
        model = load(folder)
        sketch = reference.read(folder, model.schema)
        window = _window(model, data, labels, key, rules.time)
        if len(window) < rules.minimum:
            short = Monitoring(alarm=False, enough=False, rows=len(window), expected=_expected(model, sketch))
            return short, Past(p={}, significant=())
        one, other = dict(sketch.seen), reference.see(window.X, model.schema, set(window.X.columns))
        delivered = _said(model, sketch.pred, _codes(model, sketch.pred))
        now = _said(model, window.pred, window.codes)
        delivered = {n: v for n, v in delivered.items() if not _alike(v, now[n], sketch.y)}
        if window.y is not None:
            at = window.labelled
            delivered |= concept.columns(model.task, sketch.y, sketch.pred, sketch)
            now |= concept.columns(model.task, window.y, window.pred[at], sketch)
        features, kept = compare({**one, **delivered}, {**other, **now}, importance=sketch.importance, past=past,
                                 rules=rules)
        features = tuple(_shown(f, sketch.seen, other, window.X) if f.significant else f for f in features)
        expected = _expected(model, sketch)
        guess = _estimated(model, sketch, window, other, expected)
        real = _realised(model, window)
        lost = tuple(name for name, found in (("estimated", guess), ("realised", real))
                     if found is not None and expected is not None and worse(model, found, expected))
        fell = concept.falls(model.task, sketch, window, _codes(model, sketch.pred), rules.stream)
        return Monitoring(alarm=bool(lost or fell) or any(f.alarm for f in features), enough=True, rows=len(window),
                          features=features, expected=expected, estimated=guess, realised=real, lost=lost,
                          labelled=0 if window.y is None else len(window.y),
                          findings=tuple(fell)), kept


def _shown(feature: FeatureDrift, one: Any, other: Any, X: Any) -> FeatureDrift:
    """A drifted column with rows of the window in which it shows."""
    if feature.name not in one:
        return feature
    rows = telling(one[feature.name], other[feature.name])
    return dataclasses.replace(feature, examples=tuple(f"row {r}: {_brief(X[feature.name].iloc[r])}" for r in rows))


def _brief(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:80]


def _window(model: LoadedModel, data: Any, labels: Any, key: str | None, time: str | None) -> Window:
    from rightfit.data.assemble import assemble, target_present
    from rightfit.data.schema import coerce
    from rightfit.metrics import rules

    frame, target = _frame(model, data), list(model.task.target)
    if not len(frame):
        raise DataError("a window must hold rows; got rows=0, wait for more.")
    if time is not None:
        estimate.forwards(frame, time)
    if (labels is None) != (key is None):
        raise UsageError(f"labels come with the column that says whose they are; got labels and key={key!r}, give "
                         "both.")
    if labels is not None and key is not None:
        some = _frame(model, labels)
        estimate.join(frame, some, key)
        lacking = [name for name in target if name not in some.columns]
        if lacking:
            raise DataError(f"labels must hold the target; got no column={lacking[0]!r}, add it.")
        frame = frame.drop(columns=[n for n in target if n in frame.columns]).merge(some[[key, *target]], on=key,
                                                                                  how="left")
    X = coerce(frame, model.schema)
    pred, codes = rules.apply(model.raw_of_coerced(X), model.task, model.rule)
    pred = pred[:, 0] if codes is None and pred.shape[1] == 1 else pred
    if not all(name in frame.columns for name in target):
        return Window(X=X, pred=pred, codes=codes)
    at = np.flatnonzero(target_present(frame, model.task, model.schema))
    if not len(at):
        return Window(X=X, pred=pred, codes=codes)
    y = assemble(frame.iloc[at].reset_index(drop=True), model.schema, model.task).y
    return Window(X=X, pred=pred, codes=codes, y=y, labelled=at)


def _frame(model: LoadedModel, data: Any) -> Any:
    """The raw rows of a source, read as the training data were; a frame as it is."""
    from rightfit.data import readers
    from rightfit.delivery import predict

    if hasattr(data, "iloc"):
        return data.reset_index(drop=True)
    if readers.find(data) is not None and not predict.added(model):
        return readers.read(data, Need(modality=model.task.modality, options={"header": True}))[0]
    return predict.rows(model, data)[0]


def _codes(model: LoadedModel, pred: Any) -> Any:
    from rightfit.metrics.base import labels

    return labels(pred, model.task, model.rule) if model.task.classifies else None


def _said(model: LoadedModel, pred: Any, codes: Any) -> dict[str, Any]:
    """Predictions and confidences as columns of their own."""
    found, pred = dict[str, Any](), reference.kept(pred)
    if codes is not None and codes.ndim == 1:
        names = np.array(model.task.classes, object)
        found = {"(prediction)": names[codes], "(confidence)": pred.max(axis=1)}
    else:
        found = {f"(prediction {i + 1})": part for i, part in enumerate(np.asarray(pred).reshape(len(pred), -1).T)}
    return found


def _alike(one: Any, other: Any, y: Any) -> bool:
    """Whether all predictions lie within a hundredth of a probability, or of a standard deviation of the label: the
    constants of several folds are no drift."""
    if one.dtype == object:
        return False
    unit = 1.0 if np.asarray(y).dtype.kind in "iub" else float(np.std(y)) or 1.0
    return bool(np.ptp(np.concatenate([one, other])) <= NEAR * unit)


def _expected(model: LoadedModel, sketch: reference.Sketch) -> Performance | None:
    return estimate.realised(model.task.metric, sketch.y, sketch.pred, model.task, codes=_codes(model, sketch.pred))


def _estimated(model: LoadedModel, sketch: reference.Sketch, window: Window, seen: Any,
               expected: Performance | None) -> Performance | None:
    """None for problems and metrics that cannot be estimated without labels."""
    known = estimate.Reference(task=model.task, y=sketch.y, pred=sketch.pred, rule=model.rule,
                               X=reference.frame({n: v for n, v in sketch.seen.items() if n in seen}))
    try:
        return estimate.estimated(model.task.metric, window.pred, known,
                                  X=reference.frame({n: v for n, v in seen.items() if n in sketch.seen}))
    except UsageError:
        return None


def _realised(model: LoadedModel, window: Window) -> Performance | None:
    """None for too few labels, and where the metric is not defined on them: one class alone has no ROC AUC."""
    if window.y is None or len(window.y) < estimate.FEWEST:
        return None
    at = window.labelled
    found = estimate.realised(model.task.metric, window.y, window.pred[at], model.task,
                              codes=None if window.codes is None else window.codes[at])
    return found if np.isfinite([found.value, found.low, found.high]).all() else None


def worse(model: LoadedModel, found: Performance, expected: Performance) -> bool:
    """Whether the metric lies below what was expected, one-sided at 5 %."""
    from rightfit.metrics import base

    sign = 1.0 if base.find(model.task.metric, model.task.problem).greater_is_better else -1.0
    error = float(np.hypot(found.high - found.low, expected.high - expected.low)) / 3.92
    return sign * (expected.value - found.value) > ONE_SIDED * max(error, 1e-12)
