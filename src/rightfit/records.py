"""The records that flow through the six chapters: frozen, slotted, keyword-only, standard library only.

    Need -> Task -> Audit(Finding...) -> Candidate(Family) -> Trial(Measurement...) -> Decision -> Package

Arrays are named by `Any` here because this file imports nothing heavy; their shapes are in the docstrings.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Protocol, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

from rightfit import units
from rightfit.errors import UsageError

Problem = Literal["binary", "multiclass", "multilabel", "ordinal", "regression", "quantile", "count", "ranking",
                  "forecasting", "detection", "generation"]
R = TypeVar("R")
State = Literal["ok", "pruned", "timeout", "oom", "crashed", "invalid"]
Severity = Literal["info", "ask", "warning", "severe"]
Search = Literal["auto", "grid", "random", "tpe"]
RESOURCES = ("_ms", "_mib", "_per_s", "_per_month")
"""What the names of limits that are no metrics end with: the unit in which they are measured on the package."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[R]) -> type[R]:
    """The one way to declare a record."""
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


def asdict(record: Any) -> Any:
    """A record as plain JSON values: tuples become lists, mappings become dicts, callables are left out.

    >>> asdict(Limit(name="size_mib", limit=20.0, sense="at_most"))
    {'name': 'size_mib', 'limit': 20.0, 'sense': 'at_most'}
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        pairs = ((f.name, getattr(record, f.name)) for f in dataclasses.fields(record))
        return {name: asdict(value) for name, value in pairs if not callable(value)}
    if isinstance(record, Mapping):
        return {str(key): asdict(value) for key, value in record.items()}
    if isinstance(record, tuple | list | set | frozenset):
        return [asdict(value) for value in record]
    return record


def revive(cls: type[R], value: Mapping[str, Any]) -> R:
    """The record that `asdict` made plain; unknown fields are ignored, so that older programs read newer files.

    >>> revive(Limit, {"name": "size_mib", "limit": 20.0, "sense": "at_most", "new": 1}).limit
    20.0
    """
    hints = get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: _revive(hints[name], item) for name, item in value.items() if name in known})


def _revive(kind: Any, value: Any) -> Any:
    origin, inside = get_origin(kind), get_args(kind)
    if value is None or kind is Any:
        return value
    if origin in (UnionType, Union):
        records = [k for k in inside if dataclasses.is_dataclass(k)]
        if records and isinstance(value, Mapping):
            return revive(records[0], value)  # type: ignore[arg-type]
        tuples = [k for k in inside if get_origin(k) is tuple]
        return _revive(tuples[0], value) if tuples and isinstance(value, list) else value
    if origin is tuple:
        if len(inside) == 2 and inside[1] is Ellipsis:
            return tuple(_revive(inside[0], item) for item in value)
        return tuple(value)
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return revive(kind, value)  # type: ignore[arg-type]
    return value


@frozen
class Limit:
    """One hard limit on one measured name, in the unit of the name's suffix.

    `name` is latency_p95_ms, memory_mib, size_mib, throughput_per_s, cost_<currency>_per_month, or a metric's name.
    """

    name: str
    limit: float
    sense: Literal["at_most", "at_least"]

    def met(self, value: float | None) -> bool:
        """Whether a measured value meets the limit; an unknown value does not.

        >>> Limit(name="size_mib", limit=20.0, sense="at_most").met(21)
        False
        """
        if value is None or value != value:
            return False
        return value <= self.limit if self.sense == "at_most" else value >= self.limit


@frozen
class Serving:
    """Where and how much a model will serve: mean and peak rows per second, and a cloud's provider and region."""

    traffic_per_s: float
    peak_per_s: float | None = None
    provider: str | None = None
    region: str | None = None


