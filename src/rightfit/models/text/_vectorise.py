"""From texts to features, one code for training and serving: bags of n-grams, whole or hashed, and ids of words.

    bag, (indptr, indices, values) = Bag.fit(texts, {"word": [1, 2], "char": [2, 5]})
    positions, values = bag.row("one text")

A bag gives the values of scikit-learn's TfidfVectorizer, with `preprocessor=normalise` and, for words,
`tokenizer=words`.
"""

from __future__ import annotations

import json
import math
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from rightfit.errors import PackageError, UsageError
from rightfit.models.text._grams import GRAMS, join, join_row, normalise, text_columns, word_grams, word_pieces, words
from rightfit.models.text._select import choose

__all__ = ["Bag", "Block", "Ids", "join", "join_row", "normalise", "text_columns", "words"]

Rows = tuple[Any, Any, Any]
"""Compressed sparse rows: indptr int64 (n + 1,), indices int32 (m,), values float64 (m,)."""

WEIGHTS = ("tfidf", "count", "binary", "mean")
COUNTS = 1024
_LOGS = np.concatenate([[0.0], 1.0 + np.log(np.arange(1, COUNTS))])
LOOK = 256  # texts between two looks at the clock
MOST = 12_000_000  # counts of one kind of n-gram before features are chosen; 25 bytes each with what choosing makes
HELD = 20_000_000  # counts of the chosen features; 24 bytes each, and as much again while they are learned from
SHORT = 30  # characters of a word whose pieces are kept for its next occurrence


class Block:
    """One kind of n-gram with its vocabulary and document frequencies.

    `kind` word or char, `low`..`high` the lengths, `weight` one of WEIGHTS, `sublinear` 1 + log(count), `first` the
    position of its first feature. With `buckets`, a term is the CRC-32 of its UTF-8 bytes modulo that number.
    """

    def __init__(self, kind: str, lengths: Sequence[int], weight: str, sublinear: bool = True,
                 buckets: int = 0) -> None:
        low, high = (int(n) for n in lengths)
        if kind not in GRAMS or weight not in WEIGHTS or not 1 <= low <= high <= 20 or buckets < 0:
            raise UsageError(f"a block of n-grams needs kind word or char, weight {', '.join(WEIGHTS)} and lengths "
                             f"1 <= low <= high <= 20; got kind={kind!r}, weight={weight!r}, low={low}, high={high}.")
        self.kind, self.low, self.high, self.weight, self.sublinear = kind, low, high, weight, sublinear
        self.buckets, self.first = buckets, 0
        self.put([], [], 0)

    def put(self, terms: Sequence[Any], frequencies: Any, rows: int) -> None:
        """Take this vocabulary; `frequencies` are the documents of `rows` that hold each term."""
        self.terms, self.rows = list(terms), rows
        self.frequencies = np.asarray(frequencies, np.int64)
        self._find = {term: at for at, term in enumerate(self.terms)}.get
        # scikit-learn's smooth idf: as if one more document held every term.
        self.idf = np.log((1 + rows) / (1 + self.frequencies)) + 1.0

    def __len__(self) -> int:
        return len(self.terms)

    def terms_of(self, grams: Iterable[str]) -> Iterable[Any]:
        """The grams, or their buckets."""
        if not self.buckets:
            return grams
        # Blanks around the kind keep a word and an equal run of characters apart.
        return [zlib.crc32(f"{self.kind} {gram}".encode()) % self.buckets for gram in grams]

    def weigh(self, positions: Any, counts: Any) -> Any:
        """Counts (m,) of one text's terms at positions (m,) to their values float64 (m,)."""
        if self.weight in ("count", "mean"):
            return counts
        if self.weight == "binary":
            return np.ones(len(positions))
        values = _LOGS[np.minimum(counts, COUNTS - 1).astype(np.int64)] if self.sublinear else counts
        values = values * self.idf[positions]
        length = math.sqrt(float(values @ values))
        return values / length if length else values

    def counts(self, text: str) -> tuple[Any, Any]:
        """The terms of one normalised text that are known: their places in the vocabulary, and how often each occurs.
        """
        found = Counter(map(self._find, self.terms_of(GRAMS[self.kind](text, self.low, self.high))))
        found.pop(None, None)
        return found.keys(), found.values()

    def row(self, text: str) -> tuple[Any, Any]:
        """(positions int64 (m,), values float64 (m,)) of one normalised text."""
        places, times = self.counts(text)
        positions = np.fromiter(places, np.int64, len(places))
        counts = np.fromiter(times, np.float64, len(times))
        return positions + self.first, self.weigh(positions, counts)

    def plain(self) -> dict[str, Any]:
        """As JSON values; buckets are written as differences, which are short."""
        terms = [b - a for a, b in zip([0, *self.terms], self.terms, strict=False)] if self.buckets else self.terms
        return {"kind": self.kind, "lengths": [self.low, self.high], "weight": self.weight, "rows": self.rows,
                "sublinear": self.sublinear, "buckets": self.buckets, "terms": terms,
                "frequencies": self.frequencies.tolist() if self.weight == "tfidf" else []}

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Block:
        """The block that `plain` gave. Raises PackageError."""
        block = cls(found["kind"], found["lengths"], found["weight"], found["sublinear"], found["buckets"])
        terms = list(accumulate(found["terms"])) if block.buckets else found["terms"]
        frequencies = found["frequencies"] if block.weight == "tfidf" else [1] * len(terms)
        if len(terms) != len(frequencies) or len(set(terms)) != len(terms):
            raise PackageError(f"a vocabulary must hold every term once with its frequency; got terms={len(terms)}, "
                               f"frequencies={len(frequencies)}, the package is damaged.")
        block.put(terms, frequencies, found["rows"])
        return block


