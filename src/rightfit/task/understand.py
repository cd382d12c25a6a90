"""Chapter 1: what is asked. Infers the task from the table and the need, with a reason for each inference."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from rightfit.data.schema import coerce
from rightfit.data.values import canonical
from rightfit.errors import DataError, UsageError
from rightfit.records import Need, Problem, Schema, Task
from rightfit.task import detect, further, metric, prices
from rightfit.task.labels import label_texts, sort_labels

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 5000
FEW_VALUES = 10
LOOK = 50_000
_POSITIVE = frozenset((
    "1", "yes", "y", "true", "t", "positive", "pos", "churn", "churned", "default", "defaulted", "fraud",
    "fraudulent", "bad", "spam", "attack", "anomaly", "anomalous", "abnormal", "failure", "failed", "fail", "sick",
    "disease", "diseased", "dead", "malignant", "died", "death", "left", "click", "clicked", "buy", "bought",
    "converted", "accident", "claim"))
_NEGATIVE = frozenset((
    "0", "-1", "no", "n", "false", "f", "negative", "neg", "none", "normal", "ok", "good", "ham", "benign", "healthy",
    "alive", "stay", "stayed"))
_PROBLEMS = ("binary", "multiclass", "multilabel", "ordinal", "regression", "quantile", "count", "ranking",
             "forecasting")


def understand(frame: pd.DataFrame, schema: Schema, need: Need, modality: str) -> Task:
    """The task that a need poses on a table: problem, classes, metric and costs, each with its reason.

    `frame` is the raw table with its target columns; rows whose target is missing do not count. Group and time
    columns are applied only when the need names them; suspected ones become questions. Raises UsageError and
    DataError.
    """
    reasons: dict[str, str] = {}
    questions: list[str] = []
    target = _targets(frame, schema, need)
    columns = {name: _clean(frame[name], schema, name) for name in target}
    known = np.logical_and.reduce([c.notna().to_numpy() for c in columns.values()])
    if not known.any():
        raise DataError(f"the target must have values; got target={target[0]!r} with {len(frame)} rows, all missing: "
                        "name another target.")
    columns = {name: c[known] for name, c in columns.items()}
    texts = _texts(frame[target[0]], schema, target[0])[known]
    need = further.implied(need)
    problem = _problem(columns, need, reasons, questions)
    classes, counts = _classes(problem, columns, texts, need, reasons)
    group = _named(frame, need.group, "group")
    quantiles = further.levels(problem, need)
    further.check(problem, columns, need, group)
    name, why = further.metric(problem, quantiles) or (
        metric.of_classes(problem, counts) if classes else
        metric.of_values(np.concatenate([c.astype(float).to_numpy() for c in columns.values()])))
    cost = prices.matrix(need.cost, problem, classes)
    if cost:
        name, why = "cost", "prices of errors were given: the mean price of a row is what is lowered"
    if need.metric is not None:
        name, why = further.named(need.metric, problem) or metric.check(need.metric, bool(classes)), "you named it"
    reasons["metric"] = f"{name}: {why}."
    for limit in (*need.at_least, *need.at_most):
        further.named(limit, problem) or metric.check(limit, bool(classes))
    time = _named(frame, need.time, "time")
    questions += _structure(frame, schema, target, group, time)
    told = [c.kind for c in schema.features if c.name not in target]
    rows, features = int(known.sum()), len(told)
    return Task(modality=modality, problem=problem, target=target, metric=name, classes=classes, cost=cost,
                limits=need.limits(), serving=need.serving(),
                outputs=len(classes) if problem == "multilabel" else len(quantiles) or len(target), group=group,
                quantiles=quantiles, monotone=further.monotone(frame, schema, need, problem, target),
                coverage=need.coverage, time=time, protected=_named(frame, need.protected, "protected"),
                horizon=need.horizon, rows=rows, features=features, kinds=tuple(sorted(set(told))),
                complexity=complexity(rows, features, len(classes)),
                reasons=reasons, questions=tuple(questions))


def complexity(rows: int, features: int, classes: int) -> str:
    """One sentence on how much the data can carry, from its shape; under ten rows a feature, models over-fit easily
    (Peduzzi et al. 1996).

    >>> complexity(200, 50, 2)
    'scarce: 200 rows for 50 features and 2 classes, 4.0 rows a feature; strong regularisation is called for.'
    """
    per = rows / max(features, 1)
    what = f"{rows:,} rows for {features:,} features" + (f" and {classes:,} classes" if classes else "")
    if rows < 1000 or per < 10 or (classes and rows / classes < 30):
        word, so = "scarce", "strong regularisation is called for"
    elif rows < 50_000:
        word, so = "moderate", "boosted trees and linear models can both be learned well"
    else:
        word, so = "ample", "flexible models are limited by time rather than by data"
    return f"{word}: {what}, {per:,.1f} rows a feature; {so}."


def _targets(frame: pd.DataFrame, schema: Schema, need: Need) -> tuple[str, ...]:
    asked = need.target
    if asked is None:
        roles = tuple(c.name for c in schema.columns if c.role == "target")
        if not roles:
            raise UsageError("the target must be named; got target=None for a table with columns "
                             f"{_few(frame.columns)}.")
        return roles
    found = tuple(_column(frame, one, "target") for one in (asked if isinstance(asked, tuple) else (asked,)))
    if len(set(found)) < len(found):
        raise UsageError(f"target columns must differ; got target={list(found)!r}.")
    return found


def _column(frame: pd.DataFrame, asked: str | int, what: str) -> str:
    names = [str(c) for c in frame.columns]
    if isinstance(asked, str) and asked in names:
        return asked
    if isinstance(asked, int) or asked.lstrip("-").isdigit():
        position = int(asked)
        if -len(names) <= position < len(names):
            return names[position]
    raise UsageError(f"{what} must be a column of the table; got {what}={asked!r}, columns are {_few(names)}.")


def _few(names: Any) -> str:
    listed = [str(n) for n in names]
    return ", ".join(listed[:12]) + (f" and {len(listed) - 12} more" if len(listed) > 12 else "")


def _named(frame: pd.DataFrame, asked: str | None, what: str) -> str | None:
    return None if asked is None else _column(frame, asked, what)


def _texts(values: pd.Series, schema: Schema, name: str) -> pd.Series:
    """The target in canonical text; the schema's markers become missing."""
    marks = next((c.missing for c in schema.columns if c.name == name), ())
    texts = label_texts(values)
    return texts.where(~texts.isin(set(marks)), None)


