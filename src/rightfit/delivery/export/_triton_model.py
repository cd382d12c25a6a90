"""What Triton's Python backend runs: raw columns in, label and probabilities (or the value) out.

Numbers are FP64 with NaN for unknown, everything else is BYTES with the empty text for unknown; pictures are their
encoded bytes. See https://github.com/triton-inference-server/python_backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.errors import RightfitError
from rightfit.package import load


class TritonPythonModel:
    """The class that the backend looks for in model.py."""

    def initialize(self, args: Any) -> None:
        """Load the package beside model.py; raises what loading raises, and Triton then calls the model not ready."""
        self._triton: Any = import_module("triton_python_backend_utils")
        self.model = load(Path(args["model_repository"]) / args["model_version"] / "package")
        kinds = {column.name: column.kind for column in self.model.schema.features}
        self._names = list(kinds)
        raw = {"numeric", *registry.plugins("rightfit.data.column_kinds")}  # not texts: numbers, or bytes of a kind
        self._texts = frozenset(name for name, kind in kinds.items() if kind not in raw)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request; what is wrong with one harms no other."""
        return [self._one(request) for request in requests]

    def _one(self, request: Any) -> Any:
        triton = self._triton
        try:
            records = self._records(request)
            answers = [self.model.predict_one(record) for record in records]
        except RightfitError as error:
            return triton.InferenceResponse(output_tensors=[], error=triton.TritonError(str(error)))
        return triton.InferenceResponse(output_tensors=[triton.Tensor(name, array)
                                                        for name, array in self._outputs(answers)])

    def _records(self, request: Any) -> list[dict[str, Any]]:
        columns = {name: self._triton.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)
                   for name in self._names}
        return [{name: self._value(name, cells[at]) for name, cells in columns.items()}
                for at in range(min(map(len, columns.values()), default=0))]

    def _value(self, name: str, cell: Any) -> Any:
        if isinstance(cell, bytes):
            return (cell.decode("utf-8", "replace") if name in self._texts else cell) or None
        return None if cell != cell else cell.item()

    def _outputs(self, answers: Sequence[Any]) -> list[tuple[str, Any]]:
        task = self.model.task
        if not task.classifies:
            return [("value", np.array([one["prediction"] for one in answers], np.float64).reshape(len(answers), -1))]
        labels = [one["prediction"] for one in answers]
        found = [";".join(label) if isinstance(label, list) else label for label in labels]
        values = [[one["probabilities"][name] for name in task.classes] for one in answers]
        return [("label", np.array([[one.encode()] for one in found], dtype=object).reshape(-1, 1)),
                ("probabilities", np.array(values, np.float64).reshape(-1, len(task.classes)))]