class Bag:
    """Bags of word and character n-grams: what `fit` kept, and the features of new texts."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks, first = tuple(blocks), 0
        for block in self.blocks:
            block.first = first
            first += len(block)
        self.width = first
        self._mean = any(block.weight == "mean" for block in self.blocks)

    @classmethod
    def fit(cls, texts: Sequence[str | None], params: Mapping[str, Any], y: Any = None,
            late: Callable[[], bool] = lambda: False) -> tuple[Bag, Rows]:
        """The bag of these texts and their features. Stops at fewer texts (the first ones) when `late()`.

        Memory is bounded: features are chosen on the texts that hold MOST counts, and of them HELD counts are kept.

        params: word and char ([low, high] or None), weight (one of WEIGHTS; `mean` is over all blocks), sublinear,
        buckets, min_df and max_df (a count, or a float share up to 1), max_features over all blocks. y: float64 (n, k)
        targets for keeping the most telling features; None keeps the most frequent ones.
        """
        from scipy import sparse

        blocks = [Block(kind, params[kind], params.get("weight", "tfidf"), bool(params.get("sublinear", True)),
                        int(params.get("buckets") or 0)) for kind in GRAMS if params.get(kind)]
        if not blocks:
            raise UsageError("a bag needs n-grams of words or of characters; got word=None and char=None.")
        found, rows = [], len(texts)
        for block in blocks:
            found.append(_counted(texts[:rows], block, late))
            rows = min(rows, len(found[-1][1][0]) - 1)
        counts = []
        for vocabulary, (indptr, indices, values) in found:
            end = indptr[rows]
            counts.append(sparse.csr_array((values[:end], indices[:end], indptr[:rows + 1]),
                                           shape=(rows, len(vocabulary))))
        kept = choose(counts, params, None if y is None else np.asarray(y)[:rows])
        names = [vocabulary for vocabulary, _ in found]
        del found
        for at, (block, vocabulary, columns) in enumerate(zip(blocks, names, kept, strict=True)):
            terms = list(vocabulary)
            columns = np.array(sorted(columns.tolist(), key=terms.__getitem__), np.int64)
            counts[at] = counts[at][:, columns]
            block.put([terms[column] for column in columns], np.ones(len(columns)), rows)
        if rows < len(texts) and not late():
            more = _rest(texts[rows:], blocks, late, HELD - sum(matrix.nnz for matrix in counts))
            for at in range(len(counts)):
                counts[at], more[at] = sparse.vstack([counts[at], more[at]], format="csr"), None
            rows = counts[0].shape[0]
        for block, matrix in zip(blocks, counts, strict=True):
            block.put(block.terms, np.bincount(matrix.indices, minlength=len(block)), rows)
        bag = cls(blocks)
        return bag, bag._weighed(counts)

    def _weighed(self, counts: Sequence[Any]) -> Rows:
        """Counts of each block's terms as features, row by row with the code of serving."""
        from scipy import sparse

        for block, matrix in zip(self.blocks, counts, strict=True):
            values = matrix.data = matrix.data.astype(np.float64)
            for start, end in zip(matrix.indptr[:-1].tolist(), matrix.indptr[1:].tolist(), strict=True):
                values[start:end] = block.weigh(matrix.indices[start:end], values[start:end])
        X = sparse.hstack(counts, format="csr") if len(counts) > 1 else counts[0]
        if self._mean:
            sums = np.maximum(X.sum(axis=1), 1.0)
            X.data /= np.repeat(sums, np.diff(X.indptr))
        return X.indptr.astype(np.int64), X.indices.astype(np.int32), X.data

    def row(self, text: str | None) -> tuple[Any, Any]:
        """(positions int64 (m,), values float64 (m,)) of one raw text."""
        text = normalise(text)
        parts = [block.row(text) for block in self.blocks]
        if len(parts) == 1:
            positions, values = parts[0]
        elif parts:
            positions, values = np.concatenate([p for p, _ in parts]), np.concatenate([v for _, v in parts])
        else:
            return np.empty(0, np.int64), np.empty(0)
        return positions, values / max(float(values.sum()), 1.0) if self._mean else values

    def bag(self, texts: Iterable[str | None]) -> Rows:
        """Features of raw texts, one row each."""
        rows = [self.row(text) for text in texts]
        indptr = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(positions) for positions, _ in rows], out=indptr[1:])
        if not rows:
            return indptr, np.empty(0, np.int32), np.empty(0)
        return (indptr, np.concatenate([p for p, _ in rows]).astype(np.int32), np.concatenate([v for _, v in rows]))

    def to_json(self) -> str:
        """Everything but the texts that it was fitted on."""
        return json.dumps({"blocks": [block.plain() for block in self.blocks]}, ensure_ascii=False,
                          separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Bag:
        """The bag that `to_json` wrote. Raises PackageError."""
        return cls([Block.read(found) for found in json.loads(text)["blocks"]])


def _counted(texts: Iterable[str | None], block: Block, late: Callable[[], bool]) -> tuple[dict[Any, int], Rows]:
    """({term: position}, counts of every term); ends early at MOST or when `late()`, after LOOK texts at least.

    The pieces of a word are looked up once for all its occurrences.
    """
    vocabulary: dict[Any, int] = {}
    known: dict[str, list[int]] = {}
    indices, values, indptr = array("i"), array("f"), array("q", [0])

    def places(grams: list[str]) -> list[int]:
        return [vocabulary.setdefault(term, len(vocabulary)) for term in block.terms_of(grams)]

    for done, text in enumerate(texts, 1):
        if block.kind == "word":
            found = places(word_grams(normalise(text), block.low, block.high))
        else:
            found = []
            for word in normalise(text).split():
                ids = known.get(word)
                if ids is None:
                    ids = places(word_pieces(word, block.low, block.high))
                    if len(word) < SHORT:
                        known[word] = ids
                found += ids
        counts = Counter(found)
        indices.extend(counts.keys())
        values.extend(counts.values())
        indptr.append(len(indices))
        if done % LOOK == 0 and (len(indices) > MOST or late()):
            break
    data, places_of, ends = _arrays(indices, values, indptr)
    return vocabulary, (ends, places_of, data)


def _rest(texts: Iterable[str | None], blocks: Sequence[Block], late: Callable[[], bool], most: int) -> list[Any]:
    """Counts of the blocks' own terms in further texts, one csr matrix a block; ends early at `most` or when `late()`.
    """
    from scipy import sparse

    parts = [(array("i"), array("f"), array("q", [0])) for _ in blocks]
    for done, text in enumerate(texts, 1):
        plain = normalise(text)
        for block, (indices, values, indptr) in zip(blocks, parts, strict=True):
            positions, counts = block.counts(plain)
            indices.extend(positions)
            values.extend(counts)
            indptr.append(len(indices))
        if done % LOOK == 0 and (sum(len(indices) for indices, _, _ in parts) > most or late()):
            break
    return [sparse.csr_array(_arrays(*part), shape=(len(part[2]) - 1, len(block)))
            for block, part in zip(blocks, parts, strict=True)]


def _arrays(indices: array[int], values: array[float], indptr: array[int]) -> tuple[Any, Any, Any]:
    """(values float32, indices int32, indptr int64), not copied: they may be most of the memory in use."""
    return (np.frombuffer(values, np.float32) if values else np.empty(0, np.float32),
            np.frombuffer(indices, np.int32) if indices else np.empty(0, np.int32), np.frombuffer(indptr, np.int64))


class Ids:
    """Ids of words or of characters: 0 is padding, 1 what is not known, 2 and on the vocabulary by frequency.

    `unit` word (with single Han and kana characters and signs) or char; `longest` ids of a text are kept.
    """

    def __init__(self, unit: str, terms: Sequence[str], longest: int) -> None:
        if unit not in ("word", "char") or longest < 1:
            raise UsageError(f"ids need unit word or char and longest 1 or more; got unit={unit!r}, "
                             f"longest={longest}.")
        self.unit, self.terms, self.longest = unit, list(terms), longest
        self._find = {term: at for at, term in enumerate(self.terms, 2)}.get

    def __len__(self) -> int:
        """Ids that exist, padding and unknown included."""
        return len(self.terms) + 2

    @classmethod
    def fit(cls, texts: Sequence[str | None], params: Mapping[str, Any]) -> Ids:
        """params: unit, min_df (texts that hold a term, 1 or more), max_features, max_length (ids of one text).

        >>> v = Ids.fit(["good food", "bad food"], {"unit": "word"})
        >>> v.terms, v.row("good new food").tolist()
        (['food', 'bad', 'good'], [4, 1, 2])
        """
        unit = str(params.get("unit", "word"))
        split = words if unit == "word" else list
        frequency = Counter(term for text in texts for term in set(split(normalise(text))))
        least = int(params.get("min_df", 1))
        common = sorted((t for t, n in frequency.items() if n >= least), key=lambda t: (-frequency[t], t))
        return cls(unit, common[:int(params.get("max_features") or len(common))], int(params.get("max_length", 256)))

    def row(self, text: str | None) -> Any:
        """int64 (m,) of one text, 1 id at least (an empty text is one unknown)."""
        text = normalise(text)
        found = words(text) if self.unit == "word" else text
        ids = [self._find(term, 1) for term in found[:self.longest]]
        return np.array(ids or [1], np.int64)

    def ids(self, texts: Iterable[str | None]) -> list[Any]:
        """One int64 (m,) for each text."""
        return [self.row(text) for text in texts]

    def to_json(self) -> str:
        """Everything but the texts that it was fitted on."""
        return json.dumps({"unit": self.unit, "longest": self.longest, "terms": self.terms}, ensure_ascii=False,
                          separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Ids:
        """The ids that `to_json` wrote."""
        found = json.loads(text)
        return cls(found["unit"], found["terms"], int(found["longest"]))
