"""What a model over a bag of features is: one matrix, or two, kept in safetensors and scored by numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import PackageError
from rightfit.records import frozen

LINKS = ("softmax", "pair", "sigmoid", "identity")
LARGEST_HALF = 6e4
PARTS = ("weight", "bias", "out", "shift", "scale")


@frozen
class Linear:
    """Sparse rows to predictions: link((x @ weight) @ out + bias) * scale + shift.

    weight: float16 or float32 (f, d). out: float32 (d, k), or None when d is k. bias: float32 (k,). shift, scale:
    float64 (m,), of values. link: softmax over k, sigmoid of each, identity, or pair: sigmoid of the only column as the
    probability of the second of two classes.
    """

    weight: Any
    bias: Any
    link: str
    out: Any = None
    shift: Any = None
    scale: Any = None

    def scores(self, positions: Any, values: Any) -> Any:
        """One row's features, positions (m,) and values (m,), to float32 (k,) before the link."""
        # Rows are scored one by one in every path, so that a prediction can not depend on what stands beside it.
        found = values.astype(np.float32) @ self.weight[positions].astype(np.float32)
        return (found if self.out is None else found @ self.out) + self.bias

    def __call__(self, rows: tuple[Any, Any, Any]) -> Any:
        """(indptr, indices, values) of n rows to predictions float64 (n, k)."""
        indptr, indices, values = rows
        found = np.empty((len(indptr) - 1, len(self.bias)), np.float64)
        ends: Sequence[int] = indptr.tolist()
        for at in range(len(found)):
            found[at] = self.scores(indices[ends[at]:ends[at + 1]], values[ends[at]:ends[at + 1]])
        return self.finish(found)

    def finish(self, scores: Any) -> Any:
        """Scores float64 (n, k) to predictions."""
        if self.link == "softmax":
            share = np.exp(scores - scores.max(axis=1, keepdims=True))
            return share / share.sum(axis=1, keepdims=True)
        if self.link == "identity":
            return scores if self.scale is None else scores * self.scale + self.shift
        share = 1.0 / (1.0 + np.exp(-np.clip(scores, -500.0, 500.0)))
        return np.concatenate([1.0 - share, share], axis=1) if self.link == "pair" else share

    def stored(self, half: bool) -> Linear:
        """The same with its weights rounded to float16, where they fit: what is saved is what predicts."""
        small = half and float(np.abs(self.weight).max(initial=0.0)) < LARGEST_HALF
        return Linear(weight=np.ascontiguousarray(self.weight, np.float16 if small else np.float32),
                      bias=np.asarray(self.bias, np.float32), link=self.link,
                      out=None if self.out is None else np.ascontiguousarray(self.out, np.float32),
                      shift=self.shift, scale=self.scale)

    def save(self, path: Path) -> None:
        """Write one safetensors file."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in PARTS if getattr(self, name) is not None}
        save_file(arrays, str(path), metadata={"link": self.link})


def read(path: Path) -> Linear:
    """What `Linear.save` wrote. Raises PackageError when the arrays do not fit together."""
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as file:
        link = (file.metadata() or {}).get("link", "")
        found = {name: file.get_tensor(name) for name in file.keys() if name in PARTS}  # noqa: SIM118
    weight, bias, out = (found.get(name) for name in ("weight", "bias", "out"))
    shapes = {name: array.shape for name, array in found.items()}
    if link not in LINKS or weight is None or bias is None or weight.ndim != 2 or bias.ndim != 1 or \
            (weight.shape[1:] if out is None else out.shape) != ((len(bias),) if out is None else
                                                                 (weight.shape[1], len(bias))) or \
            any(found[name].shape != bias.shape for name in ("shift", "scale") if name in found):
        raise PackageError(f"linear weights must fit together; got link={link[:20]!r} and shapes={shapes}, the package "
                           "is damaged.")
    return Linear(link=link, **found)
