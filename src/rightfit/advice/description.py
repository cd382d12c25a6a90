"""What is asked, before there are data: one flat record, from flags, from a need file, or from a Task and its Audit."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from rightfit import units
from rightfit.advice import _files
from rightfit.errors import UnknownName, UsageError
from rightfit.records import Audit, Need, Problem, Task, frozen

COUNTS = ("rows", "classes", "rows_per_class", "features", "cardinality", "length", "series", "horizon", "image_size")
SHARES = ("noise", "missing", "categorical")
LICENCES = ("any", "commercial")
NO_CLASSES = ("regression", "quantile", "count", "ranking", "forecasting", "generation")


@frozen
class Description:
    """A task in words and numbers; None is unknown.

    `rows_per_class`: rows of the smallest class. `imbalance`: largest over smallest class. `noise`, `missing`,
    `categorical`: shares 0..1 of wrong labels, missing cells, categorical columns. `cardinality`: categories of the
    largest one. `length`: tokens of a text or steps of a sequence. `image_size`: the longer side in pixels. `natural`:
    pictures are photographs. `weights`: pretrained weights can be reached. `misses`: a missed positive costs more than
    a false alarm. `changing`: the world drifts. `device`: a name of facts/devices.toml; `kind` is what it is.
    Units are in the names. Raises UsageError for what contradicts itself, UnknownName for a name nobody knows.
    """

    modality: str
    problem: Problem
    rows: int | None = None
    classes: int | None = None
    rows_per_class: int | None = None
    features: int | None = None
    imbalance: float | None = None
    noise: float | None = None
    missing: float | None = None
    categorical: float | None = None
    cardinality: int | None = None
    length: int | None = None
    series: int | None = None
    horizon: int | None = None
    image_size: int | None = None
    natural: bool | None = None
    outliers: bool | None = None
    groups: bool | None = None
    changing: bool | None = None
    misses: bool | None = None
    readable: bool | None = None
    realtime: bool | None = None
    weights: bool | None = None
    language: str | None = None
    licence: str | None = None
    device: str | None = None
    kind: str | None = None
    train_device: str | None = None
    sensitive: bool | None = None
    latency_ms: float | None = None
    memory_mib: float | None = None
    size_mib: float | None = None
    throughput_per_s: float | None = None
    budget_s: float | None = None
    traffic_per_s: float | None = None
    serve_usd: float | None = None
    metric: str | None = None

    def __post_init__(self) -> None:
        self._known()
        for name in COUNTS:
            _demand(name, getattr(self, name), lambda v: v >= 1, "1 or more")
        for name in SHARES:
            most_ = name == "categorical"  # every column may be one; with every cell missing there are no data
            _demand(name, getattr(self, name), lambda v, all_=most_: 0 <= v < 1 or (all_ and v == 1),
                    f"a share from 0 to {'' if most_ else 'below '}1")
        for name in (f.name for f in dataclasses.fields(self) if f.name.endswith(("_ms", "_mib", "_s", "_usd"))):
            _demand(name, getattr(self, name), lambda v: 0 < v < float("inf"), "above zero and finite")
        _demand("imbalance", self.imbalance, lambda v: 1 <= v < float("inf"), "1 or more, largest over smallest class")
        self._consistent()
        if self.kind is None and self.device is not None:
            object.__setattr__(self, "kind", device(self.device)["kind"])
        self._derive()

    def _known(self) -> None:
        if self.problem not in get_args(Problem):
            raise UnknownName("problem", self.problem, get_args(Problem))
        if self.licence is not None and self.licence not in LICENCES:
            raise UnknownName("licence", self.licence, LICENCES)
        for name in (self.device, self.train_device):
            if name is not None:
                device(name)

    def _consistent(self) -> None:
        rows, classes, least = self.rows, self.classes, self.rows_per_class
        if classes is not None and self.problem in NO_CLASSES:
            raise UsageError(f"a {self.problem} problem has no classes; got classes={classes}, leave it out.")
        if self.problem == "binary" and classes not in (None, 2):
            raise UsageError(f"a binary problem has 2 classes; got classes={classes}, say multiclass.")
        if classes is not None and classes < 2 and self.problem == "multiclass":
            raise UsageError(f"classes must be 2 or more to tell rows apart; got classes={classes}.")
        if self.imbalance is not None and self.problem in NO_CLASSES:
            raise UsageError(f"a {self.problem} problem has no classes; got imbalance={self.imbalance:g}, leave it "
                             "out.")
        if None not in (rows, classes) and self.problem in ("binary", "multiclass") and rows < classes:  # type: ignore[operator]
            raise UsageError(f"rows must not be fewer than classes; got rows={rows}, classes={classes}.")
        if rows is not None and least is not None and least * (classes or 1) > rows:
            raise UsageError(f"the smallest class must not hold more than its share of the rows; got "
                             f"rows_per_class={least}, rows={rows}, classes={classes}.")

    def _derive(self) -> None:
        """Rows of the smallest class from rows, classes and imbalance, where they are known."""
        if self.problem == "binary" and self.classes is None:
            object.__setattr__(self, "classes", 2)
        if self.rows_per_class is None and self.rows and self.classes and self.problem in ("binary", "multiclass"):
            # One large class and k - 1 small ones is the most even reading of one ratio.
            least = self.rows / (self.classes - 1 + (self.imbalance or 1.0))
            object.__setattr__(self, "rows_per_class", max(1, int(least)))

    def with_(self, **changes: Any) -> Description:
        """Another description; what was derived from a changed value is derived again."""
        derived = {"device": ("kind",), "rows": ("rows_per_class",), "classes": ("rows_per_class",)}
        gone = {name for changed in changes for name in derived.get(changed, ())} - set(changes)
        other: dict[str, Any] = {**changes, **dict.fromkeys(gone)}
        return dataclasses.replace(self, **other)

    @property
    def task(self) -> Task:
        """As a Task, for what a family's SPEC computes from one."""
        return Task(modality=self.modality, problem=self.problem, target=("target",), metric=self.metric or "",
                    classes=tuple(str(i) for i in range(min(self.classes or 0, 2000))), rows=self.rows or 1000,
                    features=self.features or 20, horizon=self.horizon)


