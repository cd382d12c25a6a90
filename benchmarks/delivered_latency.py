"""The network that is delivered against the same network in torch's eager mode: one input at a time, and what it loses.

    python benchmarks/delivered_latency.py prepare [network ...] [--weights FOLDER] [--work FOLDER]
    python benchmarks/delivered_latency.py time [network ...] [--work FOLDER]       on a machine that does nothing else

`prepare` makes each network once, packages it, lets `rightfit compress` choose among all its steps by labelled rows,
and measures the loss of accuracy on rows that nothing else has seen. `time` loads the eager network and the delivered
core, asks them in turns, and takes the medians; each is given the better of one thread and all.

Pictures are 224 x 224; texts are Banking77's, timed by one of middle length, and need --weights with the encoder (a
folder with its config.json), which torch runs with its own fused attention. Where no ImageNet weights are given, the
body of a network is random, its batch norms know the pictures' statistics, and a linear head is fitted on its features:
what a network costs does not depend on its weights, but what it loses does, so such rows say so. Writes
benchmarks/results/delivered_latency.csv.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import common
import numpy as np

GOAL, LOSS = 4.0, 0.003
SIDE, LEARN, CHOOSE, JUDGE = 224, 800, 400, 1000
TEXTS_LEARN = 3000  # of 77 classes
WARM, CALLS, TURNS = 20, 25, 8
COUNTED = ("mobilenetv3_large_100", "efficientnet_b0", "resnet18", "minilm")  # in the geometric mean
PEERS = {"mobilenetv3_large_100": "11.3 to 1.83 ms", "efficientnet_b0": "10.7 to 3.9 ms", "resnet18": "17.0 to 2.8 ms",
         "minilm": "8.1 to 1.6 ms"}  # eager to ONNX Runtime, its best precision, by hand, on two cores like these


def body_of(network: str, path: str) -> tuple[Any, Any]:
    """A timm network without its classifier, and as a module from pixels to features."""
    from rightfit.models.image import _timm
    from rightfit.models.image._graph import IMAGENET, pictured

    bare = _timm.loaded(network, path, 1, SIDE) if path else _timm.create(network, 1)
    bare.reset_classifier(0)
    return bare, pictured(bare, [bare], SIDE, *(_timm.normalisation(network, path) if path else IMAGENET))


def picture(network: str, place: Path, weights: tuple[str, ...]) -> dict[str, Any]:
    """A network of timm on flowers: fitted head, package, compressed package; what `time` needs is kept in `place`."""
    import torch
    from safetensors.torch import save_file

    from rightfit import cache
    from rightfit.choose import ask
    from rightfit.errors import Unavailable
    from rightfit.models.image import _timm
    from rightfit.models.image._features import FeatureModel
    from rightfit.records import Need

    asked = ask(str(common.data_folder() / "images" / "flowers5_128px.zip"), Need(metric="accuracy"))
    order = np.random.default_rng(0).permutation(len(asked.data))
    learn, choose, judge = (asked.data.take(np.sort(order[a:b])) for a, b in
                            ((0, LEARN), (LEARN, LEARN + CHOOSE), (LEARN + CHOOSE, LEARN + CHOOSE + JUDGE)))
    torch.manual_seed(0)
    try:
        found = _timm.prepare({"network": network, "pretrained": True}, asked.task, Need(weights=weights))
        path = str(found["weights"])
    except Unavailable:
        path = ""
    bare, body = body_of(network, path)

    class Headed(FeatureModel):
        """The body as encoder, so that the head is fitted as every frozen model's is."""

        def _size(self, natural: int) -> int:
            return SIDE

        def _name(self) -> str:
            return network

        def _encoder(self) -> Any:
            return body

    with cache.at(place / "cache"):
        if not path:
            settle(bare, body, asked.data)
        model = Headed(asked.task, {"head": "linear", "l2": "auto"})
        model.fit(learn, seed=0, deadline=float("inf"))
        found = packaged(model, asked, place, choose, judge)
    save_file({name: value.contiguous().clone() for name, value in model.net.state_dict().items()},
              place / "net.safetensors")
    np.save(place / "example.npy", np.random.default_rng(1).integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8))
    head = model.net[1]
    return {**found, "path": path, "wide": head.in_features, "outputs": head.out_features,
            "weights": "ImageNet" if path else "random body, fitted head"}


