"""What every model family must hold, whatever its modality."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from rightfit.records import Candidate, Family, Problem, Task, asdict
from rightfit.testing._case import (
    LONG,
    SIZES,
    SUPERVISED,
    Case,
    Size,
    apart,
    changed,
    constant_loss,
    in_time,
    loss,
    modality,
    only,
    proper,
)
from rightfit.testing._saved import saves_safely_and_exactly, untrained_costs_the_same

Named = tuple[str, Callable[[], None]]
Checked = Callable[[Case], None]
OVERRUN_S = 2.0
ALONE = 20  # hard rows of this number are also learned from on their own


def check_family(family: Family, problem: Problem | None = None) -> tuple[Named, ...]:
    """Every check of a family for each of its problems, or for one: (name, function without arguments).

    The family is built with `family.smoke`. Where rows are dear (images, texts), one classification is checked in
    full, of regression and FURTHER problems what depends on it, and of others that predictions are proper. A check
    named in `family.xfail`, by its name or by problem-name, must fail, and fails if it passes. A family for models that
    the user brings is only built when it has smoke parameters.
    """
    stated = ("stated", lambda: _stated(family))
    if family.scheme and not family.smoke:
        return (stated,)
    problems = [p for p in family.problems if p in SUPERVISED]
    cases: list[Named] = []
    for one in [problem] if problem else problems:
        whole = problem is not None and problem not in FURTHER
        due = FAMILY_CHECKS if whole else _due(problems, one, SIZES.get(family.modality, Size()))
        case = Case(family, one, few=len(due) == 1)
        for check in due:
            name = check.__name__.removeprefix("_")
            reason = family.xfail.get(f"{one}-{name}", family.xfail.get(name))
            cases.append((f"{one}-{name}", _expected(check, case, reason)))
    return (*cases, stated)


def _due(problems: list[Problem], one: Problem, size: Size) -> tuple[Checked, ...]:
    """The checks of one of a family's problems."""
    if one in FURTHER:
        return OF_NUMBERS
    order: tuple[Problem, ...] = ("multiclass", "binary", "multilabel", "regression", "forecasting")
    if size.whole or one == min(problems, key=order.index):
        return FAMILY_CHECKS
    return OF_NUMBERS if one == "regression" else (_predicts_properly,)


def _expected(check: Checked, case: Case, reason: str | None) -> Callable[[], None]:
    def run() -> None:
        if reason is None:
            check(case)
            return
        try:
            check(case)
        except AssertionError:
            return
        raise AssertionError(f"{case.family.name} must fail where its xfail says so ({reason}), but passed: remove it.")

    return run


# --- the checks -------------------------------------------------------------------------------------------------------

def _predicts_properly(case: Case) -> None:
    new, task = case.rows(50, seed=1)
    model = case.fitted().model
    proper(model.predict(new.X), task, 50)
    proper(model.predict(new.X.iloc[:1]), task, 1)


def _same_seed_same_predictions(case: Case) -> None:
    data, task = case.rows()
    first = np.asarray(case.fitted().model.predict(data.X))
    state, inner = np.random.get_state(), random.getstate()
    try:
        np.random.seed(2)
        random.seed(2)
        before = _global_states()
        again = np.asarray(case.fit(data, task).predict(data.X))
        after = _global_states()
    finally:
        np.random.set_state(state)
        random.setstate(inner)
    away = apart(again, first)
    assert away <= (0 if case.size.whole else 1e-6), f"the same seed must give the same model; got {away:.3g} apart."
    touched = [name for name in before if before[name] != after[name]]
    assert not touched, f"fitting must leave global random states alone; it used that of {', '.join(touched)}."


def _global_states() -> dict[str, str]:
    states = {"numpy": repr([np.asarray(part).tolist() for part in np.random.get_state()]),
              "random": repr(random.getstate())}
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = repr(torch.random.get_rng_state().tolist())
    return states


def _leaves_input_alone(case: Case) -> None:
    fitted = case.fitted()
    assert not fitted.changed, fitted.changed
    data, _ = case.rows()
    fitted.model.predict(data.X)
    told = changed(data, fitted.data)
    assert not told, told


def _row_is_independent_of_its_batch(case: Case) -> None:
    new, _ = case.rows(12, seed=1)
    model = case.fitted().model
    whole = np.asarray(model.predict(new.X))
    single = np.concatenate([np.asarray(model.predict(new.X.iloc[[i]])) for i in range(12)])
    mixed = np.asarray(model.predict(new.X.iloc[::-1]))[::-1]
    away = max(apart(single, whole), apart(mixed, whole))
    assert away <= case.size.parity, f"a row's prediction must not depend on its batch; got {away:.3g} apart."