def _demand(name: str, value: Any, holds: Any, what: str) -> None:
    if value is not None and not holds(value):
        raise UsageError(f"{name} must be {what}; got {name}={value:g}.")


def tasks() -> Mapping[str, Mapping[str, Any]]:
    """The names that --task knows: {name: modality, problem, data, classes}."""
    known: Mapping[str, Mapping[str, Any]] = _files.read("facts", "tasks")["task"]
    return known


def devices() -> Mapping[str, Mapping[str, Any]]:
    """What is known of devices: {name: kind, rows, networks, train, memory_mib, ...}."""
    known: Mapping[str, Mapping[str, Any]] = _files.read("facts", "devices")["device"]
    return known


def device(name: str) -> Mapping[str, Any]:
    """One device. Raises UnknownName with the closest match."""
    if name not in devices():
        raise UnknownName("device", name, devices())
    return devices()[name]


# How a need file and the flags spell what the record measures in units.
LIMITS: Mapping[str, tuple[str, Callable[[Any], float]]] = {
    "max_latency": ("latency_ms", lambda v: units.seconds(v, "max_latency") * 1e3),
    "max_memory": ("memory_mib", lambda v: units.mebibytes(v, "max_memory")),
    "max_size": ("size_mib", lambda v: units.mebibytes(v, "max_size")),
    "throughput": ("throughput_per_s", lambda v: units.per_second(v, "throughput")),
    "traffic": ("traffic_per_s", lambda v: units.per_second(v, "traffic")),
    "budget": ("budget_s", lambda v: units.seconds(v, "budget"))}
COST = "max_cost"


def keys() -> tuple[str, ...]:
    """Every key that a need file may hold."""
    units_of = {name for name, _ in LIMITS.values()}
    own = {f.name for f in dataclasses.fields(Description)} - units_of - {"kind", "modality", "problem", "serve_usd"}
    return tuple(sorted(own | set(LIMITS) | {"task", COST}))


def describe(said: Mapping[str, Any]) -> Description:
    """A description from what was said, as flags or a need file spell it; None is not said.

    Raises UsageError, UnknownName.

    >>> describe({"task": "image-classification", "rows": 5000, "classes": 10, "max_latency": "20ms"}).rows_per_class
    500
    """
    said = {str(name).replace("-", "_"): value for name, value in said.items() if value is not None}
    for name in said:
        if name not in keys():
            raise UnknownName("key", name, keys())
    asked, money = said.pop("task", None), said.pop(COST, None)
    if asked is None:
        raise UsageError(f"task must be one of {', '.join(tasks())}; got no task, say --task.")
    if asked not in tasks():
        raise UnknownName("task", str(asked), tasks())
    task = tasks()[asked]
    fields = {**{name: _typed(name, value) for name, value in said.items() if name not in LIMITS},
              **{LIMITS[name][0]: LIMITS[name][1](value) for name, value in said.items() if name in LIMITS}}
    if money is not None:
        fields["serve_usd"] = _usd(str(money), fields.get("traffic_per_s"))
    problem = task["problem"]
    if problem == "multiclass" and fields.get("classes") == 2:
        problem = "binary"
    return Description(modality=task["modality"], problem=problem, **fields)


