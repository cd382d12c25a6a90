"""Tokens of pretrained encoders: their own tokenizer.json (WordPiece, BPE, Unigram), read by the tokenizers library."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import PackageError, Unavailable

LONGEST = 128  # tokens; texts of 95 % of the benchmarks in shared/data fit, and attention costs the square of it
SHORTEST = 8
SHARE = 0.95  # of the training texts that are read whole
SAMPLE = 2000  # texts whose lengths are looked at
WIDEST = 40  # characters of a token, more than any has: what lies beyond is not read at all


def reach(lengths: Sequence[int], most: int) -> int:
    """The length that SHARE of the texts keep within, at least SHORTEST, at most `most`.

    >>> reach([3, 20, 30], 128), reach([500], 128), reach([], 128)
    (29, 128, 8)
    """
    return min(max(int(np.quantile(lengths or [0], SHARE)), SHORTEST), most)


class Tokens:
    """A tokenizer with the most tokens that it gives; ids are the tokenizer's own plus one, so that 0 is padding."""

    def __init__(self, definition: str, longest: int) -> None:
        from tokenizers import Tokenizer

        self.definition, self.longest = definition, longest
        self._tokenizer = Tokenizer.from_str(definition)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(longest)

    @classmethod
    def fit(cls, texts: Sequence[str | None], params: Mapping[str, Any]) -> Tokens:
        """The tokenizer of params["checkpoint"], cut where 95 % of these texts have ended, at most at max_length.

        Raises Unavailable when the folder holds no readable tokenizer.json.
        """
        path, most = Path(params["checkpoint"]) / "tokenizer.json", int(params.get("max_length") or LONGEST)
        try:
            found = cls(path.read_text(encoding="utf-8"), most)
        except Exception as error:  # the library raises plain Exception for every kind of damage
            raise Unavailable(f"an encoder needs its readable tokenizer.json; got path={str(path)!r} "
                              f"({' '.join(str(error).split())[:120]}), save it with "
                              "AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER).") from error
        some = [texts[at] for at in np.linspace(0, len(texts) - 1, min(len(texts), SAMPLE)).astype(int)]
        return cls(found.definition, reach([len(row) for row in found.ids(some)], most))

    def __len__(self) -> int:
        """Ids, padding among them: one more than the tokenizer has."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True)) + 1

    def _clean(self, text: str | None) -> str:
        # Lone surrogates, which the library refuses, become question marks.
        return (text or "")[:WIDEST * self.longest].encode("utf-8", "replace").decode("utf-8")

    def ids(self, texts: Sequence[str | None]) -> list[Any]:
        """One int64 array (tokens,) for each text, 1 id or more."""
        coded = self._tokenizer.encode_batch([self._clean(text) for text in texts])
        return [np.array(one.ids or [0], dtype=np.int64) + 1 for one in coded]

    def row(self, text: str | None) -> Any:
        """The ids int64 (tokens,) of one text, as `ids` gives them."""
        return np.array(self._tokenizer.encode(self._clean(text)).ids or [0], dtype=np.int64) + 1

    def to_json(self) -> str:
        """Everything that `from_json` needs."""
        return json.dumps({"longest": self.longest, "tokenizer": self.definition}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Tokens:
        """The tokenizer that `to_json` wrote. Raises PackageError."""
        try:
            found = json.loads(text)
            return cls(found["tokenizer"], int(found["longest"]))
        except ImportError:
            raise
        except Exception as error:  # as above
            raise PackageError("a package's tokenizer must be readable by the tokenizers library; got "
                               f"{' '.join(str(error).split())[:120]!r}, the package is damaged.") from error
