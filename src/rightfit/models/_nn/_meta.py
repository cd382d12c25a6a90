"""How large a family's networks are: parameters and operations, counted on the meta device, where nothing is computed.

There tensors have shapes and no content, so that a network of any size is laid out in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rightfit.records import Family, Task, frozen

PICTURE = 224  # pixels of the pictures as they come; what the network sees of them is the family's own choice
WORDS, LENGTH, CLASSES = 20_000, 64, 10


@frozen
class Size:
    """One network: its parameters and floating-point operations (two a multiply-add) for one `example`."""

    network: str
    example: str
    parameters: int
    flops: int


def sizes(family: Family) -> list[Size]:
    """Every network of a family's defaults and variants, each once; empty where it has none of PyTorch's own.

    A pretrained text encoder is not among them: its size is that of the checkpoint.
    """
    task = Task(modality=family.modality, problem="multiclass", target=("y",), metric="accuracy", rows=1000,
                classes=tuple(map(str, range(CLASSES))))
    if task.problem not in family.problems or "encoder" in family.defaults:
        return []
    found: dict[str, Size] = {}
    for variant in ({}, *family.variants):
        for size in _laid_out(family, {**family.defaults, **variant}, task):
            found.setdefault(f"{size.network} {size.example} {size.parameters}", size)
    return list(found.values())


def _laid_out(family: Family, params: Mapping[str, Any], task: Task) -> Iterator[Size]:
    from rightfit.models.image._net import NetworkModel
    from rightfit.models.text._net import TextModel

    model: Any = family.build(params, task)
    name = str(params.get("network") or family.name)
    bare = {**params, "weights": None}
    if isinstance(model, NetworkModel):
        side = int(params.get("size") or 0) or model.choose(PICTURE)
        yield _counted(name, f"{side} x {side} pixels", lambda: model.make(bare, side, CLASSES), (1, side, side, 3),
                       "uint8")
    elif isinstance(model, TextModel):
        words: Any = model.make
        yield _counted(name, f"{LENGTH} words of {WORDS:,}", lambda: words(WORDS, CLASSES, bare), (1, LENGTH), "int64")


def _counted(name: str, example: str, make: Any, shape: tuple[int, ...], dtype: str) -> Size:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        net = make().eval()
        rows = torch.zeros(shape, dtype=getattr(torch, dtype))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(rows)
    return Size(network=name, example=example, parameters=sum(p.numel() for p in net.parameters()),
                flops=int(counter.get_total_flops()))