def of_picture(place: Path, made: dict[str, Any]) -> Any:
    """The kept network, in torch."""
    import torch
    from safetensors.torch import load_file

    net = torch.nn.Sequential(body_of(made["network"], made["path"])[1],
                              torch.nn.Linear(made["wide"], made["outputs"]))
    net.load_state_dict(load_file(place / "net.safetensors"))
    return net.eval()


def settle(bare: Any, body: Any, data: Any) -> None:
    """Batch norms of a random network take the statistics of some pictures, without which its signal dies away."""
    import torch

    from rightfit.data._media import decode

    refs = list(data.X.iloc[:64][data.X.columns[0]])
    for module in bare.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # a plain mean over batches
    pixels = torch.from_numpy(decode.pixels(refs, SIDE).take(np.arange(len(refs))))
    body.train()
    with torch.no_grad():
        for at in range(0, len(refs), 16):
            body(pixels[at:at + 16])
    body.eval()


def packaged(model: Any, asked: Any, place: Path, choose: Any, judge: Any) -> dict[str, Any]:
    """The package of a fitted model, what `rightfit compress` makes of it, and what that loses on unseen rows."""
    import pandas as pd

    from rightfit.delivery import compress
    from rightfit.metrics import compare
    from rightfit.package import load, write
    from rightfit.records import Candidate, Rule

    write.write(model, place / "plain", task=asked.task, schema=asked.data.schema, rule=Rule(),
                candidate=Candidate(family="frozen" if asked.task.modality == "image" else "frozen_encoder", params={}),
                sample=pd.DataFrame(list(asked.sample)))
    labelled = choose.X.assign(**{asked.task.target[0]: [asked.task.classes[code] for code in choose.y]})
    done = compress.compress(place / "plain", place / "small", data=labelled, max_loss=LOSS)
    print(compress.table(done), flush=True)
    before, after = load(place / "plain").raw(judge.X), load(place / "small").raw(judge.X)
    pair = compare.paired_rows(judge.y, before, after, "accuracy", asked.task,
                               codes=(before.argmax(axis=1), after.argmax(axis=1)), seed=0)
    sizes = {a.name: a.measured.get("size_mib") for a in done.attempts}
    return {"steps": done.chosen, "accuracy": float(np.mean(before.argmax(axis=1) == judge.y)),
            "loss": pair.difference, "loss_low": pair.low, "loss_high": pair.high, "judged": len(judge.y),
            "size_mib": sizes[done.attempts[0].name], "small_mib": sizes[done.chosen]}


