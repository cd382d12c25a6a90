"""What says the label without looking at the picture: names, formats, cameras and sizes of the files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rightfit.data.checks._columns import alone, codes
from rightfit.data.checks._images import HEADERS, header, listed, refs, some
from rightfit.records import Check, Dataset, Finding, Schema, Task

SURE = 0.95
SURE_R2 = 0.8
LEAST = 10
_WHAT = {"name": "pattern of the file name", "extension": "file extension", "format": "file format",
         "compression": "JPEG compression (its quantisation tables)", "camera": "camera (EXIF)",
         "resolution": "size in pixels"}
_SEEN = "Kept: do the classes come from different sources, and will it be so when the model is used? A network may " \
        "learn the source from its traces in the picture; re-encode all images alike, and at one size, before learning."
_UNSEEN = "No model sees the names, but they say that the classes were collected apart: is anything else different " \
          "between the collections that the pictures show?"


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """A question for each property of the files, of 4,000 at most, that alone tells a class of ten images or more from
    the others with ROC AUC 0.95 (numbers: R2 0.8) on rows not used to learn it. Names that only repeat or abbreviate
    their class are normal.
    """
    every = refs(data)
    rows = some(len(every), HEADERS)
    if len(rows) < 2 * LEAST:
        return
    y = np.asarray(data.y)[rows]
    told: set[str] = set()
    for name, values in properties([every[row] for row in rows], labels(y, task)).items():
        if len(set(values)) < 2 or (name == "extension" and "format" in told):
            continue
        strength = given_away(values, y, task)
        if not strength:
            continue
        told.add(name)
        best = max(strength, key=lambda label: strength[label])
        measure = f"ROC AUC {strength[best]:.3f}" if best else f"R2 {strength[best]:.3f}"
        examples = _examples(values, y, task, best) if best else ""
        whom = f"tells {listed(sorted(strength, key=lambda s: -strength[s]), 4)} from the others" if best else \
            "predicts the target"
        yield Finding(code=f"{name}_leak", severity="ask",
                      evidence=f"The {_WHAT[name]} alone {whom} ({measure}){examples}.",
                      consequence=_UNSEEN if name in ("name", "extension") else _SEEN,
                      data={"property": name, "score": round(strength[best], 4), "classes": sorted(strength)})


def labels(y: Any, task: Task) -> list[str]:
    """The name of each row's class; empty where a row has none of its own."""
    single = task.problem in ("binary", "multiclass")
    return [task.classes[int(code)] for code in y] if single else [""] * len(y)


def properties(given: Sequence[str], of: Sequence[str]) -> Mapping[str, list[str]]:
    """{property: value of each file}."""
    found = [header(ref) for ref in given]
    files = [not ref.startswith("data:") for ref in given]
    return {"format": [h.format for h in found],
            "extension": [os.path.splitext(ref)[1].lower() if file else "" for ref, file in
                          zip(given, files, strict=True)],
            "compression": [h.tables for h in found], "camera": [h.camera for h in found],
            "resolution": [f"{h.width} x {h.height}" for h in found],
            "name": [pattern(ref, label) if file else "" for ref, file, label in zip(given, files, of, strict=True)]}


def pattern(path: str, label: str = "") -> str:
    """A file name without its numbers, and without what repeats or abbreviates its label.

    >>> pattern("/a/scan_0012.png"), pattern("/a/cat_7.jpg", "Cats"), pattern("/a/m (3).jpg", "meningioma")
    ('scan_#', '_#', ' (#)')
    """
    stem = os.path.splitext(os.path.basename(path))[0].casefold()
    stem = re.sub(r"(?=[a-f]*\d)[0-9a-f]{5,}|\d+", "#", stem)
    return re.sub(r"[^\W\d_]+", lambda word: "" if _stands_for(word[0], label.casefold()) else word[0], stem)


def _stands_for(word: str, label: str) -> bool:
    """Whether a word is part of a label, the label part of it, or its letters stand in the label in their order."""
    if not label:
        return False
    if word in label or label in word:
        return True
    letters = iter(label)
    return word[0] == label[0] and all(letter in letters for letter in re.sub(r"(.)\1+", r"\1", word))


def given_away(values: Sequence[str], y: Any, task: Task) -> dict[str, float]:
    """{class: ROC AUC} of the classes that the values tell from the others, or {"": R2} for numbers."""
    import pandas as pd

    coded = codes(pd.Series(list(values), dtype=object))
    if not task.classifies:
        columns = y.reshape(len(y), -1).T
        score = max(alone(coded, column, task) for column in columns)
        return {"": score} if score > SURE_R2 else {}
    flags = y if y.ndim == 2 else np.eye(len(task.classes), dtype=bool)[y]
    found = {}
    for position, name in enumerate(task.classes[:100]):
        inside = flags[:, position].astype(np.int64)
        if LEAST <= inside.sum() <= len(inside) - LEAST and (score := alone(coded, inside, task)) > SURE:
            found[name] = score
    return found


def _examples(values: Sequence[str], y: Any, task: Task, label: str) -> str:
    inside = y[:, task.classes.index(label)] == 1 if y.ndim == 2 else y == task.classes.index(label)
    kinds, counts = np.unique(np.array(values)[inside], return_counts=True)
    most = str(kinds[counts.argmax()])
    return f": {counts.max() / inside.sum():.0%} of {label} are {most!r}" if most else ""


SPEC = Check(name="image_leakage", run=run, modalities=("image",), doc="Properties of files that give the label away.",
             rank=48)
