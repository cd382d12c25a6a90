"""A LightGBM booster as ONNX, written from its text: every float32 row takes the branch it takes in LightGBM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit.errors import PackageError
from rightfit.models.tabular._graph import ML_OPSET, OPSET, _model
from rightfit.models.tabular._trees import floor32, regressor

ZERO = np.float32(1e-35)  # LightGBM reads values up to this size as 0.0
CATEGORICAL, DEFAULT_LEFT = 1, 2
ZERO_IS_MISSING, NAN_IS_MISSING = 1, 2  # bits 2 and 3 of a decision type
LINKS = {"regression": None, "quantile": None, "lambdarank": None, "poisson": "Exp", "tweedie": "Exp",
         "binary": "Sigmoid", "multiclass": "Softmax"}


def from_text(text: str, raw: bool = False) -> Any:
    """`Booster.model_to_string()` as a model X (n, features) -> Y (n, k): probabilities of each class, or one value.

    raw: the sums of the trees instead, one column for two classes. Objectives of LINKS; numeric splits. Raises
    PackageError for models that need more.
    """
    from onnx import TensorProto, helper

    top, *trees = [_fields(block) for block in text.split("\nend of trees", 1)[0].split("\nTree=")]
    name, *options = top["objective"].split()
    known = name in LINKS and "sqrt" not in options
    _must(known, "the objective", ", ".join(LINKS), top["objective"])
    _must(name != "binary" or "sigmoid:1" in options, "the link", "sigmoid:1", top["objective"])
    _must("average_output" not in top, "trees", "added up", "average_output")
    _must(bool(trees), "trees", "at least one", len(trees))
    width, features = int(top["num_tree_per_iteration"]), int(top["max_feature_idx"]) + 1
    parts = [_arrays(tree, number, number % width) for number, tree in enumerate(trees)]
    scores = "scores" if LINKS[name] and not raw else "Y"
    nodes = [regressor(parts, width, scores)]
    if name == "binary" and not raw:
        nodes += [helper.make_node("Neg", [scores], ["against"]),
                  helper.make_node("Concat", ["against", scores], ["both"], axis=1),
                  helper.make_node("Sigmoid", ["both"], ["Y"])]
    elif name == "multiclass" and not raw:
        nodes.append(helper.make_node("Softmax", [scores], ["Y"], axis=1))
    elif LINKS[name] == "Exp" and not raw:
        nodes.append(helper.make_node("Exp", [scores], ["Y"]))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return _model(nodes, [], features, 2 if name == "binary" and not raw else width, TensorProto.FLOAT, opsets)


def _fields(block: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in block.splitlines())
    return {name: value for name, _, value in pairs if name}


def _must(holds: bool, what: str, allowed: str, found: Any) -> None:
    if not holds:
        raise PackageError(f"{what} of a LightGBM model must be {allowed} to be written as ONNX; got found={found!r}, "
                           f"train it with settings that do so.")


def _arrays(tree: Mapping[str, str], number: int, target: int) -> dict[str, Any]:
    """The attributes of one tree: its inner nodes first, then its leaves."""
    def read(name: str, dtype: type) -> Any:
        return np.array(tree.get(name, "").split(), dtype=dtype)

    _must(tree.get("is_linear", "0") == "0", "leaves", "constants", "linear trees")
    feature, kind = read("split_feature", int), read("decision_type", int)
    _must(not np.any(kind & CATEGORICAL), "splits", "numeric", "a categorical split")
    missing = kind >> 2 & 3
    _must(not np.any(missing == ZERO_IS_MISSING), "missing values", "NaN", "zero_as_missing")
    leaves = read("leaf_value", float)
    inner, outer = len(feature), len(leaves)
    exact = read("threshold", float)
    threshold = floor32(exact)
    near = np.abs(exact) <= ZERO
    threshold[near] = np.where(exact[near] >= 0, ZERO, np.nextafter(-ZERO, np.float32(-1)))
    gaps_left = np.where(missing == NAN_IS_MISSING, kind & DEFAULT_LEFT > 0, exact >= 0)
    nothing = np.zeros(outer, int)

    def child(name: str) -> Any:
        at = read(name, int)[:inner]
        return np.concatenate([np.where(at < 0, inner + ~at, at), nothing])

    return {
        "leaf": np.arange(inner + outer) >= inner,
        "nodes_treeids": np.full(inner + outer, number), "nodes_nodeids": np.arange(inner + outer),
        "nodes_featureids": np.concatenate([feature, nothing]),
        "nodes_values": np.concatenate([threshold, nothing.astype(np.float32)]),
        "nodes_truenodeids": child("left_child"), "nodes_falsenodeids": child("right_child"),
        "nodes_missing_value_tracks_true": np.concatenate([gaps_left.astype(int), nothing]),
        "target_treeids": np.full(outer, number), "target_nodeids": np.arange(inner, inner + outer),
        "target_ids": np.full(outer, target), "target_weights": leaves.astype(np.float32)}
