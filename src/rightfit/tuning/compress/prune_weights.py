"""Unstructured pruning: the smallest weights become zero and are not stored. Smaller, never faster on ordinary CPUs.

Dense kernels multiply zeros as slowly as anything else (Gale et al. 2019, The State of Sparsity in Deep Neural
Networks), so the only gain is size: a bit for each weight says whether it is there, and those that are have 8 bits. At
a share of one half that is 0.63 bytes a weight, against 1 of `int8_weights`. Without training afterwards a half is
about what convolutional networks bear.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import UsageError
from rightfit.records import Candidate, Compression, Dataset, Family, Task
from rightfit.tuning.compress import _graph
from rightfit.tuning.compress._weights8 import channels, store


def plan(candidate: Candidate, family: Family, task: Task) -> tuple[Mapping[str, Any], ...]:
    """One variant, where a limit on the size may call for it."""
    sized = any(limit.name == "size_mib" for limit in task.limits)
    return ({"share": 0.5},) if sized and _graph.neural(family) else ()


def _spread(net: _graph.Net, values: Any, keep: tuple[int, ...], share: float, name: str) -> list[Any]:
    """Nodes that give a weight back from its bits, its values that are left, and its scales; folded on loading."""
    flat = np.abs(values).ravel()
    gone = round(share * flat.size)
    bits = np.ones(flat.size, bool)
    bits[np.argpartition(flat, gone)[:gone]] = False
    small, scale = _graph.scaled(values, keep)
    packed = net.add("Cast", net.constant(np.packbits(bits, bitorder="little")[:, None]), to=6)
    powers = net.constant(2 ** np.arange(8, dtype=np.int32)[None])
    each = net.add("Mod", net.add("Div", packed, powers), net.constant(np.array(2, np.int32)))
    there = net.add("Reshape", each, net.constant(np.array([-1], np.int64)))
    there = net.add("Slice", there, net.constant(np.array([0], np.int64)), net.constant(np.array([flat.size])))
    place = net.add("Sub", net.add("CumSum", there, net.constant(np.array(0, np.int64))),
                    net.constant(np.array(1, np.int32)))
    found = net.add("Gather", net.constant(small.ravel()[bits]), place)
    found = net.add("Mul", net.add("Cast", found, to=1), net.add("Cast", there, to=1))
    shaped = net.add("Reshape", found, net.constant(np.array(values.shape, np.int64)))
    net.add("Mul", shaped, net.constant(scale), out=name)
    return net.taken()


def apply(folder: Path, meta: Mapping[str, Any], rows: Dataset, task: Task, params: Mapping[str, Any],
          seed: int) -> dict[str, Any]:
    """Leave out the `share` of smallest weights of every layer but the first and the last; the rest has 8 bits.

    The ends are spared because they are the most sensitive (Gale et al. 2019). Raises UsageError for a share outside
    0..1 and where there are fewer than three layers.
    """
    share = float(params.get("share", 0.5))
    if not 0 < share < 1:
        raise UsageError(f"share must lie between 0 and 1; got share={share:g}.")

    def change(model: Any, path: Path) -> tuple[Any, int]:
        net = _graph.Net(_graph.simplified(model))
        first, names = list[Any](), set[str]()
        for node, name in list(_graph.weighted(net))[1:-1]:
            if name in names or not net.large(name):
                continue
            values = net.array(name)
            net.constants.pop(name).name = f"{name}__whole"
            first += _spread(net, values, channels(node, 1, values.ndim), share, name)
            names.add(name)
        net.put([*first, *net.graph.node])
        if names:
            store(net)
        return net.model, len(names)

    _graph.rewritten(folder, meta, SPEC.name, change)
    return dict(meta)


SPEC = Compression(name="prune_weights", plan=plan, apply=apply, requires=("onnx", "onnxruntime"),
                   doc="Leaves out the smallest weights: smaller, no faster on ordinary CPUs.")
