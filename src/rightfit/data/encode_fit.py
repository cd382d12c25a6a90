"""Learning the blocks of an encoder from the training rows of one fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.data import _encode_texts
from rightfit.data import encode_apply as apply
from rightfit.errors import UsageError
from rightfit.records import Column, Schema, Task

FOLDS = 5
MOST_TARGETS = 10
SCALED_BOUND = 50.0
PRIOR_ROWS = 5.0  # how many rows of overall variance are added to the estimate of that within levels


def learn(X: Any, y: Any, schema: Schema, task: Task, options: Mapping[str, Any],
          seed: int) -> tuple[list[dict[str, Any]], dict[int, Any]]:
    """(blocks, {block position: cross-fitted float64 (n, width)}) for the training rows."""
    columns = [c for c in schema.features if c.name in X.columns and c.kind != "id"]
    blocks: list[dict[str, Any]] = []
    crossfitted: dict[int, Any] = {}
    targets = None if y is None else _targets(y, task)
    for column in columns:
        values = X[column.name]
        if column.kind in ("numeric", "boolean"):
            blocks.append(_numeric(column, values, options))
        elif column.kind == "categorical":
            block, instead = _categorical(column, values, targets, options, seed)
            if instead is not None:
                crossfitted[len(blocks)] = instead
            blocks.append(block)
        elif column.kind == "datetime":
            blocks.append(_datetime(column, values, options))
        elif column.kind == "text":
            blocks.append(_text(column, values, options))
            scored = _encode_texts.score(column, values, targets, options, seed) if targets is not None else None
            if scored is not None:
                crossfitted[len(blocks)] = scored[1]
                blocks.append(scored[0])
        else:
            raise UsageError("columns must be numeric, boolean, categorical, datetime or text to be encoded; got "
                             f"kind={column.kind!r} for column={column.name!r}, drop it or give its kind.")
    if not blocks:
        blocks.append({"kind": "constant", "column": "", "names": ["constant"]})
    return blocks, crossfitted


def _numeric(column: Column, values: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    raw = np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    seen = np.clip(raw[~np.isnan(raw)], -apply.LARGEST, apply.LARGEST)
    scale = "none" if column.kind == "boolean" and options["scale"] == "quantile" else options["scale"]
    block: dict[str, Any] = {"kind": "numeric", "column": column.name, "names": [column.name], "fill": None,
                             "indicator": False, "center": 0.0, "scale": 1.0, "knots": [], "scores": [], "slopes": [],
                             "bound": apply.LARGEST}
    if options["impute"] == "median":
        block["fill"] = float(np.median(seen)) if len(seen) else 0.0
    if options["indicator"] and 0 < len(seen) < len(raw):
        block["indicator"] = True
        block["names"] = [column.name, f"{column.name} is missing"]
    if len(seen) and scale != "none":
        block["bound"] = SCALED_BOUND
        if scale == "quantile" and len(np.unique(seen)) > 2:
            block.update(_quantiles(seen))
        else:
            block.update(_center(seen, scale))
    return block


def _center(seen: Any, scale: str) -> dict[str, float]:
    center, spread = float(np.mean(seen)), float(np.std(seen))
    if scale == "robust":
        low, middle, high = (float(q) for q in np.percentile(seen, [25, 50, 75]))
        if high > low:
            center, spread = middle, (high - low) / 1.349
    usable = np.isfinite(spread) and spread > 1e-12 * max(1.0, abs(center))
    return {"center": center, "scale": spread if usable else 1.0}


def _quantiles(seen: Any, count: int = 100) -> dict[str, Any]:
    """Piecewise linear map to normal scores, as scikit-learn's QuantileTransformer, with slopes kept for serving."""
    from scipy.stats import norm

    shares = np.linspace(0.0, 1.0, min(count, len(seen)) + 1)
    points = np.quantile(seen, shares)
    knots, first = np.unique(points, return_index=True)
    last = len(points) - 1 - np.unique(points[::-1], return_index=True)[1]
    scores = norm.ppf(np.clip((shares[first] + shares[last]) / 2, 1e-3, 1 - 1e-3))
    slopes = np.diff(scores) / np.diff(knots)
    return {"knots": knots.tolist(), "scores": scores.tolist(), "slopes": slopes.tolist()}


