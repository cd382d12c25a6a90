"""How far forecasts are from what is measured: networks with random weights, forecast first, then exported and run.

    python benchmarks/forecast.py                      every network that forecast.csv lacks, about ten minutes
    python benchmarks/forecast.py --steps 10           training too, where it is lacking
    python benchmarks/forecast.py --anew --only resnet18 bert_tiny --out FOLDER

Constants of the forecast of memory were fitted on the networks of FITTED, and the shapes that the roofline measures
were chosen after looking at them; MORE and TEXTS were not looked at, and their shares are said apart.

For each: latency (median of one row, one thread), memory of a fresh process, size of the ONNX file, and the time of
`--steps` training steps from three timed ones. Run it on a quiet machine: a row that was measured on a busy one says
noisy=1, and the next call measures it again. The last lines say which share lies within the tolerance of each.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import HERE, RESULTS, proportion, read_csv, show, write_csv

from rightfit.resources import forecast, measure, roofline

TOLERANCE = {"latency_ms": 0.20, "memory_mib": 0.15, "size_mib": 0.05, "training_s": 0.30}
FITTED = ("resnet18", "resnet34", "resnet50", "mobilenetv2_100", "mobilenetv3_large_100", "mobilenetv3_small_100",
        "efficientnet_b0", "efficientnet_lite0", "convnext_atto", "convnext_tiny", "vit_tiny_patch16_224",
        "vit_small_patch16_224", "deit_tiny_patch16_224", "vgg11", "vgg11_bn", "densenet121", "regnety_004",
        "mixer_s16_224", "ghostnet_100", "mnasnet_100", "resnext50_32x4d", "fastvit_t8", "repvgg_a0", "edgenext_small")
MORE = ("resnet26d", "mobilenetv4_conv_small", "tinynet_a", "efficientnet_b1", "convnext_nano",
        "deit_small_patch16_224", "poolformer_s12", "levit_128s", "regnetx_004", "swin_tiny_patch4_window7_224",
        "cspresnet50", "dla34", "seresnet50", "mobilevit_xs", "res2net50_26w_4s", "hardcorenas_a",
        "semnasnet_100", "spnasnet_100", "convnextv2_atto", "pit_ti_224")
# name: (kind of configuration, layers, width, heads, inner width, tokens)
TEXTS = {"minilm_l6": ("bert", 6, 384, 12, 1536, 128), "bert_tiny": ("bert", 2, 128, 2, 512, 128),
         "bert_mini": ("bert", 4, 256, 4, 1024, 128), "bert_small": ("bert", 4, 512, 8, 2048, 128),
         "bert_base": ("bert", 12, 768, 12, 3072, 128), "minilm_l6_32": ("bert", 6, 384, 12, 1536, 32),
         "distilbert": ("distilbert", 6, 768, 12, 3072, 128)}
SIDE, CLASSES, BATCH = 224, 1000, 8
STAMPS = ("machine", "versions", "date", "load_1m")


def pictures(name: str) -> tuple[Any, Callable[[int], Any]]:
    """(network, inputs of a batch) of a timm architecture."""
    import timm
    import torch

    return timm.create_model(name, pretrained=False), lambda n: torch.rand(n, 3, SIDE, SIDE)


def texts(name: str) -> tuple[Any, Callable[[int], Any]]:
    """(encoder with a mean and a classifier, token ids of a batch) of a transformers configuration."""
    import torch
    import transformers

    kind, depth, width, heads, inner, tokens = TEXTS[name]
    if kind == "bert":
        config: Any = transformers.BertConfig(num_hidden_layers=depth, hidden_size=width, num_attention_heads=heads,
                                              intermediate_size=inner, attn_implementation="eager")
        encoder = transformers.BertModel(config, add_pooling_layer=False)
    else:
        config = transformers.DistilBertConfig(n_layers=depth, dim=width, n_heads=heads, hidden_dim=inner,
                                               attn_implementation="eager")
        encoder = transformers.DistilBertModel(config)

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.head = encoder, torch.nn.Linear(width, CLASSES)

        def forward(self, ids: Any) -> Any:
            return self.head(self.encoder(ids, attention_mask=torch.ones_like(ids)).last_hidden_state.mean(1))

    return Classifier(), lambda n: torch.randint(0, 1000, (n, tokens))


def _busy(network: Any) -> None:
    """Scales that start at zero would fold into weights of zeros, which the exporter then shares."""
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.data.uniform_(0.5, 1.0)


def exported(network: Any, inputs: Any) -> bytes:
    """The network as an ONNX graph."""
    import torch

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (inputs,), file, dynamo=False, opset_version=17, input_names=["X"],
                          output_names=["Y"], do_constant_folding=True)
    return file.getvalue()


def loaded(path: str) -> None:
    """What a process does whose memory is measured: read, load, answer one row."""
    import numpy as np

    run = roofline.session(Path(path).read_bytes())
    item = run.get_inputs()[0]
    whole = "int" in item.type
    run.run(None, {item.name: np.zeros(item.shape, np.int64 if whole else np.float32)})


def steps_of(network: Any, inputs: Callable[[int], Any]) -> Iterator[float]:
    """Seconds of single training steps, for ever."""
    import torch

    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    y = torch.randint(0, CLASSES, (BATCH,))
    while True:
        started = time.perf_counter()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs(BATCH)), y).backward()
        optimiser.step()
        yield time.perf_counter() - started


def made(name: str) -> tuple[Any, Any, bytes]:
    """(network with random weights, one row, its ONNX graph)."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    network, inputs = texts(name) if name in TEXTS else pictures(name)
    _busy(network)
    row = inputs(1)
    return network, row, exported(network, row)


