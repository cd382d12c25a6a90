"""scikit-learn trees as one ONNX node, built from whole arrays: a forest of 300 trees takes a fraction of a second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rightfit.models.tabular._graph import ML_OPSET, OPSET, _model


def floor32(values: Any) -> Any:
    """The largest float32 not above each float64, so that x <= threshold decides alike for every float32 x.

    >>> bool(floor32(np.array([0.1]))[0] <= 0.1)
    True
    """
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
    return np.where(near > values, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def ensemble(trees: Sequence[Any], features: int, classes: bool) -> Any:
    """The mean of fitted `tree_` objects as an ONNX model X (n, features) -> Y (n, k): probabilities or one value."""
    from onnx import TensorProto, helper

    parts = [_arrays(tree, number, len(trees), classes) for number, tree in enumerate(trees)]
    width = trees[0].value.shape[2] if classes else 1
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return _model([regressor(parts, width, "Y")], [], features, width, TensorProto.FLOAT, opsets)


def regressor(parts: Sequence[Any], width: int, output: str) -> Any:
    """The node that adds up trees over X, one mapping of arrays for each: its attributes by name, and `leaf` (nodes,).

    A row goes to the true node where x <= value; leaves have no children and an entry among the targets.
    """
    from onnx import AttributeProto, helper

    merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    node = helper.make_node("TreeEnsembleRegressor", ["X"], [output], domain="ai.onnx.ml", n_targets=width,
                            aggregate_function="SUM", post_transform="NONE")
    modes = node.attribute.add(name="nodes_modes", type=AttributeProto.STRINGS)
    modes.strings.extend([b"LEAF" if is_leaf else b"BRANCH_LEQ" for is_leaf in merged.pop("leaf").tolist()])
    for name, values in merged.items():  # helper.make_attribute looks at every element: seconds for a forest
        if values.dtype.kind == "f":
            node.attribute.add(name=name, type=AttributeProto.FLOATS).floats.extend(values.tolist())
        else:
            node.attribute.add(name=name, type=AttributeProto.INTS).ints.extend(values.tolist())
    return node


def _arrays(tree: Any, number: int, of: int, classes: bool) -> dict[str, Any]:
    count = tree.node_count
    left, right = tree.children_left, tree.children_right
    leaf = left < 0
    ids = np.arange(count)
    value = tree.value[:, 0, :]
    if classes:
        value = value / np.maximum(value.sum(axis=1, keepdims=True), 1e-300)
    at, target = np.nonzero(leaf[:, None] & np.ones(value.shape[1], bool))
    weights = (value[at, target] / of).astype(np.float32)
    # A leaf's zeros change nothing, but each leaf must have an entry.
    keep = (weights != 0) | (target == 0)
    to_left = getattr(tree, "missing_go_to_left", np.zeros(count, np.uint8))
    return {
        "leaf": leaf, "nodes_treeids": np.full(count, number), "nodes_nodeids": ids,
        "nodes_featureids": np.where(leaf, 0, tree.feature),
        "nodes_values": np.where(leaf, np.float32(0), floor32(tree.threshold)),
        "nodes_truenodeids": np.where(leaf, 0, left), "nodes_falsenodeids": np.where(leaf, 0, right),
        "nodes_missing_value_tracks_true": np.where(leaf, 0, to_left).astype(int),
        "target_treeids": np.full(int(keep.sum()), number), "target_nodeids": at[keep],
        "target_ids": target[keep], "target_weights": weights[keep]}
