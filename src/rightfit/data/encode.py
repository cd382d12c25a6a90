"""The one preprocessing, in training and in serving: rows of any kinds in, a float32 matrix out, JSON in the package.

An encoder is a list of blocks, one per column, each a plain mapping. `frame` runs them over whole columns, `row` over
one record; both do the same arithmetic in float64 and round once to float32, so that they agree to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rightfit.data import encode_apply as apply
from rightfit.errors import PackageError, UsageError
from rightfit.records import Schema, Task

OPTIONS: Mapping[str, Any] = {
    "categorical": "auto", "max_categories": 30, "onehot_limit": 10, "impute": "none", "indicator": False,
    "scale": "none", "cyclic": False, "tokens": 200, "token_weight": "binary",
    "text_scores": True,
}
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "categorical": ("auto", "onehot", "ordinal", "target", "code"), "impute": ("none", "median"),
    "scale": ("none", "standard", "robust", "quantile"), "token_weight": ("binary", "count", "tfidf"),
}
VERSION = 1


class Encoder:
    """Turns coerced rows into float32 features; made by `Encoder.fit` or `Encoder.from_json`.

    `names`: one per output. `sources`: the input column of each output. `categorical`: positions of integer codes.
    """

    def __init__(self, blocks: Sequence[Mapping[str, Any]]) -> None:
        self.blocks = tuple(blocks)
        self.names = tuple(name for block in self.blocks for name in block["names"])
        self.sources = tuple(block["column"] for block in self.blocks for _ in block["names"])
        coded = [block["kind"] == "table" and bool(block.get("code")) for block in self.blocks for _ in block["names"]]
        self.categorical = tuple(i for i, yes in enumerate(coded) if yes)
        self._row = apply.compile_row(self.blocks)

    @property
    def width(self) -> int:
        """The number of features, 1 or more."""
        return len(self.names)

    @staticmethod
    def fit(X: Any, y: Any, schema: Schema, task: Task, options: Mapping[str, Any] | None = None,
            seed: int = 0) -> tuple[Encoder, Any]:
        """Learn the blocks and encode the training rows: (encoder, float32 (n, f)).

        X: DataFrame (n rows) of coerced feature columns. y: as in Dataset, None switches target encoding to ordinal.
        The matrix differs from `frame(X)` only where targets encode levels or texts: cross-fitted, no row sees its own
        target.

        options: categorical auto | onehot | ordinal | target | code; max_categories (one-hot width, the rest pooled);
        onehot_limit (`auto` uses one-hot up to so many levels); impute none | median; indicator (missing indicators);
        scale none | standard | robust | quantile; cyclic (calendar as sine and cosine); tokens (vocabulary of a text
        column, 0 for none); token_weight binary | count | tfidf; text_scores (what a text says of each target, by a
        ridge regression on its TF-IDF). Raises UsageError for anything else.
        """
        from rightfit.data import encode_fit

        chosen = _options(options or {})
        blocks, crossfitted = encode_fit.learn(X, y, schema, task, chosen, seed)
        encoder = Encoder(blocks)
        return encoder, encoder._matrix(X, crossfitted)

    def frame(self, X: Any) -> Any:
        """Encode a DataFrame of coerced columns: float32 (n, f). Columns that are absent count as missing."""
        return self._matrix(X, {})

    def row(self, record: Mapping[str, Any]) -> Any:
        """Encode one coerced record: float32 (1, f), the same bits as `frame` on that row.

        numeric, boolean: float or NaN; categorical, text: str or None; datetime: epoch nanoseconds, NaN or None.
        """
        return np.array([self._row(record)], dtype=np.float32)

    def _matrix(self, X: Any, instead: Mapping[int, Any]) -> Any:
        out = np.empty((len(X), self.width), dtype=np.float32)
        start = 0
        for position, block in enumerate(self.blocks):
            stop = start + len(block["names"])
            found = instead.get(position)
            out[:, start:stop] = apply.columns(block, X) if found is None else apply.clip(found)
            start = stop
        return out

    def to_json(self) -> str:
        """The encoder as JSON text without NaN or infinity."""
        return json.dumps({"version": VERSION, "blocks": self.blocks}, allow_nan=False, ensure_ascii=False)

    @staticmethod
    def from_json(text: str) -> Encoder:
        """The encoder back from `to_json`; needs neither pandas nor scikit-learn. Raises PackageError."""
        try:
            found = json.loads(text)
            if found["version"] != VERSION:
                raise PackageError(f"the encoder must be of version {VERSION}; got version={found['version']!r}, "
                                   "make the package again.")
            return Encoder(found["blocks"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, PackageError):
                raise
            raise PackageError(f"encoder.json must hold an encoder; got error={error!r}, "
                               "make the package again.") from None


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in given.items():
        if name not in OPTIONS:
            raise UsageError(f"encoder options must be among {', '.join(OPTIONS)}; got option={name!r}.")
        if name in CHOICES and value not in CHOICES[name]:
            raise UsageError(f"{name} must be one of {', '.join(CHOICES[name])}; got {name}={value!r}.")
    return {**OPTIONS, **given}