def _clean(values: pd.Series, schema: Schema, name: str) -> pd.Series:
    """The target as float64 when every value is a number, else as canonical text; missing stays missing."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        marks = next((c.missing for c in schema.columns if c.name == name), ())
        numbers = values.astype("float64")
        numbers = numbers.where(~numbers.isin([float(m) for m in marks if _is_number(m)]), np.nan)
    else:
        texts = _texts(values, schema, name)
        numbers = pd.to_numeric(texts, errors="coerce").astype("float64")
        if texts.isna().all() or not bool((numbers.notna() == texts.notna()).all()):
            return texts
    if np.isinf(numbers.to_numpy()).any():
        row = int(np.flatnonzero(np.isinf(numbers.to_numpy()))[0])
        raise DataError(f"the target must be finite; got {name}={numbers.iloc[row]} in row {row}, remove or correct "
                        "that "
                        "row.")
    return numbers


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numeric(values: pd.Series) -> bool:
    return values.dtype.kind == "f"


def _problem(columns: dict[str, pd.Series], need: Need, reasons: dict[str, str], questions: list[str]) -> Problem:
    if need.problem is not None and need.problem not in _PROBLEMS:
        raise UsageError(f"problem must be one of {', '.join(_PROBLEMS)} for a table; got problem={need.problem!r}.")
    for name, values in columns.items():
        if values.nunique() < 2 and len(values) > 0 and len(columns) == 1:
            raise DataError(f"the target must vary; got {name}={values.iloc[0]!r} in all {len(values)} rows: name "
                            "another target "
                            "or add rows of another class.")
    if need.problem is not None:
        _fits(need.problem, columns, need)
        reasons["problem"] = f"{need.problem}: you named it."
        return need.problem
    if need.delimiter is not None:
        _fits("multilabel", columns, need)
        reasons["problem"] = f"multilabel: the target lists labels separated by {need.delimiter!r}."
        return "multilabel"
    if len(columns) > 1:
        return _several(columns, reasons)
    name, values = next(iter(columns.items()))
    if need.horizon is not None:
        _fits("forecasting", columns, need)
        reasons["problem"] = f"forecasting: a horizon of {need.horizon} was given."
        return "forecasting"
    return _single(name, values, need, reasons, questions)


def _several(columns: dict[str, pd.Series], reasons: dict[str, str]) -> Problem:
    if all((_numeric(c) and c.isin([0.0, 1.0]).all()) or c.nunique() <= 2 for c in columns.values()):
        reasons["problem"] = f"multilabel: {len(columns)} target columns, each with two values."
        return "multilabel"
    text = [n for n, c in columns.items() if not _numeric(c)]
    if text:
        raise DataError("several targets must all hold two values (multilabel) or all hold numbers (regression); got "
                        f"target={text[0]!r} "
                        f"with {columns[text[0]].nunique()} text values: choose one target.")
    reasons["problem"] = f"regression: {len(columns)} target columns of numbers."
    return "regression"


def _single(name: str, values: pd.Series, need: Need, reasons: dict[str, str], questions: list[str]) -> Problem:
    unique = int(values.nunique())
    if unique == 2:
        reasons["problem"] = f"binary: {name} has two values."
        return "binary"
    if not _numeric(values):
        reasons["problem"] = f"multiclass: {name} holds text with {unique:,} values."
        mark = _joined(values)
        if mark:
            shown = next(value for value in values if mark in value)
            questions.append(f"Do values of {name} such as {shown!r} list several labels? Each is treated as one "
                             f"class; --delimiter {mark!r} makes it multilabel.")
        return "multiclass"
    if need.positive is not None:
        raise UsageError(f"positive needs a target of two values; got positive={need.positive!r} and {name} with "
                         f"{unique} values, "
                         "leave it out or prepare a two-valued target.")
    array = values.to_numpy()
    if not (array == np.floor(array)).all():
        reasons["problem"] = f"regression: {name} holds {unique:,} numbers, not all whole."
        return "regression"
    low, high = int(array.min()), int(array.max())
    if unique <= FEW_VALUES and high - low < 2 * FEW_VALUES and len(array) >= 5 * unique:
        reasons["problem"] = (f"multiclass: {name} holds only {unique} whole numbers, {low} to {high}; treated as "
                              "classes so that every "
                              "value gets its own probability, unless you say otherwise.")
        questions.append(f"Are the values of {name} ({low} to {high}) an ordered scale, such as a rating? They are "
                         "treated as classes without "
                         "order; --problem ordinal keeps the order, where a near miss costs less than a far one, and "
                         "--problem regression treats them as amounts.")
        return "multiclass"
    reasons["problem"] = (f"regression: {name} holds {unique:,} whole numbers, {low:,} to {high:,}, more than "
                          f"{FEW_VALUES}.")
    if unique <= 3 * FEW_VALUES:
        questions.append(f"Are the {unique} values of {name} amounts or the codes of classes? They are treated as "
                         "amounts; --problem multiclass "
                         "treats them as classes.")
    return "regression"


def _joined(values: pd.Series) -> str:
    """The sign that seems to join several labels in one value: far fewer labels than values, each in several values."""
    different = [str(value) for value in values.unique()]
    for mark in (";", "|", ","):
        joined = [value for value in different if mark in value]
        parts = Counter(part.strip() for value in different for part in set(value.split(mark)))
        if len(joined) >= 3 and len(parts) <= 0.75 * len(different) and min(parts.values()) > 1 and "" not in parts:
            return mark
    return ""


def _fits(problem: str, columns: dict[str, pd.Series], need: Need) -> None:
    name, values = next(iter(columns.items()))
    unique = int(values.nunique())
    if problem == "binary" and (unique != 2 or len(columns) > 1):
        raise UsageError(f"a binary problem needs one target of two values; got problem='binary' and {name} with "
                         f"{unique} values, "
                         "say multiclass or regression.")
    if problem not in ("binary", "multiclass", "multilabel", "ordinal"):
        for column, one in columns.items():
            if not _numeric(one):
                bad = next(v for v in one if not _is_number(str(v)))
                raise UsageError(f"a {problem} target must hold numbers; got problem={problem!r} and "
                                 f"{column}={bad!r}, say multiclass "
                                 "or clean the column.")
    if problem in ("multiclass", "ordinal", "quantile", "count", "ranking") and len(columns) > 1:
        raise UsageError(f"a {problem} problem needs one target; got problem={problem!r} and {len(columns)} target "
                         "columns.")
    if problem == "multilabel" and len(columns) == 1 and need.delimiter is None:
        raise UsageError(f"a multilabel problem needs several target columns or a delimiter; got target={name!r} and "
                         "delimiter=None, "
                         "give one of the two.")
    if problem == "multilabel" and len(columns) > 1 and (wide := [n for n, c in columns.items() if c.nunique() > 2]):
        raise UsageError(f"multilabel target columns must hold two values; got {wide[0]} with "
                         f"{columns[wide[0]].nunique()} values.")


def _classes(problem: Problem, columns: dict[str, pd.Series], texts: pd.Series, need: Need,
             reasons: dict[str, str]) -> tuple[tuple[str, ...], list[int]]:
    """The classes in order, and the number of rows of each (multilabel: of rows that carry the label)."""
    if problem not in ("binary", "multiclass", "multilabel", "ordinal"):
        return (), []
    name, values = next(iter(columns.items()))
    if problem == "multilabel" and len(columns) > 1:
        return tuple(columns), [int((c == sorted(c.unique())[-1]).sum()) for c in columns.values()]
    if problem == "multilabel":
        lists = texts.str.split(need.delimiter or ",", regex=False)
        parts = [p.strip() for some in lists for p in some if p.strip()]
        labels = sort_labels(sorted(set(parts)))
        counts = {label: parts.count(label) for label in labels} if len(labels) < 50 else _count(parts)
    else:
        counts = _count(texts.tolist())
        labels = further.ordered(sort_labels(sorted(counts)), need, name) if problem == "ordinal" else \
            sort_labels(sorted(counts))
    _check_labels(name, labels, len(values), problem)
    if problem == "binary":
        positive, why = _positive(counts, need.positive)
        labels = [c for c in labels if c != positive] + [positive]
        reasons["classes"] = f"{positive} is the positive class of {name}: {why}."
    return tuple(labels), [counts.get(c, 0) for c in labels]


def _count(texts: list[str]) -> dict[str, int]:
    from collections import Counter

    return dict(Counter(texts))


def _check_labels(name: str, labels: list[str], rows: int, problem: str) -> None:
    if len(labels) > MAX_CLASSES:
        raise DataError(f"a target must have at most {MAX_CLASSES} classes; got {name} with {len(labels)} classes, "
                        "group rare ones or "
                        "name another target.")
    if len(labels) < 2:
        raise DataError(f"a target must have two or more classes; got {name} with {len(labels)} class, name another "
                        "target.")
    if problem != "multilabel" and len(labels) == rows and rows > 2:
        raise DataError(f"a target must repeat its classes; got {name} with {len(labels)} classes in {rows} rows, it "
                        "looks like an id: name "
                        "another target.")


def _positive(counts: dict[str, int], asked: str | None) -> tuple[str, str]:
    labels = sort_labels(sorted(counts))
    if asked is not None:
        wanted = canonical(asked)
        match = next((c for c in labels if c in (asked, wanted)), None)
        if match is None:
            raise UsageError(f"positive must be one of the classes {', '.join(labels)}; got positive={asked!r}.")
        return match, "you named it"
    plain = {c: c.strip("'\" .").lower() for c in labels}
    usual = [c for c in labels if plain[c] in _POSITIVE]
    other = next((c for c in labels if c not in usual), "")
    # 1 means yes only beside 0 or -1: in {1, 2} it is a code like any other.
    if len(usual) == 1 and (plain[usual[0]] != "1" or plain[other] in _NEGATIVE):
        return usual[0], f"it is the usual name of what is looked for, beside {other}"
    no = [c for c in labels if plain[c] in _NEGATIVE]
    if len(no) == 1:
        return next(c for c in labels if c not in no), f"{no[0]} is the usual name of its absence"
    rare = min(labels, key=lambda c: (counts[c], -labels.index(c)))
    if counts[rare] == max(counts.values()):
        return labels[-1], "both classes are equally frequent, so the last in order was taken (--positive overrules)"
    return rare, f"it is the rarer one, {counts[rare]:,} of {sum(counts.values()):,} rows (--positive overrules)"


def _structure(frame: pd.DataFrame, schema: Schema, target: tuple[str, ...], group: str | None,
               time: str | None) -> list[str]:
    asked: list[str] = []
    wanted = tuple(c for c in schema.features if c.name not in (*target, group, time))
    frame = coerce(frame[[c.name for c in wanted]].iloc[:LOOK], Schema(columns=wanted))
    if group is None and (found := detect.groups(frame, schema)):
        sign = found[0]
        asked.append(f"Do rows with the same {sign.column} belong together ({sign.evidence})? If so, pass --group "
                     f"{sign.column} so that they never "
                     "stand on both sides of a split.")
    if time is None and (found := detect.times(frame, schema)):
        sign = found[0]
        asked.append(f"Will the model predict rows later than those it learned from ({sign.column}: {sign.evidence})? "
                     "If so, "
                     f"{detect.how_to_order(sign)} so that it is tested on later rows.")
    return asked
