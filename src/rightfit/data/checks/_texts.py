"""What the checks of texts share: the texts of rows, their normal form, and quick features and predictions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from rightfit.records import Dataset

HAN = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = f"[{HAN}]|[^\\W{HAN}]+"
"""A word: a run of letters and digits, or one character where no blanks are written (Chinese, Japanese)."""
SAMPLE = 20_000
CUT = 2_000
LISTED = 200
_SPACE = re.compile(r"\s+")
_WORD = re.compile(WORD)


def texts(data: Dataset) -> list[str]:
    """One text per row, its columns joined by line breaks; empty where all are missing."""
    columns = [c.name for c in data.schema.features if c.kind == "text" and c.name in data.X.columns]
    if len(columns) == 1:
        return [value if isinstance(value, str) else "" for value in data.X[columns[0]]]
    rows = zip(*(data.X[name] for name in columns), strict=True)
    return ["\n".join(value for value in row if isinstance(value, str)) for row in rows]


def normal(text: str) -> str:
    """A text without differences of width, case and blanks.

    >>> normal("  \uff28ello\\n WORLD ")
    'hello world'
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _SPACE.sub(" ", plain).strip().casefold()


def words(text: str) -> list[str]:
    """The words of a text.

    >>> words("Don't 好吃!")
    ['Don', 't', '好', '吃']
    """
    return _WORD.findall(text)


def wordless(text: str) -> bool:
    """Whether a text holds no letter and no digit."""
    return _WORD.search(text) is None


def some(n: int, most: int) -> Any:
    """At most `most` of n positions, drawn with a fixed seed, in their order; int64 (m,)."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def shown(text: str, most: int = 60) -> str:
    """A text in a sentence: quoted, on one line, cut."""
    line = _SPACE.sub(" ", text).strip()
    return repr(line if len(line) <= most else line[:most - 3] + "...")


def tfidf(given: Sequence[str]) -> tuple[Any, Any]:
    """TF-IDF of words and word pairs that occur twice or more in the first 2,000 characters: (csr (n, d), names (d,));
    d is 0 where nothing occurs twice.
    """
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2, max_features=30_000,
                                 token_pattern=WORD, dtype=np.float32)
    try:
        matrix = vectoriser.fit_transform([text[:CUT] for text in given])
    except ValueError:  # scikit-learn raises it when no word is left
        return csr_matrix((len(given), 0), dtype=np.float32), np.array([], dtype=object)
    return matrix, vectoriser.get_feature_names_out()


def linear(classes: int) -> Any:
    """A quick logistic regression by stochastic gradient descent: 77 classes of 6,000 texts take half a second."""
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(loss="log_loss", alpha=1e-5 if classes > 2 else 5e-5, max_iter=8, tol=None, random_state=0)


def quick_oof(matrix: Any, y: Any, folds: int = 3) -> Any:
    """Out-of-fold probabilities (n, k) of class codes 0..k-1, each class with `folds` rows or more."""
    from sklearn.model_selection import StratifiedKFold

    out = np.zeros((len(y), int(y.max()) + 1))
    for train, valid in StratifiedKFold(folds, shuffle=True, random_state=0).split(np.zeros(len(y)), y):
        model = linear(out.shape[1]).fit(matrix[train], y[train])
        out[np.ix_(valid, model.classes_)] = model.predict_proba(matrix[valid])
    return out
