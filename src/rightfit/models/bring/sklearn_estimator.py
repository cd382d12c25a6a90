"""A scikit-learn estimator of the user's: sklearn:package.Class?option=value, or sklearn:module:factory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from rightfit.errors import Unavailable, UsageError
from rightfit.models.bring import _source
from rightfit.models.bring._graph import runner
from rightfit.models.tabular._graph import ML_OPSET, OPSET, tidy
from rightfit.models.tabular._parts import Core, Rows, affordable, quiet
from rightfit.models.tabular._pipeline import TabularModel
from rightfit.records import Facts, Family, Need, Problem, Task

ENCODER: Mapping[str, Any] = {"impute": "median", "indicator": True, "cyclic": True, "scale": "standard",
                              "onehot_limit": 30, "token_weight": "tfidf", "tokens": 500}
TEXTS: Mapping[str, Any] = {**ENCODER, "tokens": 3000, "text_scores": False}  # naive Bayes takes no negative ones
MOST = 200_000
POWER = 1.5  # what a fit costs by the rows, where nothing is known of the estimator
FEW, WIDE, SPREAD = 60, 4, 2.5  # of the rows on which it is tried out
PARITY, SHARE = 1e-3, 0.99  # converters work in float32: a row that lies on a split may fall on the other side
WHAT = "a scikit-learn estimator"


def estimator(params: Mapping[str, Any], classes: int, seed: int) -> Any:
    """An unfitted estimator, seeded and on one thread. Raises UsageError for what is none, or of the other kind."""
    name, options = _source.split(str(params["source"]))
    made = _source.made(name, {}, options, WHAT)
    if not hasattr(made, "fit") or not hasattr(made, "get_params"):
        raise UsageError(f"{WHAT} must have fit and get_params; got {name!r}, a {type(made).__name__}.")
    from sklearn.base import is_classifier, is_regressor

    if classes and not is_classifier(made):
        raise UsageError(f"{WHAT} must be a classifier for this task; got {name!r}, a {type(made).__name__}.")
    if not classes and not is_regressor(made):
        raise UsageError(f"{WHAT} must be a regressor for this task; got {name!r}, a {type(made).__name__}.")
    told = made.get_params()
    seeds = {key: seed for key in told if key.split("__")[-1] == "random_state" and told[key] is None}
    threads = {key: 1 for key in told if key.split("__")[-1] == "n_jobs"}
    return made.set_params(**seeds, **threads)


def _fit(rows: Rows, params: Mapping[str, Any]) -> Any:
    from sklearn.utils.validation import has_fit_parameter

    made = estimator(params, rows.classes, rows.seed % 2**31)
    weight = {"sample_weight": rows.weight} if rows.weight is not None and has_fit_parameter(made, "sample_weight") \
        else {}
    with quiet(), _seeded(rows.seed % 2**31):
        return made.fit(rows.X, rows.y, **weight)


@contextmanager
def _plain_numbers() -> Iterator[None]:
    """Within it, skl2onnx hands onnx plain integers: protobuf 7 refuses the booleans of histogram boosting."""
    from skl2onnx.common import _container

    make_node = _container.make_node

    def plain(*names: Any, **attributes: Any) -> Any:
        return make_node(*names, **{key: [int(v) if isinstance(v, bool | np.bool_ | np.integer) else v for v in value]
                                    if isinstance(value, list) else value for key, value in attributes.items()})

    _container.make_node = plain
    try:
        yield
    finally:
        _container.make_node = make_node


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Within it NumPy's global generator, which libsvm draws from, starts at the seed; afterwards it is as it was."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{text[:120]}..." if len(text) > 120 else text


def convert(fitted: Any, features: int, classes: int) -> Any:
    """The ONNX model X -> Y of a fitted estimator. Raises Unavailable when skl2onnx cannot convert it."""
    if classes and not hasattr(fitted, "predict_proba"):
        raise Unavailable(f"{WHAT} must give probabilities; got {type(fitted).__name__} without predict_proba, wrap it "
                          "in sklearn.calibration.CalibratedClassifierCV.")
    import skl2onnx

    try:
        with quiet(), _plain_numbers():
            model = skl2onnx.to_onnx(fitted, np.zeros((1, features), np.float32),
                                     options={id(fitted): {"zipmap": False}} if classes else None,
                                     target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET})
            model = tidy(model)
    except Exception as error:  # the converter raises classes of its own and of onnx
        raise Unavailable(f"{WHAT} must be convertible to ONNX by skl2onnx {skl2onnx.__version__}; got "
                          f"{type(fitted).__name__} ({_reason(error)}), bring another one.") from error
    strange = {node.domain for node in model.graph.node} - {"", "ai.onnx.ml"}
    if strange:
        raise Unavailable(f"{WHAT} must become standard ONNX operators; got {type(fitted).__name__} with "
                          f"domain={min(strange)!r}, bring another one.")
    return model


def proven(fitted: Any, model: Any, X: Any, classes: int) -> Any:
    """The function of the graph, after it was held against the estimator on rows X. Raises Unavailable."""
    run = runner(model.SerializeToString())
    told = np.asarray(fitted.predict_proba(X) if classes else fitted.predict(X), np.float64).reshape(len(X), -1)
    away = np.abs(run(X) - told).max(axis=1, initial=0.0) / max(1.0, float(np.abs(told).max(initial=0.0)))
    same = float(np.mean(away <= PARITY)) if len(X) else 1.0
    if same < SHARE:
        raise Unavailable(f"{WHAT} must predict the same after its conversion to ONNX; got {type(fitted).__name__} "
                          f"with {1 - same:.0%} of {len(X)} rows apart, bring another one.")
    return run


def _learn(rows: Rows, params: Mapping[str, Any]) -> Core:
    rows = affordable(rows, lambda some: _fit(some, params), MOST, POWER)
    fitted = _fit(rows, params)
    model = convert(fitted, rows.X.shape[1], rows.classes)
    # What predicts from here on is the graph: it is what will be served.
    run = proven(fitted, model, rows.X[:500], rows.classes)
    return Core(predict=run, onnx=lambda: model, learned={})


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> Mapping[str, Any]:
    """The params, after the estimator was made, tried on a few rows and converted. Raises UsageError, Unavailable."""
    random = np.random.default_rng(0)
    classes = 0 if not task.classifies else 2 if task.problem != "multiclass" else 3
    X = random.normal(size=(FEW, WIDE)).astype(np.float32)
    y = np.arange(FEW) % classes if classes else SPREAD * X[:, 0].astype(np.float64)
    rows = Rows(X=X, y=y, classes=classes)
    made = estimator(params, classes, 0)
    try:
        with quiet(), _seeded(0):
            made.fit(X, y)
    except Exception as error:  # the user's estimator raises what it likes
        raise UsageError(f"{WHAT} must fit a plain table of numbers; got {params['source']!r} with "
                         f"{type(error).__name__}: {_reason(error)}.") from error
    proven(made, convert(made, WIDE, rows.classes), X, rows.classes)
    return params


def build(params: Mapping[str, Any], task: Task) -> TabularModel:
    """An unfitted estimator behind the encoder of tables: what is missing imputed, scaled, words as TF-IDF."""
    return TabularModel(task, params, _learn, TEXTS if task.modality == "text" else ENCODER)


def _family(modality: str, good_at: str) -> Family:
    problems: tuple[Problem, ...] = ("binary", "multiclass", "multilabel", "regression")
    return Family(
        name=f"sklearn_{modality}", modality=modality, problems=problems, build=build,
        facts=Facts(year=2011, paper="Pedregosa et al. 2011, Scikit-learn; conversion: skl2onnx", licence="the user's",
                    framework="scikit-learn", good_at=good_at, bad_at="what skl2onnx cannot convert"),
        defaults={"source": ""}, handles=frozenset({"missing", "categorical", "text", "weights"}),
        seconds=lambda task: 1.0 + 1e-4 * task.rows, requires=("sklearn", "skl2onnx"), rank=1, prepare=prepare,
        scheme="sklearn")


SPEC = (_family("tabular", "an estimator that the user trusts, on the same rows as all others"),
        _family("text", "an estimator that the user trusts, on TF-IDF of words"))