@frozen
class Need:
    """What the user asks. Durations, sizes and rates are written as people write them: 5ms, 10m, 20MB, 200/s.

    `target`: one name or position, or several for multilabel. `metric`: a name of `rightfit.metrics` or
    module:function. `at_least` / `at_most`: metric floors and ceilings, hard. `cost`: prices of errors: FN and FP,
    or "true>predicted" pairs. `problem` overrules what is inferred. `group`: rows of one group never stand on both
    sides of a split. `time`: rows are split in this column's order. `protected`: a column by whose groups rates are
    reported; `max_gap`: how far those rates may lie apart at the most, e.g. selection_rate=0.1, hard.
    `row_weight`: a column of weights that count in training, 0 leaves a row out. `quantiles`: the levels that a
    quantile problem predicts. `order`: the labels of an ordinal problem, lowest first. `monotone`: 1 or -1 by column,
    predictions rise or fall with it. `coverage`: the share of rows that intervals, or sets of classes, must hold.
    A ranking problem ranks the rows of one `group`. `families` restricts, `steps` forces
    treatments. `weights`: files and folders of pretrained weights. `bring`: models of the user's own, written
    scheme:name, which race like any other. `device_profile`: a file of `rightfit measure`, for whose device the
    limits hold. A limit left None does not exist. `max_cost`: 50USD/month or 0.01USD/1k
    predictions, held against the cheapest machines of `provider` and `region` (all, unless named) that serve
    `traffic` rows a second, and `peak` at the most.
    """

    target: str | int | tuple[str | int, ...] | None = None
    metric: str | None = None
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    protected: str | None = None
    max_gap: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    max_latency: str | float | None = None
    max_memory: str | float | None = None
    max_size: str | float | None = None
    throughput: str | float | None = None
    max_cost: str | None = None
    traffic: str | float | None = None
    peak: str | float | None = None
    provider: str | None = None
    region: str | None = None
    budget: str | float = "5m"
    modality: str | None = None
    problem: Problem | None = None
    positive: str | None = None
    delimiter: str | None = None
    group: str | None = None
    time: str | None = None
    row_weight: str | None = None
    quantiles: tuple[float, ...] = ()
    order: tuple[str, ...] = ()
    monotone: Mapping[str, int] = field(default_factory=dict)
    coverage: float | None = None
    horizon: int | None = None
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    drop_leaks: bool = False
    missing: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    families: tuple[str, ...] = ()
    search: Search = "auto"
    folds: int | None = None
    proposals: int | None = None
    seed: int = 0
    workers: int | None = None
    licences: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    bring: tuple[str, ...] = ()
    device_profile: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limits()
        self.serving()
        units.seconds(self.budget, "budget")
        both = {n for n in self.at_least if n in self.at_most and self.at_least[n] > self.at_most[n]}
        if both:
            name = min(both)
            raise UsageError(f"limits must not contradict each other; got at_least {name}={self.at_least[name]} "
                             f"above at_most {name}={self.at_most[name]}, change one of them.")
        if self.max_gap and self.protected is None:
            raise UsageError(f"max_gap needs the column whose groups are compared; got max_gap={min(self.max_gap)!r} "
                             "alone, add --protected COLUMN.")
        self._bounded()
        if self.horizon is not None and self.horizon < 1:
            raise UsageError(f"horizon must be 1 or more; got horizon={self.horizon}.")
        if self.proposals is not None and self.proposals < 0:
            raise UsageError(f"proposals must be 0 or more; got proposals={self.proposals}.")
        if self.folds is not None and self.folds < 2:
            raise UsageError(f"folds must be 2 or more; got folds={self.folds}.")

    def _bounded(self) -> None:
        bad = [q for q in self.quantiles if not 0 < q < 1]
        if bad or len(set(self.quantiles)) < len(self.quantiles):
            raise UsageError(f"quantiles must be different shares between 0 and 1; got quantiles={self.quantiles}, "
                             "write e.g. 0.1,0.5,0.9.")
        if self.coverage is not None and not 0.5 <= self.coverage < 1:
            raise UsageError(f"coverage must be a share from 0.5 to below 1; got coverage={self.coverage}, write e.g. "
                             "0.9.")
        for name, sign in self.monotone.items():
            if sign not in (1, -1):
                raise UsageError(f"monotone must be 1 (rising) or -1 (falling) for a column; got {name}={sign}.")

    @property
    def budget_s(self) -> float:
        """Wall seconds for everything."""
        return units.seconds(self.budget, "budget")

    def serving(self) -> Serving | None:
        """What is to be served, None without a traffic. Raises UsageError for what contradicts itself.

        >>> Need(traffic="20/s", peak="6000/m").serving().peak_per_s
        100.0
        """
        if self.traffic is None:
            for name in ("peak", "provider", "region"):
                if getattr(self, name) is not None:
                    raise UsageError(f"{name} needs a traffic to be served; got {name}={getattr(self, name)!r} alone, "
                                     "add --traffic, e.g. 20/s.")
            return None
        traffic = units.per_second(self.traffic, "traffic")
        peak = None if self.peak is None else units.per_second(self.peak, "peak")
        if peak is not None and peak < traffic:
            raise UsageError(f"the peak must not be below the mean traffic; got peak={self.peak!r} and "
                             f"traffic={self.traffic!r}, change one of them.")
        return Serving(traffic_per_s=traffic, peak_per_s=peak, provider=self.provider, region=self.region)

    def limits(self) -> tuple[Limit, ...]:
        """Every hard limit, in measured units. Raises UsageError for what cannot be read.

        >>> Need(max_latency="5ms", at_least={"recall": 0.9}).limits()[0]
        Limit(name='latency_p95_ms', limit=5.0, sense='at_most')
        """
        found: list[Limit] = []
        if self.max_latency is not None:
            ms = units.seconds(self.max_latency, "max_latency") * 1e3
            found.append(Limit(name="latency_p95_ms", limit=ms, sense="at_most"))
        if self.max_memory is not None:
            memory = units.mebibytes(self.max_memory, "max_memory")
            found.append(Limit(name="memory_mib", limit=memory, sense="at_most"))
        if self.max_size is not None:
            found.append(Limit(name="size_mib", limit=units.mebibytes(self.max_size, "max_size"), sense="at_most"))
        if self.throughput is not None:
            rate = units.per_second(self.throughput, "throughput")
            found.append(Limit(name="throughput_per_s", limit=rate, sense="at_least"))
        if self.max_cost is not None:
            serving = self.serving()
            amount, currency = units.money_per_month(self.max_cost, serving.traffic_per_s if serving else None)
            if serving is None:
                raise UsageError(f"max_cost needs a traffic to be served; got max_cost={self.max_cost!r} alone, add "
                                 "--traffic, e.g. 20/s.")
            found.append(Limit(name=f"cost_{currency.lower()}_per_month", limit=amount, sense="at_most"))
        found += [Limit(name=n, limit=float(v), sense="at_least") for n, v in self.at_least.items()]
        found += [Limit(name=n, limit=float(v), sense="at_most") for n, v in self.at_most.items()]
        found += [Limit(name=f"{n}_gap", limit=float(v), sense="at_most") for n, v in self.max_gap.items()]
        return tuple(found)