def _levels(values: Any) -> tuple[list[str], Any]:
    """Levels by frequency then name, and the level position of each row (-1 missing)."""
    raw = [v if isinstance(v, str) else None for v in values.to_numpy(dtype=object)]
    counts = Counter(v for v in raw if v is not None)
    levels = sorted(counts, key=lambda level: (-counts[level], level))
    place = {level: i for i, level in enumerate(levels)}
    return levels, np.array([-1 if v is None else place[v] for v in raw], dtype=np.int64)


def _categorical(column: Column, values: Any, targets: Any, options: Mapping[str, Any],
                 seed: int) -> tuple[dict[str, Any], Any]:
    levels, codes = _levels(values)
    how = options["categorical"]
    if how == "auto":
        how = "onehot" if len(levels) <= options["onehot_limit"] else "target"
    if how == "target" and targets is None:
        how = "ordinal"
    if how == "onehot":
        return _onehot(column, levels, codes, options), None
    scaled = options["scale"] != "none"
    if how == "target":
        block, out, served = _target(column, levels, codes, targets, seed)
        return _rescaled(block, out, served) if scaled else (block, out)
    table = {level: [float(i)] for i, level in enumerate(levels)}
    coded = how == "code"
    unseen = [-1.0] if coded else [float(len(levels))]
    block = {"kind": "table", "column": column.name, "names": [column.name], "table": table, "missing": [-1.0],
             "unseen": unseen, "code": coded}
    matrix = codes[:, None].astype(np.float64)
    return (_rescaled(block, matrix, matrix)[0] if scaled and not coded else block), None


