"""How large a family's networks are: parameters and operations, counted on the meta device, where nothing is computed.

There tensors have shapes and no content, so that a network of any size is laid out in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rightfit.records import Family, Task, frozen

PICTURE = 224  # pixels of the pictures as they come; what the network sees of them is the family's own choice
WORDS, LENGTH, CLASSES = 20_000, 64, 10
# config.json of sentence-transformers/all-MiniLM-L6-v2 (Wang et al. 2020, MiniLM).
MINILM: Mapping[str, Any] = {
    "num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536,
    "vocab_size": 30522, "max_position_embeddings": 512, "attn_implementation": "eager"}


@frozen
class Size:
    """One network: its parameters and floating-point operations (two a multiply-add) for one `example`.

    `weights`, `licence`: what is published for it and under which licence, by its library's own metadata; empty for
    what is trained from scratch.
    """

    network: str
    example: str
    parameters: int
    flops: int
    weights: str = ""
    licence: str = ""


def sizes(family: Family) -> list[Size]:
    """Every network of a family's defaults and variants, each once; empty where it has none of PyTorch's own.

    Of pretrained text encoders it is the one that is taken when none is named.
    """
    task = Task(modality=family.modality, problem="multiclass", target=("y",), metric="accuracy", rows=1000,
                classes=tuple(map(str, range(CLASSES))))
    if task.problem not in family.problems:
        return []
    if "encoder" in family.defaults:
        return [_encoder()]
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
                       "uint8", _published(name) if params.get("pretrained") else ("", ""))
    elif isinstance(model, TextModel):
        words: Any = model.make
        yield _counted(name, f"{LENGTH} words of {WORDS:,}", lambda: words(WORDS, CLASSES, bare), (1, LENGTH), "int64")


def _published(network: str) -> tuple[str, str]:
    """(where the hub has a network's weights, their licence), as timm says."""
    import timm

    cfg = timm.get_pretrained_cfg(network, allow_unregistered=True)
    return getattr(cfg, "hf_hub_id", None) or "", getattr(cfg, "license", None) or ""


def _encoder() -> Size:
    """The encoder that texts are read by where none is named, from its published configuration."""
    import transformers

    from rightfit.models.text._encoder import ENCODER

    config = transformers.BertConfig(**MINILM)

    def make() -> Any:
        return transformers.BertModel(config, add_pooling_layer=False)

    return _counted(ENCODER, f"{LENGTH} tokens", make, (1, LENGTH), "int64", (ENCODER, "apache-2.0"))


def _counted(name: str, example: str, make: Any, shape: tuple[int, ...], dtype: str,
             published: tuple[str, str] = ("", "")) -> Size:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        net = make().eval()
        rows = torch.zeros(shape, dtype=getattr(torch, dtype))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(rows)
    return Size(network=name, example=example, parameters=sum(p.numel() for p in net.parameters()),
                flops=int(counter.get_total_flops()), weights=published[0], licence=published[1])
