"""Texts as hashed character n-grams, projected to 32 figures, beside their length and kinds of characters."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.data.views._spec import View

WIDTH, BUCKETS, CHARACTERS = 32, 2**12, 2000


def see(values: Any) -> Any:
    """float32 (n, 36): a fixed random projection of 4,096 hashed 1- to 3-grams, log length, shares of digits, of
    non-ASCII and of blanks; the first 2,000 characters count. No encoder is needed, in any language."""
    from sklearn.feature_extraction.text import HashingVectorizer

    texts = [str(value)[:CHARACTERS] if value is not None else "" for value in values]
    hashed = HashingVectorizer(analyzer="char", ngram_range=(1, 3), n_features=BUCKETS).transform(texts)
    turn = np.random.default_rng(0).normal(size=(BUCKETS, WIDTH)) / np.sqrt(WIDTH)
    shape = [[np.log1p(len(str(v or ""))) / 10, _share(t, str.isdigit), _share(t, lambda c: not c.isascii()),
              _share(t, str.isspace)] for v, t in zip(values, texts, strict=True)]
    found = np.column_stack([hashed @ turn, shape]).astype(np.float32)
    found[[value is None for value in values]] = np.nan
    return found


def _share(text: str, holds: Any) -> float:
    return float(sum(map(holds, text))) / max(len(text), 1)


SPEC = View(name="text", kinds=("text",), on="vectors", test="mmd", see=see)