def _onehot(column: Column, levels: list[str], codes: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    most = max(int(options["max_categories"]), 2)
    kept = levels if len(levels) <= most else levels[: most - 1]
    names = [f"{column.name} = {level}" for level in kept]
    other = None
    if len(kept) < len(levels) or not kept:
        other = len(kept)
        names.append(f"{column.name} = (other)")
    return {"kind": "onehot", "column": column.name, "names": names, "levels": list(kept), "other": other}


def _targets(y: Any, task: Task) -> tuple[Any, list[str]]:
    """(float64 (n, t), names): class indicators, labels, or values."""
    y = np.asarray(y)
    if task.problem == "ranking":
        y = y[:, 0]
    if y.ndim == 2:
        return _standard(y[:, :MOST_TARGETS]), [f"target {i}" for i in range(min(y.shape[1], MOST_TARGETS))]
    if not task.classifies:
        return _standard(y[:, None]), ["target"]
    if len(task.classes) <= 2:
        return (y == len(task.classes) - 1).astype(np.float64)[:, None], ["target"]
    counts = np.bincount(y.astype(np.int64), minlength=len(task.classes))
    chosen = np.sort(np.argsort(-counts, kind="stable")[:MOST_TARGETS])
    return (y[:, None] == chosen[None, :]).astype(np.float64), [f"is {task.classes[c]}" for c in chosen]


def _standard(values: Any) -> Any:
    """Columns with mean 0 and deviation 1, for float32 keeps seven digits of whatever unit the target has."""
    values = np.asarray(values, dtype=np.float64)
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _rescaled(block: dict[str, Any], matrix: Any, served: Any) -> tuple[dict[str, Any], Any]:
    """A table block and its training values, moved and scaled like numeric columns; served: those of `frame`."""
    center, scale = matrix.mean(axis=0), np.maximum(matrix.std(axis=0), served.std(axis=0))
    scale = np.where(scale > 1e-9, scale, 1.0)

    def move(values: Any) -> Any:
        return np.clip((np.asarray(values) - center) / scale, -SCALED_BOUND, SCALED_BOUND)

    table = {level: move(values).tolist() for level, values in block["table"].items()}
    moved = {"table": table, "missing": move(block["missing"]).tolist(), "unseen": move(block["unseen"]).tolist()}
    return {**block, **moved}, move(matrix)


def shrunk_means(codes: Any, targets: Any, levels: int) -> Any:
    """Target mean of each level, shrunk to the overall mean by how much levels differ at all: float64 (levels, t).

    codes: int (n,) in 0..levels-1. targets: float64 (n, t). One-way random effects, the variance between levels by
    the ANOVA estimator (Searle, Casella & McCulloch, Variance Components, 1992). Unlike smoothing by each level's own
    spread (scikit-learn's "auto"), levels of one row are not believed. Levels without rows get the mean.
    """
    n = len(codes)
    count = np.bincount(codes, minlength=levels).astype(np.float64)
    safe = np.maximum(count, 1.0)
    seen = int((count > 0).sum())
    overall, total = targets.mean(axis=0), targets.var(axis=0) * n / max(n - 1, 1)
    means = np.column_stack([np.bincount(codes, weights=column, minlength=levels) / safe for column in targets.T])
    within = ((targets - means[codes]) ** 2).sum(axis=0)
    noise = (within + PRIOR_ROWS * total) / (n - seen + PRIOR_ROWS)
    between = (count[:, None] * (means - overall) ** 2).sum(axis=0) / max(seen - 1, 1)
    size = (n - (count**2).sum() / n) / max(seen - 1, 1)
    signal = np.maximum(between - noise, 0.0) / max(size, 1e-12)
    weight = count[:, None] * signal
    trust = np.divide(weight, weight + noise, out=np.zeros_like(weight), where=(weight + noise) > 0)
    return overall + trust * (means - overall)


def _target(column: Column, levels: list[str], codes: Any, targets: Any,
            seed: int) -> tuple[dict[str, Any], Any, Any]:
    """(block, cross-fitted values, the block's own values) for the training rows."""
    values, labels = targets
    places = np.where(codes < 0, len(levels), codes)
    means = shrunk_means(places, values, len(levels) + 1)
    overall = values.mean(axis=0)
    seen_missing = bool((codes < 0).any())
    single = len(labels) == 1
    block = {"kind": "table", "column": column.name, "code": False,
             "names": [column.name if single else f"{column.name} ({label})" for label in labels],
             "table": {level: means[i].tolist() for i, level in enumerate(levels)},
             "missing": (means[-1] if seen_missing else overall).tolist(), "unseen": overall.tolist()}
    rng = np.random.default_rng(seed)
    n = len(places)
    fold = np.arange(n) % min(FOLDS, max(n, 1))
    rng.shuffle(fold)
    out = np.tile(overall, (n, 1))
    for k in range(int(fold.max()) + 1 if n > 1 else 0):
        inside = fold == k
        out[inside] = shrunk_means(places[~inside], values[~inside], len(levels) + 1)[places[inside]]
    return block, out, means[places]


def _datetime(column: Column, values: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    stamps = values.to_numpy().astype("datetime64[ns]")
    seen = stamps[~np.isnat(stamps)].astype(np.int64).astype(np.float64)
    parts = [*apply.CALENDAR, *(apply.CYCLES if options["cyclic"] else ())]
    block: dict[str, Any] = {"kind": "datetime", "column": column.name, "names": [f"{column.name} {p}" for p in parts],
                             "parts": parts, "origin": float(seen.min()) if len(seen) else 0.0,
                             "fill": [None] * len(parts), "center": [0.0] * len(parts), "scale": [1.0] * len(parts)}
    if options["scale"] != "none" and len(seen):
        known = apply.columns(block, values.to_frame())[~np.isnat(stamps)]
        spread = known.std(axis=0)
        block["center"], block["scale"] = known.mean(axis=0).tolist(), np.where(spread > 1e-9, spread, 1.0).tolist()
    if options["impute"] == "median":
        middles = np.zeros(len(parts))
        if len(seen):
            middles = np.median(apply.columns(block, values.to_frame())[~np.isnat(stamps)], axis=0)
        block["fill"] = middles.tolist()
    return block


def _text(column: Column, values: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    texts = [v for v in values.to_numpy(dtype=object) if isinstance(v, str)]
    seen: Counter[str] = Counter()
    sizes = []
    for text in texts:
        found = apply.tokens(text)
        sizes.append((len(text), len(found)))
        seen.update(set(found))
    frequent = sorted((t for t, c in seen.items() if 2 <= c < len(texts)), key=lambda t: (-seen[t], t))
    chosen = frequent[: int(options["tokens"])]
    how = options["token_weight"]
    idf = [float(np.log((1 + len(texts)) / (1 + seen[t]))) + 1 for t in chosen]
    largest = np.max(sizes, axis=0) if sizes else np.ones(2)
    scaled = options["scale"] != "none"
    return {"kind": "text", "column": column.name,
            "names": [f"{column.name} length", f"{column.name} words", *(f"{column.name}: {t}" for t in chosen)],
            "vocabulary": {t: i for i, t in enumerate(chosen)}, "weight": how,
            "weights": idf if how == "tfidf" else [1.0] * len(chosen),
            "shrink": [1.0 / max(float(v), 1.0) if scaled else 1.0 for v in largest]}
