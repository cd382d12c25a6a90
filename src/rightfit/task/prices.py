"""Prices of errors as people write them, turned into a cost matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rightfit.errors import UsageError


def matrix(prices: Mapping[str, float], problem: str, classes: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """The (k, k) matrix cost[true][predicted] of FN and FP prices (binary) or "true>predicted" pairs; empty without
    prices.

    A pair that is not named costs nothing, so with pairs name every error that hurts. Raises UsageError.

    >>> matrix({"FN": 50, "FP": 1}, "binary", ("no", "yes"))
    ((0.0, 1.0), (50.0, 0.0))
    """
    if not prices:
        return ()
    if problem not in ("binary", "multiclass", "ordinal"):
        raise UsageError(f"cost needs a binary or multiclass problem; got problem={problem!r}, leave cost out.")
    table = [[0.0] * len(classes) for _ in classes]
    for name, price in prices.items():
        if not 0 <= float(price) < float("inf"):
            raise UsageError(f"a cost must be zero or more and finite; got {name}={price}.")
        if name.upper() in ("FN", "FP") and name not in classes:
            if problem != "binary":
                raise UsageError(f"FN and FP need a binary problem; got {name}={price} with {len(classes)} classes, "
                                 'write "true>predicted" pairs.')
            row, column = (1, 0) if name.upper() == "FN" else (0, 1)
        else:
            row, column = _pair(name, classes)
        table[row][column] = float(price)
    if not any(any(line) for line in table):
        raise UsageError(f"at least one error must cost something; got cost={dict(prices)!r}.")
    return tuple(tuple(line) for line in table)


def _pair(name: str, classes: Sequence[str]) -> tuple[int, int]:
    # A label may itself hold ">", as ">50K" does, so every place to cut is tried.
    for at in (i for i, letter in enumerate(name) if letter == ">"):
        true, predicted = name[:at].strip(), name[at + 1:].strip()
        if true in classes and predicted in classes:
            if true == predicted:
                raise UsageError(f"a cost pair must name two different classes; got cost={name!r}.")
            return classes.index(true), classes.index(predicted)
    raise UsageError(f'a cost must be FN, FP or "true>predicted" of known classes; got cost={name!r}, classes are '
                     f'{", ".join(classes[:20])}.')
