"""A pretrained encoder fine-tuned on the task: all its weights, or low-rank additions to them (LoRA)."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rightfit.errors import Unavailable, UsageError
from rightfit.models.text import _encoder, _net
from rightfit.records import Dataset, Dimension, Facts, Family, Need, Task

# A body rate of 1e-4 suits small encoders (Devlin et al. 2019: 5e-5 for BERT-base); the head starts where the frozen
# encoder's ends, so that fine-tuning does not begin by spoiling the features (Kumar et al. 2022). MiniLM, 1,500 rows
# of Banking77, 770 test rows: 86.9 % in full, 86.4 % by LoRA, 85.6 % frozen with a linear head.
DEFAULTS: Mapping[str, Any] = {
    "encoder": _encoder.ENCODER, "method": "auto", "layers": 1, "join": False, "warm_head": True, "l2": 1e-4,
    "max_length": 128, "dropout": 0.1, "weight_decay": 0.01, "learning_rate": 5e-4, "backbone_rate": 0.2, "batch": 32,
    "epochs": 3, "schedule": "cosine", "warmup": 0.1, "clip": 1.0, "label_smoothing": 0.0, "early_stopping": True,
    "patience": 2, "rank": 8, "alpha": 16,
}
METHODS = ("auto", "full", "lora")
FULL_BYTES = 20  # a weight: itself, its gradient, two moments of AdamW, and the copy of the best so far
MEMORY_SHARE = 0.25  # of this machine's memory for that: trials run side by side, and activations come on top
WARM_SHARE = 0.4  # of the time that is left, for the head's start


class Tuned(_net.TextModel):
    """A network that begins with the weights of params["checkpoint"]."""

    name = "tokens"

    def __init__(self, task: Task, params: Mapping[str, Any], random: bool = False) -> None:
        super().__init__(task, params, _make)
        if self.params["method"] not in METHODS:
            raise UsageError(f"method must be one of {', '.join(METHODS)}; got method={self.params['method']!r}.")
        self.random = random
        if self.params["method"] == "auto":
            self.params["method"] = method(self.params["checkpoint"])

    def vectorise(self, texts: Sequence[str]) -> _net.Vectoriser:
        """The checkpoint's own tokens."""
        return _encoder.tokens(texts, self.params)

    def begin(self, outputs: int, seed: int) -> Any:
        """The checkpoint's network under a head that is drawn from the seed, with LoRA's additions where they are due.
        """
        from rightfit.models._nn.loop import seeded

        with seeded(seed):
            body = _encoder.module(_encoder.load(self.params["checkpoint"], random=self.random), self.params)
            lora = self.params["method"] == "lora"
            return _make(outputs, _encoder.width(self.params),
                         {**self.params, "body": body, "adapter": _adapted(body, self.params) if lora else None})

    def end(self, net: Any) -> Any:
        """The additions are added: what is served is a plain network."""
        if net.adapter:
            net.body.net = net.adapter.pop().merge_and_unload()
            self.params.pop("head_only", None)
        return net

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> Tuned:
        """Learn from labelled rows; stops by `deadline` (time.monotonic seconds) with the best so far."""
        if self.params["method"] == "lora":
            self.params["head_only"] = True  # the loop trains the last stage alone, and there the additions are
        super().fit(data, seed=seed, deadline=deadline)
        return self

    def start(self, rows: _net.TextRows, seed: int, deadline: float) -> None:
        """The head starts as that of the frozen encoder, fitted without the rows that early stopping looks at."""
        from rightfit.models._nn import steps

        if not self.params["warm_head"] or len(rows) < _encoder.FEWEST or time.monotonic() >= deadline:
            return
        random = np.random.default_rng(seed)
        inner = steps.inner_split(rows, self.task, random) if self.params["early_stopping"] else None
        train = rows if inner is None else rows.take(inner[0])
        order = np.random.default_rng(seed).permutation(len(train))
        self._warm(train.take(order), seed, time.monotonic() + WARM_SHARE * (deadline - time.monotonic()))

    def _warm(self, rows: _net.TextRows, seed: int, deadline: float) -> None:
        import torch

        from rightfit.models._nn import head
        from rightfit.models._nn.device import limited

        def fresh() -> Any:
            return _encoder.module(_encoder.load(self.params["checkpoint"]), self.params)

        features, done = _encoder.embed(rows.ids, self.params, fresh, deadline)
        seen = rows.take(done)
        centre, spread = features.mean(axis=0), features.std(axis=0)
        spread = np.maximum(spread, 0.1 * float(spread.mean()) + 1e-12)
        problem = head.Problem(X=((features - centre) / spread).astype(np.float32), y=seen.y, weight=seen.weight)
        with limited(), torch.no_grad():
            start, _ = head.fit("linear", problem, {"l2": self.params["l2"]}, self.task, seed=seed, deadline=deadline)
            self.net.centre.copy_(torch.from_numpy(centre))
            self.net.spread.copy_(torch.from_numpy(spread))
            self.net.head.load_state_dict(start.state_dict())


