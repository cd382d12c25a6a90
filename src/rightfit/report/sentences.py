"""Sentences that a decision holds in English, said in another language; messages/sentences.<language>.json has them.

A decision keeps what was said when it was made. Its sentences follow patterns such as "All {n} values are {v}.", so a
report in another language recognises the pattern and fills the translation with the same values.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources

_BRACES = re.compile(r"\{(\w+)\}")
_ENDS = re.compile(r"(?<=[.;])\s+")
_COUNTS = ("n", "k", "i")  # braces with these names hold whole numbers
_NESTED = 3  # a value of a sentence may be a sentence itself, down to this depth
_LONGEST = 2000  # characters; patterns are not tried on more


@cache
def patterns(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """What recognises a sentence, and what is said for it; those with most fixed text first. Empty for English."""
    file = resources.files("rightfit.report") / "messages" / f"sentences.{language}.json"
    if not file.is_file():
        return ()
    said: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return tuple((_pattern(sentence), said[sentence])
                 for sentence in sorted(said, key=lambda one: -len(_BRACES.sub("", one))))


def _pattern(sentence: str) -> re.Pattern[str]:
    parts = _BRACES.split(sentence)  # fixed text and names in turn
    return re.compile("".join(re.escape(part) if i % 2 == 0 else
                              f"(?P<{part}>{r'[0-9][0-9,]*' if part in _COUNTS else '.*?'})"
                              for i, part in enumerate(parts)), re.DOTALL)


def say(text: str, language: str, depth: int = _NESTED) -> str:
    """A sentence, or several in a row, in `language`; what is not known stays as it is.

    >>> say("All 20 values are blue.", "zh_CN")
    '全部 20 个值都是 blue。'
    >>> say("Treated as missing. Call me.", "zh_CN")
    '按缺失处理。 Call me.'
    >>> say("All 20 values are blue.", "en")
    'All 20 values are blue.'
    """
    if not patterns(language) or not text.strip() or len(text) > _LONGEST:
        return text
    whole = _whole(text, language, depth)
    if whole is None and text.endswith("."):  # a clause that stands alone here
        whole = _whole(text[0].lower() + text[1:-1], language, depth)
        whole = whole and whole + "。"
    if whole is not None:
        return whole
    parts = _ENDS.split(text)
    if len(parts) < 2 or not depth:
        return text
    said = [say(part, language, depth - 1) for part in parts]
    return "".join(one if one.endswith("。") and i + 1 < len(said) and said[i + 1] != parts[i + 1] else
                   one + " " for i, one in enumerate(said)).rstrip()


def _whole(text: str, language: str, depth: int) -> str | None:
    for pattern, translation in patterns(language):
        if found := pattern.fullmatch(text):
            values = {name: say(value, language, depth - 1) if depth else value
                      for name, value in found.groupdict().items()}
            return translation.format(**values)
    return None