def _usd(text: str, traffic_per_s: float | None) -> float:
    """A limit on money in USD by the month. Raises UsageError, UnknownName for a currency."""
    from rightfit.resources import tables

    amount, currency = units.money_per_month(text, traffic_per_s)
    if traffic_per_s is None:
        raise UsageError(f"{COST} needs a traffic to be served; got {COST}={text!r} alone, add --traffic, e.g. 20/s.")
    return tables.convert(amount, currency, "USD", tables.rates())


def _typed(name: str, value: Any) -> Any:
    """The value in the type of its field. Raises UsageError."""
    kind = str(Description.__annotations__[name]).partition(" ")[0]
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return float(value)
    said = {"bool": "true or false", "str": "a text", "int": "a whole number", "float": "a number"}[kind]
    raise UsageError(f"{name} must be {said}; got {name}={value!r}.")


def spoken(name: str, text: str) -> Any:
    """A typed answer as the value of its key. Raises UsageError.

    >>> spoken("rows", "5,000"), spoken("weights", "n"), spoken("max_latency", "20ms")
    (5000, False, '20ms')
    """
    text = text.strip()
    if name in ("task", COST) or name in LIMITS:
        return text
    kind = str(Description.__annotations__[name]).partition(" ")[0]
    if kind == "bool":
        for answers, value in ((("y", "yes", "true", "是"), True), (("n", "no", "false", "否"), False)):
            if text.lower() in answers:
                return value
        raise UsageError(f"{name} must be y or n; got {name}={text!r}.")
    if kind == "str":
        return text
    try:
        return int(text.replace(",", "").replace("_", "")) if kind == "int" else float(text)
    except ValueError:
        said = "a whole number" if kind == "int" else "a number"
        raise UsageError(f"{name} must be {said}; got {name}={text!r}.") from None


def _toml(path: str | Path) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"a need file must be readable; got need={str(path)!r}: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"a need file must be TOML, such as task = \"tabular-classification\"; got "
                         f"need={str(path)!r}: {error}.") from None


def target(path: str | Path) -> str | None:
    """The target column that a need file names, for the command that `choose` is to be given."""
    found = _toml(path).get("target")
    return found if isinstance(found, str) else None


def read(path: str | Path) -> dict[str, Any]:
    """What a need file in TOML says. Raises UsageError for one that is not there or is no TOML.

    The same file may serve `choose`: keys that only a `Need` knows are left out, and paths of weights mean that there
    are some.
    """
    found = _toml(path)
    said = {str(name).replace("-", "_"): value for name, value in found.items()}
    only_choose = {f.name for f in dataclasses.fields(Need)} - set(keys()) | {"family", "kind"}
    if isinstance(said.get("weights"), list | str):
        said["weights"] = bool(said["weights"])
    return {name: value for name, value in said.items() if name not in only_choose}


def from_task(task: Task, audit: Audit, need: Need) -> Description:
    """What the data themselves say: for the short list of `choose`, so that advice and search go by the same rules.

    Pretrained weights count as reachable only where the need names some; else it is unknown.
    """
    shares = [f.data["share"] for f in audit.of("missing_values") if "share" in f.data]
    limits = {limit.name: limit.limit for limit in need.limits()}
    ratio = _figure(audit, "class_imbalance", "ratio")
    noise = _figure(audit, "label_errors", "share")
    classes = len(task.classes) if task.one_label and len(task.classes) > 1 else None
    return Description(
        modality=task.modality, problem=task.problem, rows=task.rows or None, features=task.features or None,
        classes=classes, horizon=task.horizon, imbalance=ratio if classes and ratio and ratio >= 1 else None,
        noise=noise if noise is not None and 0 <= noise < 1 else None,
        missing=min(sum(shares) / max(task.features, 1), 0.999) if shares else None,
        outliers=True if audit.of("outliers") or audit.of("target_outliers") else None,
        # Unspaced scripts are Chinese, Japanese or Thai: what rules say of Chinese is said of character n-grams.
        language="zh" if audit.of("unspaced_script") else None,
        length=_whole(_figure(audit, "text_length", "p50_words")),
        image_size=_whole(_figure(audit, "resolution", "p50")),
        weights=True if need.weights else None, latency_ms=limits.get("latency_p95_ms"),
        memory_mib=limits.get("memory_mib"), throughput_per_s=limits.get("throughput_per_s"),
        size_mib=limits.get("size_mib"), budget_s=need.budget_s, metric=task.metric)


def _whole(value: float | None) -> int | None:
    return None if value is None or value < 1 else int(value)


def _figure(audit: Audit, code: str, name: str) -> float | None:
    found = [float(f.data[name]) for f in audit.of(code) if isinstance(f.data.get(name), int | float)]
    return max(found, default=None)