def text(network: str, place: Path, weights: tuple[str, ...]) -> dict[str, Any]:
    """A pretrained encoder as it is under a fitted head, on Banking77, as the family of frozen encoders delivers it."""
    import texts
    import texts_choose
    from safetensors.torch import save_file

    from rightfit import cache, registry
    from rightfit.choose import ask
    from rightfit.records import Need

    need = Need(target="label", metric="accuracy", modality="text", weights=weights)
    asked = ask(texts_choose.frame(texts.SETS["banking77"]().train), need)
    order = np.random.default_rng(0).permutation(len(asked.data))
    ends = np.cumsum([0, TEXTS_LEARN, CHOOSE, JUDGE])
    learn, choose, judge = (asked.data.take(np.sort(order[a:b])) for a, b in pairwise(ends.tolist()))
    spec = registry.plugin("rightfit.models", "frozen_encoder", "family")
    params = dict(spec.prepare(dict(spec.defaults), asked.task, need))
    with cache.at(place / "cache"):
        model = spec.build(params, asked.task).fit(learn, seed=0, deadline=float("inf"))
        found = packaged(model, asked, place, choose, judge)
    save_file({name: value.contiguous().clone() for name, value in model.head.state_dict().items()},
              place / "net.safetensors")
    ids = sorted(model.words.ids(list(judge.X["text"])), key=len)
    np.save(place / "example.npy", ids[len(ids) // 2][None])
    return {**found, "path": params["checkpoint"], "wide": model.head.in_features, "outputs": model.head.out_features,
            "weights": f"{Path(params['checkpoint']).name}, {len(ids[len(ids) // 2])} tokens"}


def of_text(place: Path, made: dict[str, Any]) -> Any:
    """The kept encoder and head, in torch, with the attention that transformers prefers."""
    import torch
    import transformers
    from safetensors.torch import load_file

    from rightfit.models.text import _encoder, frozen_encoder

    with _encoder.quiet():
        body = transformers.AutoModel.from_pretrained(made["path"], attn_implementation="sdpa", local_files_only=True,
                                                      use_safetensors=True, dtype=torch.float32).eval()
    head = torch.nn.Linear(made["wide"], made["outputs"])
    head.load_state_dict(load_file(place / "net.safetensors"))
    return torch.nn.Sequential(_encoder.module(body, frozen_encoder.DEFAULTS), head).eval()


PICTURES = ("mobilenetv3_large_100", "efficientnet_b0", "resnet18", "mobilenetv2_100")
MAKERS: dict[str, Callable[[str, Path, tuple[str, ...]], dict[str, Any]]] = {
    **dict.fromkeys(PICTURES, picture), "minilm": text}
NETS: dict[str, Callable[[Path, dict[str, Any]], Any]] = {**dict.fromkeys(PICTURES, of_picture), "minilm": of_text}


def eager(place: Path, made: dict[str, Any]) -> Callable[[], Any]:
    """One answer of the kept torch network to the kept input."""
    import torch

    net, example = NETS[made["network"]](place, made), torch.from_numpy(np.load(place / "example.npy"))

    def once() -> Any:
        with torch.inference_mode():
            return net(example)

    return once


def delivered(place: Path, threads: int) -> Callable[[], Any]:
    """One answer of the delivered core to the same input, as the package's runtime asks it."""
    from rightfit.package.cores import THREADS, onnx

    token = THREADS.set(threads)
    core, example = onnx.load(place / "small" / "model.onnx"), np.load(place / "example.npy")
    THREADS.reset(token)
    return lambda: core(example)


def timed(place: Path, made: dict[str, Any]) -> dict[str, Any]:
    """Medians in ms of both, asked in turns, and of the package from a picture file's bytes to its label."""
    import torch

    import rightfit

    many, package = torch.get_num_threads(), rightfit.load(place / "small")
    slow, record = eager(place, made), package.sample[0]
    ways: dict[str, Callable[[], Any]] = {
        "eager_1_ms": slow, "eager_all_ms": slow, "delivered_ms": delivered(place, 1),
        "delivered_all_ms": delivered(place, many), "package_ms": lambda: package.predict_one(record)}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, ask in ways.items():
            torch.set_num_threads(1 if name == "eager_1_ms" else many)
            some = [clocked(ask) for _ in range(CALLS if turn else WARM)]
            taken[name] += some if turn else []
    torch.set_num_threads(many)
    found = {name: statistics.median(values) for name, values in taken.items()}
    return {**found, "threads": many, "times_faster_1": found["eager_1_ms"] / found["delivered_ms"],
            "times_faster": min(found["eager_1_ms"], found["eager_all_ms"])
            / min(found["delivered_ms"], found["delivered_all_ms"])}


def clocked(ask: Callable[[], Any]) -> float:
    """Milliseconds of one call."""
    begun = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - begun)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The geometric mean over the counted networks that were timed, and the worst loss."""
    some = [row for row in rows if row["network"] in COUNTED]
    return {"network": f"geometric mean of {len(some)}", "goal": GOAL, "peers": "",
            **{name: statistics.geometric_mean([float(row[name]) for row in some])
               for name in ("times_faster", "times_faster_1")},
            "loss": max(float(row["loss"]) for row in some)}


def main(arguments: list[str] | None = None) -> None:
    """Prepare or time; each network is kept as soon as it is done."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("part", choices=("prepare", "time"))
    words.add_argument("networks", nargs="*", metavar="network", help=", ".join(MAKERS))
    words.add_argument("--weights", action="append", default=[], help="a folder of pretrained weights")
    words.add_argument("--work", type=Path, default=Path("latency-work"))
    words.add_argument("--out", type=Path, default=common.RESULTS)
    given = words.parse_args(arguments)
    for name in given.networks or MAKERS:
        place = given.work / name
        if given.part == "prepare" and not (place / "made.json").exists():
            place.mkdir(parents=True, exist_ok=True)
            found = {"network": name, **MAKERS[name](name, place, tuple(given.weights)), "peers": PEERS.get(name, "")}
            (place / "made.json").write_text(json.dumps(found), encoding="utf-8")
            common.show(found)
        elif given.part == "time":
            made = json.loads((place / "made.json").read_text(encoding="utf-8"))
            row = {k: v for k, v in made.items() if k not in ("path", "wide", "outputs")} | timed(place, made)
            kept = [r for r in common.read_csv("delivered_latency", given.out)
                    if r["network"] != name and not r["network"].startswith("geometric mean")]
            common.show(row)
            every = [*kept, row]
            counted = any(r["network"] in COUNTED for r in every)
            common.write_csv("delivered_latency", [*every, *([summary(every)] if counted else [])], given.out)


if __name__ == "__main__":
    main()
