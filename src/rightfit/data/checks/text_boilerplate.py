"""The same opening or closing in many texts: greetings, signatures, disclaimers, export headers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from rightfit.data.checks._texts import HAN, SAMPLE, normal, shown, some, texts
from rightfit.records import Check, Dataset, Finding, Schema, Task

SHARE = 0.05
FEWEST = 20
WORDS = 5
LONGEST = 60
_PIECE = re.compile(f"[{HAN}]|[^\\s{HAN}]+")


def run(data: Dataset, task: Task, schema: Schema, test: Dataset | None) -> Iterator[Finding]:
    """The longest run of five or more different words (ten Chinese characters) that at least 5 % of the different
    texts, and 20 of them, begin or end with; on at most 20,000 texts.
    """
    given = texts(data)
    part = list(dict.fromkeys(normal(given[row]) for row in some(len(given), SAMPLE)))
    cut = [_PIECE.findall(text[:2000] if len(text) < 4000 else text[:2000] + text[-2000:]) for text in part]
    for where, pieces in (("begin", cut), ("end", [words[::-1] for words in cut])):
        found = common(pieces)
        if found is None:
            continue
        words, count = found
        said = _joined(words if where == "begin" else words[::-1])
        share = count / len(part)
        yield Finding(code="boilerplate", severity="warning" if share > 0.2 else "info",
                      evidence=f"{count:,} of {len(part):,} different texts {where} with {shown(said, 120)}.",
                      consequence="Kept. Words that many texts share weigh little in bags of words, but a network that "
                                  f"reads in order spends its length on them: cut it off if it says nothing"
                                  f"{' (texts that are too long lose their end first)' if where == 'end' else ''}.",
                      data={"text": said, "where": where, "texts": count, "share": share}, column=None)


def common(pieces: Sequence[Sequence[str]]) -> tuple[list[str], int] | None:
    """The longest opening that enough lists of words share, and how many do; longer texts than the opening only."""
    least = max(FEWEST, SHARE * len(pieces))
    best: tuple[list[str], int] | None = None
    level = [words for words in pieces if len(words) > 1]
    for size in range(1, LONGEST):
        level = [words for words in level if len(words) > size]
        counts = Counter(tuple(words[:size]) for words in level)
        if not counts or (top := counts.most_common(1)[0])[1] < least:
            break
        # Half of the texts may leave the common path early; the rest goes on while enough stay on it.
        level = [words for words in level if counts[tuple(words[:size])] >= least]
        if _telling(top[0]) and (best is None or top[1] >= 0.5 * best[1]):
            best = list(top[0]), top[1]
    return best


def _telling(words: Sequence[str]) -> bool:
    """Enough different words; Chinese characters count half."""
    return sum(0.5 if len(word) == 1 and not word.isascii() else 1.0 for word in set(words)
               if any(c.isalpha() for c in word) and not word.startswith("@")) >= WORDS


def _joined(words: Sequence[str]) -> str:
    return re.sub(f"(?<=[{HAN}]) (?=[{HAN}])", "", " ".join(words))


SPEC = Check(rank=40, name="text_boilerplate", run=run, modalities=("text",), needs_y=False,
             doc="Openings and closings that many texts share.")
