"""CatBoost's own .cbm format, for what its ONNX export cannot say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rightfit.package.cores import Core


def load(path: Path) -> Callable[[Any], Any]:
    """Probabilities (n, k) for a model with a classification loss, else values (n, k); one thread.

    A multilabel loss gives independent probabilities (n, k).
    """
    from catboost import CatBoost

    model = CatBoost()
    model.load_model(str(path), format="cbm")
    loss = str(model.get_all_params().get("loss_function", "")).split(":")[0]
    kind = "Probability" if loss in _PROBABILISTIC else "RawFormulaVal"

    def score(X: Any) -> Any:
        values = model.predict(X, prediction_type=kind, thread_count=1)
        return values.reshape(len(X), -1)
    return score


_PROBABILISTIC = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy")
SPEC = Core(name="catboost", load=load, requires=("catboost",))