@frozen
class Task:
    """What was understood. `reasons` says, for each inferred field, why; `questions` what only the user can answer.

    `classes` are the labels as text in the order of the probability columns (binary: the positive one is last);
    empty for regression; of an ordinal problem, lowest first. `cost` is the (k, k) matrix cost[true][predicted], or
    empty. `outputs` is the width of predictions that are values. `quantiles`: their levels, rising. `kinds`: those of
    the features, sorted.
    """

    modality: str
    problem: Problem
    target: tuple[str, ...]
    metric: str
    classes: tuple[str, ...] = ()
    cost: tuple[tuple[float, ...], ...] = ()
    limits: tuple[Limit, ...] = ()
    serving: Serving | None = None
    outputs: int = 1
    quantiles: tuple[float, ...] = ()
    monotone: Mapping[str, int] = field(default_factory=dict)
    coverage: float | None = None
    group: str | None = None
    time: str | None = None
    protected: str | None = None
    horizon: int | None = None
    rows: int = 0
    features: int = 0
    kinds: tuple[str, ...] = ()
    complexity: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)
    questions: tuple[str, ...] = ()

    @property
    def classifies(self) -> bool:
        """Whether models return probabilities."""
        return self.problem in ("binary", "multiclass", "multilabel", "ordinal")

    @property
    def one_label(self) -> bool:
        """Whether a row has exactly one of the classes."""
        return self.problem in ("binary", "multiclass", "ordinal")


@frozen
class Column:
    """One column of the schema contract.

    `kind`: numeric, categorical, boolean, datetime, text, id, or a kind that a modality adds. `missing`: the
    strings that mean missing here. `categories`: those seen in training, most frequent first. `low`/`high`: seen
    range (datetime: epoch seconds). `dtype` is how the reader saw it; `role` is feature, target, group, time or
    dropped.
    """

    name: str
    kind: str
    role: str = "feature"
    missing: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    nullable: bool = True
    dtype: str = ""


@frozen
class Schema:
    """What a row must look like; stored in the package and enforced at prediction."""

    columns: tuple[Column, ...]

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns a model sees."""
        return tuple(c for c in self.columns if c.role == "feature")

    def column(self, name: str) -> Column:
        """One column by name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@frozen
class Dataset:
    """Rows for learning. The core only counts, slices and splits them; what X holds is the modality's business.

    X: pandas DataFrame (n rows, one column per feature of the schema, values coerced to their kinds).
    y: int64 class codes (n,), or float64 (n,), or int8 (n, k) multilabel, or float64 (n, k) several outputs, or
    float64 (n, 2) relevance and query number for ranking; None unlabelled. groups: int64 (n,) or None.
    time: int64 nanoseconds (n,) or None. weight: float64 (n,) or None.
    protected: str (n,), the group of each row in the protected column, or None.
    """

    X: Any
    y: Any = None
    schema: Schema
    groups: Any = None
    time: Any = None
    weight: Any = None
    protected: Any = None

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: Any) -> Dataset:
        """The rows at integer positions (m,), in that order; repeats are allowed."""
        def pick(values: Any) -> Any:
            return None if values is None else values[rows]

        return Dataset(X=self.X.iloc[rows].reset_index(drop=True), y=pick(self.y), schema=self.schema,
                       groups=pick(self.groups), time=pick(self.time), weight=pick(self.weight),
                       protected=pick(self.protected))