def _adapted(body: Any, params: Mapping[str, Any]) -> Any:
    """peft's model around body.net, with additions to every linear layer (Dettmers et al. 2023)."""
    import peft

    with _encoder.quiet():
        return peft.get_peft_model(body.net, peft.LoraConfig(
            r=int(params["rank"]), lora_alpha=int(params["alpha"]), lora_dropout=float(params["dropout"]),
            target_modules="all-linear"))


def _make(outputs: int, width: int, params: Mapping[str, Any]) -> Any:
    import torch

    body, adapter = params["body"], params["adapter"]

    class Classified(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Encoder, dropout, linear. `adapter`: a list of the peft model where there is one."""

        def __init__(self) -> None:
            super().__init__()
            self.body, self.drop, self.head = body, torch.nn.Dropout(float(params["dropout"])), torch.nn.Linear(
                width, outputs)
            self.adapter = [adapter] if adapter is not None else []
            self.centre: Any
            self.spread: Any
            self.register_buffer("centre", torch.zeros(width))
            self.register_buffer("spread", torch.ones(width))

        def stages(self) -> list[Any]:
            """From the embeddings to the head; with LoRA all that is frozen, then all that learns."""
            if self.adapter:
                added = [m for name, m in self.body.named_modules() if name.rpartition(".")[2] in ("lora_A", "lora_B")]
                return [torch.nn.Identity(), torch.nn.ModuleList([*added, self.head])]
            lists = [list(m) for m in self.body.modules() if isinstance(m, torch.nn.ModuleList)]
            layers = max(lists, key=len, default=[])
            below = getattr(self.body.net, "embeddings", None)
            return [*([below] if below is not None else []), *layers, self.head]

        def forward(self, X: Any) -> Any:
            return self.head(self.drop((self.body(X) - self.centre) / self.spread))

    return Classified()


def method(folder: str | Path) -> str:
    """full, or lora where training all weights of the checkpoint would take too much of this machine's memory."""
    import psutil

    from rightfit.models._nn import weights

    shapes = weights.shapes(Path(folder) / "model.safetensors").values()
    needed = FULL_BYTES * sum(float(np.prod(shape)) for shape in shapes)
    return "full" if needed <= MEMORY_SHARE * psutil.virtual_memory().total else "lora"


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> dict[str, Any]:
    """As `_encoder.prepare`; `method` auto becomes full or lora. Raises Unavailable, also where peft is missing."""
    found = _encoder.prepare(params, task, need)
    if found.get("method", "auto") == "auto":
        found["method"] = method(found["checkpoint"])
    if found["method"] == "lora" and importlib.util.find_spec("peft") is None:
        raise Unavailable("LoRA needs the library peft; got method='lora' without it, install it: pip install peft.")
    return found


def build(params: Mapping[str, Any], task: Task) -> Tuned:
    """An encoder about to be fine-tuned."""
    return Tuned(task, {**DEFAULTS, **params})


def untrained(params: Mapping[str, Any], task: Task, data: Dataset) -> Tuned:
    """A network of the same cost with random weights."""
    model = Tuned(task, {**DEFAULTS, **params, "method": "full"}, random=True)
    model.prepared(data, 0)
    return model


SPEC = Family(
    name="bert", modality="text", problems=_net.PROBLEMS, build=build,
    facts=Facts(year=2019, paper="Devlin et al. 2019, BERT; LoRA: Hu et al. 2022; head first: Kumar et al. 2022",
                licence="Apache-2.0 (the checkpoint's own licence counts)", framework="transformers",
                good_at="the best quality on texts, where there is time to train",
                bad_at="minutes on a CPU even for small encoders; milliseconds a text",
                pretrained=f"{_encoder.ENCODER} (Apache-2.0, 91 MB) unless another checkpoint is named"),
    space={"learning_rate": Dimension(low=2e-4, high=3e-3, log=True),
           "backbone_rate": Dimension(low=0.02, high=0.3, log=True), "epochs": Dimension(low=1, high=5, whole=True),
           "dropout": Dimension(low=0.0, high=0.4), "weight_decay": Dimension(low=1e-3, high=0.1, log=True),
           "method": Dimension(choices=("full", "lora"))},
    defaults=DEFAULTS, variants=({"method": "lora", "learning_rate": 1e-3},),
    regularisers=("dropout", "weight_decay"), handles=frozenset({"weights", "text", "nonlinear"}),
    seconds=lambda task: 15.0 + 4e-2 * task.rows, requires=("torch", "transformers", "tokenizers"),
    prepare=prepare, untrained=untrained, rank=20, rung=0.25, haste=0.5, paced=True)
