"""Rules as data: a condition on the description, an effect, a reason and its source; read, held valid, evaluated.

A condition is a mapping. `rows = 5` demands that value, `rows = [5, 6]` one of them,
`rows = {at_least = 5, below = 50}` a range, `language = {is_not = "en"}` another value, `{known = true}` any value at
all; `any = [...]`, `all = [...]` and `not = {...}` nest conditions. What is unknown fulfils no comparison; so `not`
and `is_not` hold for it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from rightfit.advice import _files
from rightfit.advice.description import Description, devices
from rightfit.errors import UnknownName, UsageError
from rightfit.records import frozen

EFFECTS = ("prefer", "avoid", "exclude", "alike", "treatment", "metric", "place")
ON_FAMILIES = ("prefer", "avoid", "exclude", "alike")
WITH_POINTS = ("prefer", "avoid", "alike")
RANGES = {"at_least": lambda a, b: a >= b, "above": lambda a, b: a > b, "at_most": lambda a, b: a <= b,
          "below": lambda a, b: a < b, "is_not": lambda a, b: a != b, "known": lambda a, b: b}
NESTS = ("any", "all", "not")
FIELDS = tuple(f.name for f in dataclasses.fields(Description))
OPPOSITE = {"prefer": ("avoid", "exclude"), "avoid": ("prefer",), "exclude": ("prefer",)}


@frozen
class Rule:
    """One rule. `effect` is a word of EFFECTS, `targets` what it falls on: families and "tag:..." of families, or the
    name of a treatment, metric or place. `points` are places of the prior rank that prefer and avoid move a family by;
    with alike, those that it stands back by for each family of the same target that is ahead of it.
    """

    id: str
    when: Mapping[str, Any]
    effect: str
    targets: tuple[str, ...]
    points: float
    reason: str
    zh: str
    source: str

    def said(self, language: str) -> str:
        """The reason in a language: Chinese for zh_CN, else English."""
        return self.zh if language == "zh_CN" else self.reason


def parsed(raw: Mapping[str, Any], where: str = "rules") -> Rule:
    """One rule from its plain data. Raises UsageError that names the rule and what is wrong with it."""
    name = str(raw.get("id", "?"))
    effects = [effect for effect in EFFECTS if effect in raw]
    unknown = set(raw) - {"id", "when", "points", "reason", "zh", "source", *EFFECTS}
    if len(effects) != 1 or unknown:
        raise UsageError(f"a rule must have one effect of {', '.join(EFFECTS)} and no unknown key; got rule={name!r} "
                         f"in {where} with {', '.join(sorted(set(raw)))}.")
    for key in ("id", "reason", "zh", "source"):
        if not str(raw.get(key, "")).strip():
            raise UsageError(f"a rule must have an id, a reason, zh and a source; got rule={name!r} in {where} without "
                             f"{key}.")
    when = raw.get("when")
    if not isinstance(when, Mapping) or not when:
        raise UsageError(f"a rule must have a condition; got rule={name!r} in {where} without when.")
    _check(when, name)
    effect = effects[0]
    targets = raw[effect] if isinstance(raw[effect], list) else [raw[effect]]
    points = float(raw.get("points", 0))
    if (effect in WITH_POINTS) != (0 < points <= 50):
        raise UsageError(f"prefer, avoid and alike, and only they, must have points above 0 and at most 50; got "
                         f"rule={name!r} with points={points:g}.")
    return Rule(id=name, when=when, effect=effect, targets=tuple(map(str, targets)), points=points,
                reason=str(raw["reason"]), zh=str(raw["zh"]), source=str(raw["source"]))


def _check(when: Mapping[str, Any], name: str) -> None:
    for key, value in when.items():
        if key in NESTS:
            for inner in (value if isinstance(value, list) else [value]):
                _check(inner, name)
        elif key not in FIELDS:
            raise UnknownName(f"field of rule {name}", key, FIELDS)
        elif isinstance(value, Mapping):
            for word in value:
                if word not in RANGES:
                    raise UnknownName(f"comparison of rule {name}", word, RANGES)


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule of rules/*.toml. Raises UsageError for one that is not valid, or two of one id."""
    found: dict[str, Rule] = {}
    for file in _files.names("rules"):
        for raw in _files.read("rules", file)["rule"]:
            rule = parsed(raw, f"{file}.toml")
            if rule.id in found:
                raise UsageError(f"ids of rules must be unique; got rule={rule.id!r} twice.")
            found[rule.id] = rule
    return tuple(found.values())


def rule(name: str) -> Rule:
    """One rule by id. Raises UnknownName with the closest match.

    >>> rule("tabular-boosting-default").effect
    'prefer'
    """
    known = {one.id: one for one in rules()}
    if name not in known:
        raise UnknownName("rule", name, known)
    return known[name]


def holds(when: Mapping[str, Any], description: Description) -> bool:
    """Whether a condition holds.

    >>> holds({"rows": {"below": 50}}, Description(modality="tabular", problem="binary", rows=20))
    True
    """
    return all(_one(key, value, description) for key, value in when.items())


def _one(key: str, value: Any, description: Description) -> bool:
    if key == "not":
        return not holds(value, description)
    if key in NESTS:
        answers = [holds(one, description) for one in value]
        return any(answers) if key == "any" else all(answers)
    known = getattr(description, key)
    if isinstance(value, Mapping):
        return all(word == "is_not" if known is None else RANGES[word](known, bound) for word, bound in value.items())
    return known is not None and (known in value if isinstance(value, list) else bool(known == value))