@frozen
class Finding:
    """One thing the audit found: what, how bad, where, the evidence, and what follows from it.

    `data` holds the figures for programs, JSON values only. `effect` is filled once the consequence was measured.
    """

    code: str
    severity: Severity
    column: str | None = None
    evidence: str = ""
    consequence: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    effect: str = ""


@frozen
class Audit:
    """All findings on one data set, with its shape and fingerprint (SHA-256 of the content)."""

    rows: int
    columns: int
    findings: tuple[Finding, ...]
    fingerprint: str = ""

    def of(self, code: str) -> tuple[Finding, ...]:
        """The findings with one code."""
        return tuple(f for f in self.findings if f.code == code)


@frozen
class Facts:
    """What is known of a family before any data: for `rightfit models` and the advice."""

    year: int
    paper: str
    licence: str
    framework: str
    good_at: str
    bad_at: str = ""
    pretrained: str = ""


class Model(Protocol):
    """Behaviour of every model. `learned` holds what fitting chose and a refit should reuse, such as n_estimators."""

    learned: dict[str, Any]

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> Model:
        """Learn from the rows; stop by `deadline` (time.monotonic seconds) with the best so far."""
        ...

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities in the order of task.classes for classifiers, else (n,) or (n, k) values."""
        ...

    def save(self, folder: Any) -> dict[str, Any]:
        """Write the model's files into an existing folder; return the runtime's meta: {"runtime": name, ...}."""
        ...


@frozen
class Dimension:
    """One dimension of a search space: `choices`, or a range low..high (log scale, whole numbers)."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()


@frozen
class Family:
    """A model family: everything the core needs to know about it, as data. One file holds one SPEC.

    `build(params, task)` returns an unfitted Model. `defaults` are strong settings; `variants` further ones worth
    trying early (a portfolio). `regularisers` are the names in `space` that fight over-fitting. `handles`: missing,
    categorical, text, weights, imbalance, nonlinear, wide, noise, monotone. `seconds(task)` is a rough prior of one
    fit in seconds. `requires`: importable packages. `smoke`: params for a one-second fit. `xfail`: {conformance check:
    reason and removal condition}. `rank`: prior quality rank, lower is tried earlier.

    `prepare` completes params before the race (where the pretrained weights lie) or raises Unavailable with what to
    do. `untrained(params, task, data)` gives a model of the same cost with random weights, so that its limits are
    measured before any training. `rung`: the share of the rows at which a first look tells enough; 1 for what is
    quick to train. `haste`: the share of its epochs that a first look takes. `paced`: a fit that its deadline cuts has
    planned for it and ends well, so that a refit may be cut.
    `scheme`: the family takes part only when the user brings a model of this scheme; `kinds`: only where the features
    have columns of all these kinds.
    `compose(members, weights)` gives the params of a candidate that is made of finished ones, {"family", "params"}
    each; such a family is never tried by itself. `resume(params, task, package)` gives an unfitted Model that goes on
    from a package of this family, or raises Unavailable.
    """

    name: str
    modality: str
    problems: tuple[Problem, ...]
    build: Callable[[Mapping[str, Any], Task], Model]
    facts: Facts
    space: Mapping[str, Dimension] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    variants: tuple[Mapping[str, Any], ...] = ()
    regularisers: tuple[str, ...] = ()
    handles: frozenset[str] = frozenset()
    seconds: Callable[[Task], float] = lambda task: 1.0
    requires: tuple[str, ...] = ()
    smoke: Mapping[str, Any] = field(default_factory=dict)
    xfail: Mapping[str, str] = field(default_factory=dict)
    rank: int = 50
    baseline: bool = False
    prepare: Callable[[Mapping[str, Any], Task, Need], Mapping[str, Any]] | None = None
    untrained: Callable[[Mapping[str, Any], Task, Dataset], Model] | None = None
    rung: float = 1.0
    haste: float = 1.0
    paced: bool = False
    scheme: str = ""
    kinds: frozenset[str] = frozenset()
    compose: Callable[[Sequence[Mapping[str, Any]], Sequence[float]], Mapping[str, Any]] | None = None
    resume: Callable[[Mapping[str, Any], Task, Path], Model] | None = None


