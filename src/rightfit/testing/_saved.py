"""What a saved model must hold: nothing unsafe in its files, and served it predicts what it predicted."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import registry
from rightfit.package.runtimes import Runtime, Scorer
from rightfit.testing._case import Case, apart, proper

UNSAFE = (b"cpickle", b"sklearn.", b"numpy.core.multiarray", b"joblib")
SUFFIXES = (".json", ".onnx", ".cbm", ".txt", ".ubj", ".safetensors", ".npz")
SLACK_BYTES = 2**16
SLACK = 0.1


def saves_safely_and_exactly(case: Case) -> None:
    """Plain JSON meta, no pickle in any file, and the runtime's answers are the model's, row by row and together."""
    from rightfit.data.schema import compile_row

    fitted = case.fitted()
    new, task = case.rows(60, seed=1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        meta = fitted.model.save(folder)
        scorer = _served(folder, meta)
        told = np.asarray(fitted.model.predict(new.X)).reshape(60, -1)
        away = apart(np.asarray(scorer.frame(new.X)).reshape(60, -1), told)
        assert away <= case.size.parity, f"the saved model must predict what the model predicts; got {away:.3g} apart."
        coerced = compile_row(new.schema)
        records = [coerced(record) for record in new.X.iloc[:8].to_dict("records")]
        together = np.asarray(scorer.rows(records)).reshape(8, -1)
        single = np.concatenate([np.asarray(scorer.row(record)).reshape(1, -1) for record in records])
        for served, how in ((together, "as records"), (single, "one by one")):
            away = apart(served, told[:8])
            assert away <= case.size.parity, \
                f"the saved model must predict the same for rows given {how}; got {away:.3g} apart."
        proper(told if told.shape[1] > 1 or task.classifies else told[:, 0], task, 60)


def _served(folder: Path, meta: Mapping[str, Any]) -> Scorer:
    """The runtime's scorer of a folder whose files were looked through."""
    assert json.loads(json.dumps(meta, allow_nan=False)) == meta, "the meta of save must be plain JSON."
    assert isinstance(meta.get("runtime"), str), f"save must name its runtime; got runtime={meta.get('runtime')!r}."
    for path in folder.rglob("*"):
        assert not path.is_symlink(), f"saved files must be files; got the link {path.name!r}."
        if not path.is_dir():
            _safe(path)
    for core in meta.get("cores", ()):
        if core["format"] == "onnx":
            inputs, outputs = _signature(folder / core["file"])
            assert list(inputs) == ["X"] and list(outputs) == ["Y"], \
                f"the graph must have one input X and one output Y; got {list(inputs)} and {list(outputs)}."
    runtime: Runtime = registry.plugin("rightfit.package.runtimes", meta["runtime"], "runtime")
    needs = runtime.requires(meta)
    assert needs and all(isinstance(name, str) for name in needs), f"a runtime must say what it needs; got {needs!r}."
    return runtime.load(folder, meta)


def _safe(path: Path) -> None:
    assert path.suffix in SUFFIXES, f"saved files must be one of {SUFFIXES}; got {path.name!r}."
    content = path.read_bytes()
    found = [word for word in UNSAFE if word in content]
    assert not content.startswith(b"\x80") and not found, f"saved files must hold no pickle; got {path.name!r} {found}."


def _signature(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """{name: (type, shape)} of a graph's inputs and outputs; dimensions that vary are None."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def told(values: Any) -> dict[str, Any]:
        return {v.name: (v.type, [d if isinstance(d, int) else None for d in v.shape]) for v in values}

    return told(session.get_inputs()), told(session.get_outputs())


def untrained_costs_the_same(case: Case) -> None:
    """An untrained model, made to be measured before training, has the trained one's graph and about its size."""
    if case.family.untrained is None:
        return
    fitted = case.fitted()
    new, task = case.rows(8, seed=1)
    bare = case.family.untrained(case.params(fitted.task), fitted.task, fitted.data)
    proper(bare.predict(new.X), task, 8)
    found = []
    for model in (fitted.model, bare):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            meta = model.save(folder)
            _served(folder, meta).frame(new.X)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            graphs = [_signature(folder / core["file"]) for core in meta.get("cores", ()) if core["format"] == "onnx"]
            plain = {name: value for name, value in meta.items() if isinstance(value, str | int)}
            found.append((size, graphs, plain))
    (size, graphs, plain), (size_, graphs_, plain_) = found
    assert plain == plain_, f"an untrained model must be served as the trained one; got {plain_} and {plain}."
    assert graphs == graphs_, f"an untrained model must have the trained one's graph; got {graphs_} and {graphs}."
    assert abs(size - size_) <= SLACK * size + SLACK_BYTES, \
        f"an untrained model must have about the trained one's size; got {size_:,} and {size:,} bytes."