def fired(description: Description, among: Iterable[Rule] | None = None) -> tuple[Rule, ...]:
    """The rules whose condition holds."""
    return tuple(one for one in (rules() if among is None else among) if holds(one.when, description))


def falls_on(rule: Rule, name: str, tags: Iterable[str]) -> bool:
    """Whether a rule on families means the family of this name and tags."""
    return rule.effect in ON_FAMILIES and (name in rule.targets or any(f"tag:{tag}" in rule.targets for tag in tags))


def shift(rules: Iterable[Rule], name: str, tags: Iterable[str]) -> float:
    """By how many places of the prior rank the rules move a family; below zero is to the front.

    >>> shift([rule("tabular-boosting-default")], "lightgbm", ["boosting"]) < 0
    True
    """
    tags = tuple(tags)
    signs = {"prefer": -1.0, "avoid": 1.0}
    return sum(signs.get(one.effect, 0.0) * one.points for one in rules if falls_on(one, name, tags))


def ranked(places: Mapping[str, float], rules: Iterable[Rule], tags: Mapping[str, Iterable[str]]) -> dict[str, float]:
    """The families by place, the first first, each that is like one ahead of it further back: {name: place}.

    >>> same = [Rule(id="x", when={}, effect="alike", targets=("tag:a",), points=3, reason="", zh="", source="")]
    >>> ranked({"p": 1.0, "q": 2.0, "r": 3.0}, same, {"p": ["a"], "q": ["a"], "r": []})
    {'p': 1.0, 'r': 3.0, 'q': 5.0}
    """
    alike = [(target, one.points) for one in rules if one.effect == "alike" for target in one.targets]
    known = {name: {name, *(f"tag:{tag}" for tag in tags[name])} for name in places}
    left, found = dict(places), dict[str, float]()
    while left:
        back = {name: place + sum(points for target, points in alike if target in known[name]
                                  for ahead in found if target in known[ahead]) for name, place in left.items()}
        first = min(back, key=lambda name: (back[name], name))
        found[first] = back[first]
        left.pop(first)
    return found


def excluded(rules: Iterable[Rule], name: str, tags: Iterable[str]) -> Rule | None:
    """The first rule that leaves a family out, or None."""
    tags = tuple(tags)
    return next((one for one in rules if one.effect == "exclude" and falls_on(one, name, tags)), None)


def _bounds(when: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every (field, value) that a condition compares with."""
    for key, value in when.items():
        if key in NESTS:
            for inner in (value if isinstance(value, list) else [value]):
                yield from _bounds(inner)
        elif isinstance(value, Mapping):
            yield from ((key, bound) for word, bound in value.items() if word != "known")
        else:
            yield from ((key, one) for one in (value if isinstance(value, list) else [value]))


def _around(field: str, bounds: Iterable[Any]) -> list[Any]:
    """Values on, below and above each bound: one for every answer that comparisons with them can give."""
    if field in ("device", "train_device"):
        return list(devices())
    found: list[Any] = []
    whole = str(Description.__annotations__[field]).startswith("int")
    for bound in bounds:
        if isinstance(bound, bool):
            found += [True, False]
        elif isinstance(bound, str):
            found += [bound, "fr"] if field == "language" else [bound]
        else:
            near = (bound - 1, bound, bound + 1) if whole else (bound * 0.99, bound, math.nextafter(bound, math.inf))
            found += [v for v in near if v > 0] if whole else list(near)
    return list(dict.fromkeys(found))


def witnesses(when: Mapping[str, Any], ways: Iterable[tuple[str, str]], most: int = 20_000) -> Iterator[Description]:
    """Descriptions that fulfil a condition, out of the grid of values around its own bounds.

    `ways`: the (modality, problem) pairs that exist. None of them means that the rule can never fire.
    """
    bounds: dict[str, list[Any]] = {}
    for name, bound in _bounds(when):
        bounds.setdefault(name, []).append(bound)
    free = {name: [*_around(name, known), None] for name, known in bounds.items()
            if name not in ("modality", "problem")}
    for modality, problem in ways:
        for values in itertools.islice(itertools.product(*free.values()), most):
            try:
                made = Description(modality=modality, problem=problem,  # type: ignore[arg-type]
                                   **dict(zip(free, values, strict=True)))
            except UsageError:
                continue
            if holds(when, made):
                yield made


def contradictions(among: Iterable[Rule], families: Mapping[str, Iterable[str]],
                   ways: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """(rule, rule, family) where one rule favours what the other disfavours whenever the first fires.

    That is the same condition, or a condition that the other's contains. `families`: {name: tags}.
    """
    many, ways, found = tuple(among), tuple(ways), []
    seen: dict[str, list[Description]] = {}
    for one, other in itertools.permutations(many, 2):
        if other.effect not in OPPOSITE.get(one.effect, ()):
            continue
        named = [n for n, tags in families.items() if falls_on(one, n, tags) and falls_on(other, n, tags)]
        if not named or (one.effect == "avoid"):
            continue
        if one.id not in seen:
            seen[one.id] = list(itertools.islice(witnesses(one.when, ways), 300))
        if seen[one.id] and all(holds(other.when, d) for d in seen[one.id]) and (
                other.effect == "exclude" or one.when == other.when):
            found += [(one.id, other.id, name) for name in named]
    for one, other in itertools.combinations(many, 2):
        if (one.effect == other.effect and one.effect in ("metric", "place") and one.when == other.when
                and one.targets != other.targets):
            found.append((one.id, other.id, one.effect))
    return found