def _learns(case: Case) -> None:
    new, task = case.rows(seed=1)
    fitted = case.fitted()
    own = loss(np.asarray(fitted.model.predict(new.X)), new.y, task)
    constant = constant_loss(fitted.data.y, new.y, task)
    if case.family.baseline:
        assert own < 1.1 * constant, \
            f"a baseline must be about the constant; got loss={own:.3g} against {constant:.3g}."
    else:
        assert own < 0.85 * constant, f"easy rows must be learned; got loss={own:.3g} against {constant:.3g}."


def _finds_nothing_in_noise(case: Case) -> None:
    data, task = case.rows(case.size.noisy, noise=True)
    new, _ = case.rows(case.size.noisy, seed=1, noise=True)
    own = loss(np.asarray(case.fit(data, task).predict(new.X)), new.y, task)
    constant = constant_loss(data.y, new.y, task)
    assert own > 0.9 * constant, f"noise must not be predictable; got loss={own:.3g} against {constant:.3g}."
    assert own < case.size.noise * constant, \
        f"noise must not be believed; got loss={own:.3g} against {constant:.3g}: leakage."


def _survives_hard_rows(case: Case) -> None:
    """Hard rows are predicted, learned from among others, and those that are many on their own."""
    import pandas as pd

    spec = modality(case.family.modality)
    frames = spec.hard() if spec.hard is not None else {}
    fitted = case.fitted()
    data, task = fitted.data, fitted.task
    few = []
    for name, X in frames.items():
        if set(X.columns) == set(data.X.columns):
            _named(name, fitted.model, X, task)
            few.append(X)
        if len(X) >= ALONE:
            alone = only(data, X)
            model = case.fit(alone, replace(task, features=len(X.columns), rows=len(X)))
            _named(name, model, data.X[list(X.columns)], task)
    few = [X for X in few if len(X) < ALONE]
    if few:
        mixed = only(data, pd.concat([*few, data.X.iloc[:len(data) // 2]], ignore_index=True))
        model = case.fit(mixed, replace(task, rows=len(mixed)))
        for X in (*few, data.X.iloc[:4]):
            _named("learned from hard rows", model, X, task)


def _named(name: str, model: Any, X: Any, task: Task) -> None:
    try:
        proper(model.predict(X), task, len(X))
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from None


def _survives_classes_it_never_saw(case: Case) -> None:
    data, task = case.rows()
    few = data.take(np.arange(40))
    proper(case.fit(replace(few, y=np.zeros_like(few.y)), task).predict(data.X), task, len(data))
    if case.problem == "multiclass":
        seen = np.flatnonzero(data.y != 1)
        out = proper(case.fit(data.take(seen), task).predict(data.X), task, len(data))
        assert out[:, 1].max() < 0.2, "a class without training rows must stay improbable."


def _survives_few_rows(case: Case) -> None:
    data, task = case.rows()
    for n in (2, 8):
        proper(case.fit(data.take(np.arange(n)), replace(task, rows=n)).predict(data.X.iloc[:5]), task, 5)


def _takes_weights(case: Case) -> None:
    if "weights" not in case.family.handles or case.family.baseline:
        return
    n = case.size.rows if case.size.whole else case.size.rows // 2
    data, task = case.rows(n)
    new, _ = case.rows(seed=1)
    random = np.random.default_rng(5)
    thrice = data.take(np.tile(np.arange(n), 3))  # once with their labels, twice with those of others
    y = np.concatenate([data.y, data.y[random.permutation(n)], data.y[random.permutation(n)]])
    light = np.repeat([1.0, 0.01, 0.01], n)
    plain, told = (loss(np.asarray(case.fit(replace(thrice, y=y, weight=weight), task).predict(new.X)), new.y, task)
                   for weight in (None, light))
    assert told < plain, \
        f"rows of little weight must count little; got loss={told:.3g} with weights, {plain:.3g} without."


def _obeys_the_deadline(case: Case) -> None:
    family, size = case.family, case.size
    data, task = case.rows(size.many)
    if size.whole:
        slow = {k: v for k, v in family.defaults.items() if k != "early_stopping"}
    else:
        slow = {k: v for k, v in LONG.items() if k in family.defaults or k in family.smoke}
    case.fit(data.take(np.arange(20)), task)  # importing the library is not part of the fit that is timed
    for within in (-1.0, 0.3):
        model = in_time(partial(case.fit, data, task, more=slow, within=within), max(within, 0.0) + OVERRUN_S,
                        "fitting must stop at its deadline")
        proper(model.predict(data.X.iloc[:20]), task, 20)


def _reuses_what_it_learned(case: Case) -> None:
    fitted = case.fitted()
    learned = fitted.model.learned
    json.dumps(dict(learned), allow_nan=False)
    unknown = [name for name in learned if name not in case.family.defaults]
    assert not unknown, f"learned figures must be parameters of the family; got {unknown}."
    if not learned:
        return
    again = case.fit(fitted.data, fitted.task, more={**learned, "early_stopping": False})
    for name, value in learned.items():
        assert again.learned[name] == value, f"a refit must reuse {name}={value}; got {again.learned[name]}."


def _keeps_monotone(case: Case) -> None:
    """Rising in one column and falling in another, though the rows say otherwise."""
    if "monotone" not in case.family.handles or case.problem not in ("binary", "regression"):
        return
    import pandas as pd

    data, task = case.rows()
    bound = replace(task, monotone={"size": -1, "price": 1})
    model = case.fit(data, bound)
    for name, sign in bound.monotone.items():
        steps = pd.concat([data.X.iloc[:8].assign(**{name: value * data.X[name].std()})
                           for value in np.linspace(-3, 3, 25)], ignore_index=True)
        out = np.asarray(model.predict(steps), dtype=float)
        found = (out[:, -1] if out.ndim == 2 else out).reshape(25, 8)
        against = float((-sign * np.diff(found, axis=0)).max()) / max(float(np.ptp(found)), 1e-9)
        assert against < 1e-5, f"predictions must be monotone in {name}; got a step of {against:.2g} of their range."


def _stated(family: Family) -> None:
    """What is said about the family without building it."""
    facts = family.facts
    assert family.name.isidentifier(), f"names must be identifiers; got name={family.name!r}."
    assert 1900 < facts.year < 2100 and facts.paper and facts.licence and facts.framework and facts.good_at, \
        f"facts must be complete; got {asdict(facts)}."
    assert 0 < family.rung <= 1, f"a rung is a share of the rows; got rung={family.rung}."
    assert 0 < family.haste <= 1, f"haste is a share of the epochs; got haste={family.haste}."
    for name, dimension in family.space.items():
        if dimension.choices:
            continue
        low, high = dimension.low, dimension.high
        assert low is not None and high is not None and low < high, f"{name} needs low < high; got {low}..{high}."
        assert not dimension.log or low > 0, f"{name} is on a log scale and needs low above 0; got low={low}."
    loose = [name for name in family.regularisers if name not in family.space]
    assert not loose, f"regularisers must be in the space; got {loose}."
    for params in (family.defaults, family.smoke, *family.variants):
        Candidate(family=family.name, params=params)
        assert json.loads(json.dumps(dict(params), allow_nan=False)) == dict(params), \
            f"params must be JSON; got {params}."
    for rows in (10, 10_000_000):
        task = Task(modality=family.modality, problem=family.problems[0], target=("y",), metric="", rows=rows,
                    features=10)
        assert 0 < family.seconds(task) < float("inf"), f"seconds must be positive; got {family.seconds(task)}."


def _saves_safely_and_exactly(case: Case) -> None:
    saves_safely_and_exactly(case)


def _untrained_costs_the_same(case: Case) -> None:
    untrained_costs_the_same(case)


FAMILY_CHECKS: tuple[Checked, ...] = (
    _predicts_properly, _leaves_input_alone, _row_is_independent_of_its_batch, _learns, _saves_safely_and_exactly,
    _reuses_what_it_learned, _untrained_costs_the_same, _survives_hard_rows, _same_seed_same_predictions,
    _finds_nothing_in_noise, _survives_classes_it_never_saw, _survives_few_rows, _takes_weights, _obeys_the_deadline,
    _keeps_monotone,
)
FURTHER: tuple[Problem, ...] = ("ordinal", "quantile", "count", "ranking")
OF_NUMBERS: tuple[Checked, ...] = (
    _predicts_properly, _row_is_independent_of_its_batch, _learns, _saves_safely_and_exactly, _survives_few_rows,
)
