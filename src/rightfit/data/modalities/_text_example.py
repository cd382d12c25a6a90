"""Generated texts for the conformance suite: an easy problem, and rows that every model of texts must survive."""

from __future__ import annotations

from typing import Any

import numpy as np

from rightfit.records import Column, Dataset, Problem, Schema, Task

_FILL = ("the", "service", "today", "we", "ordered", "lunch", "at", "home", "again", "with", "friends", "delivery",
         "box", "street", "morning", "table", "menu", "waiter", "train", "phone", "outside", "week", "nearby", "after",
         "work", "昨天", "外卖", "我们", "今天", "下午", "点了", "米饭", "这家", "餐厅", "朋友")
_LOW = ("terrible", "cold", "awful", "rude", "糟糕", "难吃")
_MIDDLE = ("ordinary", "average", "usual", "plain", "一般", "普通")
_HIGH = ("wonderful", "delicious", "perfect", "friendly", "好吃", "满意")
_FAR = ("recommended", "unforgettable", "推荐", "难忘")


def example(problem: Problem, n: int = 240, seed: int = 0, noise: bool = False) -> tuple[Dataset, Task]:
    """Short English and Chinese sentences whose words tell the target; `noise` shuffles it.

    X: one column "text" (n rows). Multilabel has two labels, regression a mean of 3e5 and a spread near 1e4.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    mood = rng.integers(0, 3, n)
    far = rng.random(n) < 0.4
    texts = [_sentence(rng, int(m), bool(f)) for m, f in zip(mood, far, strict=True)]
    y, classes = _target(problem, mood, far, rng)
    if noise:
        y = y[rng.permutation(n)]
    schema = Schema(columns=(Column(name="text", kind="text", dtype="object"),))
    outputs = y.shape[1] if y.ndim == 2 else 1
    task = Task(modality="text", problem=problem, target=tuple(f"y{i}" for i in range(outputs)), metric="",
                classes=classes, outputs=outputs, rows=n, features=1)
    return Dataset(X=pd.DataFrame({"text": pd.Series(texts, dtype=object)}), y=y, schema=schema), task


def _sentence(rng: np.random.Generator, mood: int, far: bool) -> str:
    words = list(rng.choice(_FILL, int(rng.integers(5, 13))))
    words += list(rng.choice((_LOW, _MIDDLE, _HIGH)[mood], 2, replace=False))
    words += [str(rng.choice(_FAR))] if far else []
    text = " ".join(str(words[i]) for i in rng.permutation(len(words)))
    return text + str(rng.choice((".", "!", "。", " 😀", "")))


def _target(problem: Problem, mood: Any, far: Any, rng: np.random.Generator) -> tuple[Any, tuple[str, ...]]:
    if problem == "binary":
        return (mood == 2).astype(np.int64), ("no", "yes")
    if problem == "multiclass":
        return mood.astype(np.int64), ("bad", "middling", "good")
    if problem == "multilabel":
        return np.column_stack([mood == 2, far]).astype(np.int8), ("good", "memorable")
    return 3e5 + 1e4 * (mood - 1.0 + 0.8 * far + 0.1 * rng.normal(size=len(mood))), ()


def hard() -> dict[str, Any]:
    """Frames of one column "text" that hold what texts may hold at worst; None is a missing or empty text."""
    import pandas as pd

    rows: dict[str, list[str | None]] = {
        "missing": [None, None, None],
        "one_missing": ["a wonderful lunch", None],
        "blank": [" ", "\u3000\n"],
        "very_long": ["the service was wonderful " * 4000, "好吃" * 50_000, "x" * 100_000],
        "emoji": ["😀😀👩\u200d👩\u200d👧", "🇨🇳 ❤️ perfect"],
        "chinese": ["这家餐厅很好吃", "外卖送得太慢了\uff0c米饭都凉了。"],
        "control": ["a\x00b\x07c", "line\r\nbreak\ttab", "\ufeff\u202eright\ufffd"],
        "unseen": ["qwxzv"],
        "one_character": ["a", "好", "."],
        "digits": ["1234567890", "3.14"],
    }
    return {name: pd.DataFrame({"text": pd.Series(values, dtype=object)}) for name, values in rows.items()}