@frozen
class Step:
    """One treatment or compression step of a candidate: a plug-in's name and its parameters."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Candidate:
    """One thing that could be chosen: a family, its parameters, and the steps around it. Equal content, equal key."""

    family: str
    params: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    @property
    def key(self) -> str:
        """A short name for the content, stable over processes and versions.

        >>> Candidate(family="ridge", params={"alpha": 1.0}).key
        'ridge-7754e314'
        """
        content = json.dumps(asdict(self), sort_keys=True, default=str)
        return f"{self.family}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


@frozen
class Measurement:
    """One measured figure: value with its 95 % interval, unit, sample size, and what it was measured on."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    n: int = 0
    split: str = ""


@frozen
class Trial:
    """One candidate tried on one fold at one fidelity (share of the training rows, 0..1].

    `scores`: metric values on the fold. `blob` names the stored out-of-fold predictions. `learned` as in Model.
    `history`: the learning curve, where the model tells one (see `rightfit.trace`).
    """

    candidate: Candidate
    fold: int
    fidelity: float = 1.0
    seed: int = 0
    state: State = "ok"
    scores: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    learned: Mapping[str, Any] = field(default_factory=dict)
    blob: str = ""
    error: str = ""
    seconds: float = 0.0
    history: tuple[Mapping[str, float], ...] = ()


@frozen
class Check:
    """An audit check's SPEC: `run(data, task, schema, test)` yields Findings; `modalities` empty means every one.

    Checks run in order of `rank`; those above 50 are slow and are left out when time is short.
    """

    name: str
    run: Callable[..., Any]
    modalities: tuple[str, ...] = ()
    doc: str = ""
    needs_y: bool = True
    rank: int = 50


@frozen
class Treatment:
    """A treatment's SPEC: `plan(audit, task)` gives params or None; `apply(data, params, seed)` gives new rows.

    Treatments act on the training rows of a fold only, inside the trial, so that no validation row is ever touched.
    teacher: how many fits of a teacher it makes, one that takes params `teacher` {"family", "params"} and `seconds`.
    """

    name: str
    plan: Callable[[Audit, Task], Mapping[str, Any] | None]
    apply: Callable[[Dataset, Mapping[str, Any], int], Dataset]
    handles: str = ""
    doc: str = ""
    teacher: int = 0


@frozen
class Compression:
    """A compression step's SPEC: it makes a further candidate out of one that is trained.

    `plan(candidate, family, task)` gives the params of every variant worth trying, none where it does not apply.
    `apply(folder, meta, rows, task, params, seed)` changes the model's files in `folder`, as `Model.save` left them
    with `meta`, and returns the new meta; `rows` are training rows (a Dataset) to calibrate on. `retrain(params)`
    instead gives family params that do the step while training. `requires`: importable packages.
    """

    name: str
    plan: Callable[[Candidate, Family, Task], tuple[Mapping[str, Any], ...]]
    apply: Callable[..., dict[str, Any]] | None = None
    retrain: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    requires: tuple[str, ...] = ()
    doc: str = ""


@frozen
class Rule:
    """How predictions become labels: a threshold (binary), one per label (multilabel), a cost matrix; and calibration.

    `threshold` (k,) or empty for argmax. `calibration`: {"kind": "none" | "platt" | "isotonic" | "temperature",
    ...}. `conformal`: the numbers of `rightfit.metrics.conformal`, empty without a coverage.
    """

    threshold: tuple[float, ...] = ()
    cost: tuple[tuple[float, ...], ...] = ()
    calibration: Mapping[str, Any] = field(default_factory=dict)
    conformal: Mapping[str, Any] = field(default_factory=dict)


@frozen
class LimitCheck:
    """One limit held against the chosen package."""

    name: str
    limit: float
    value: float | None
    met: bool


@frozen
class Decision:
    """What was decided and why; `rightfit.report` writes it as decision.json."""

    status: Literal["chosen", "infeasible"]
    task: Task
    chosen: Mapping[str, Any] | None
    estimate: Mapping[str, Any]
    measured: Mapping[str, float]
    limits: tuple[LimitCheck, ...]
    nearest: Mapping[str, Any] | None
    baseline: Mapping[str, Any]
    ties: tuple[str, ...]
    front: tuple[str, ...]
    trials: tuple[Mapping[str, Any], ...]
    rejected: tuple[Mapping[str, str], ...]
    findings: tuple[Finding, ...]
    what_would_change: tuple[str, ...]
    spent: Mapping[str, float]
    seed: int
    why: tuple[str, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)