def told(network: Any, content: bytes, line: roofline.Roofline) -> dict[str, forecast.Forecast]:
    """What is forecast of a network before it is run."""
    numbers = sum(p.numel() for p in network.parameters()) + sum(b.numel() for b in network.buffers())
    return {"latency_ms": forecast.latency_ms(content, line), "memory_mib": forecast.memory_mib(content, line),
            "size_mib": forecast.size_mib(numbers)}


def compared(name: str, line: roofline.Roofline) -> dict[str, Any]:
    """Forecast and measurement of one network, side by side."""
    network, one, content = made(name)
    expected = told(network, content, line)
    run, feed = roofline.session(content), {"X": one.numpy()}
    found = measure.latency(lambda _: run.run(None, feed), [None], plan=measure.Plan(attempts=2, limit_s=20), warmup=3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        path.write_bytes(content)
        memory = measure.fresh_memory_mib("forecast:loaded", str(path))
    measured = {"latency_ms": found.p50_ms, "memory_mib": memory, "size_mib": len(content) / 2**20}
    row: dict[str, Any] = {"network": name, "fitted": int(name in FITTED), "noisy": int(found.noisy)}
    for key, value in measured.items():
        row |= _side_by_side(key, expected[key], value)
    return row


def again(row: Mapping[str, Any], line: roofline.Roofline) -> dict[str, Any]:
    """A row with the forecasts of today beside what was measured before."""
    network, _, content = made(row["network"])
    found = dict(row)
    for key, one in told(network, content, line).items():
        found |= _side_by_side(key, one, float(row[f"{key}_measured"]))
    return found


def _side_by_side(key: str, one: forecast.Forecast, value: float) -> dict[str, Any]:
    return {f"{key}_forecast": one.value, f"{key}_measured": value, f"{key}_error": one.value / value - 1,
            f"{key}_inside": int(one.low <= value <= one.high)}


def trained(name: str, steps: int) -> dict[str, Any]:
    """Seconds of training steps, forecast from three of them."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    network, inputs = texts(name) if name in TEXTS else pictures(name)
    timed = steps_of(network, inputs)
    next(timed)
    told = forecast.training_s([next(timed) for _ in range(3)], steps)
    return _side_by_side("training_s", told, sum(next(timed) for _ in range(steps)))


def summed(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Which share lies within the tolerance of each figure, and within its own interval; unseen networks apart."""
    for key, tolerance in TOLERANCE.items():
        for which, some in (("all", rows), ("not fitted on", [row for row in rows if str(row["fitted"]) == "0"])):
            known = [row for row in some if row.get(f"{key}_error") not in (None, "")]
            near = sum(abs(float(row[f"{key}_error"])) <= tolerance for row in known)
            inside = sum(int(row[f"{key}_inside"]) for row in known)
            yield (f"{key}, {which}: within {tolerance:.0%} {proportion(near, len(known))}; inside its interval "
                   f"{proportion(inside, len(known))}")


def main() -> None:
    """Compare what is not compared yet, write forecast.csv, print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[*FITTED, *MORE, *TEXTS])
    parser.add_argument("--steps", type=int, default=0, help="training steps; 0 leaves training out")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no network after so many seconds")
    parser.add_argument("--again", action="store_true", help="only forecast again what is there, measure nothing")
    parser.add_argument("--anew", action="store_true", help="calibrate again, and measure again what is there")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    end = time.monotonic() + given.seconds
    line = roofline.here(fresh=given.anew)
    rows = {} if given.anew else {row["network"]: row for row in read_csv("forecast", given.out)}
    for name in given.only if given.again else ():
        if name in rows:
            rows[name] = again(rows[name], line)
            write_csv("forecast", rows.values(), given.out)
    for name in given.only if not given.again else ():
        row = rows.get(name, {"noisy": "1"})
        if time.monotonic() < end and str(row["noisy"]) != "0":
            row = {**compared(name, line), **{k: v for k, v in row.items() if k.startswith("training_s")}}
        if time.monotonic() < end and given.steps and not row.get("training_s_error"):
            row |= trained(name, given.steps)
        if row != rows.get(name, {"noisy": "1"}):
            rows[name] = {key: value for key, value in row.items() if key not in STAMPS}
            show({key: value for key, value in rows[name].items() if not key.endswith("_inside")})
            write_csv("forecast", rows.values(), given.out)
    for line_ in summed(list(rows.values())):
        print(line_)


if __name__ == "__main__":
    main()
