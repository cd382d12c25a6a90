"""A pretrained encoder as it is: embeddings averaged over layers and words, computed once, and a head on them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rightfit.models.text import _encoder, _net
from rightfit.models.text._grams import join
from rightfit.records import Dataset, Dimension, Facts, Family, Task

# The last layer beside the average of all: by cross-validation on SST-2 +1.0 points over the last layer alone, on
# Banking77 +0.1 (MiniLM, linear head); averaging over layers: Huang et al. 2021 (WhiteningBERT).
DEFAULTS: Mapping[str, Any] = {
    "encoder": _encoder.ENCODER, "head": "linear", "layers": 0, "join": True, "l2": "auto", "neighbours": 20,
    "max_length": 128,
}
SHARE = 0.8  # of the time that is left, for embedding; the head gets the rest


class Frozen(_net.TextModel):
    """Embeddings of the checkpoint in params["checkpoint"], and a linear, SVM, hidden-layer or k-NN head on them."""

    name = "tokens"

    def __init__(self, task: Task, params: Mapping[str, Any], random: bool = False) -> None:
        # What random weights make of a text is kept under a name of its own: it is no feature of the checkpoint's.
        own = {"fingerprint": f"random-{uuid.uuid4().hex}"} if random else {}
        super().__init__(task, {**params, **own}, lambda ids, outputs, params: None)
        self.random = random
        self.head: Any = None
        self.encoder: Any = None

    def vectorise(self, texts: Sequence[str]) -> _net.Vectoriser:
        """The checkpoint's own tokens."""
        return _encoder.tokens(texts, self.params)

    def begin(self, outputs: int, seed: int) -> Any:
        """Nothing yet: the encoder is loaded when a text is not in the cache."""
        return None

    def loaded(self) -> Any:
        """The encoder from ids to features, loaded once."""
        if self.encoder is None:
            self.encoder = _encoder.module(_encoder.load(self.params["checkpoint"], random=self.random), self.params)
        return self.encoder

    def fit(self, data: Dataset, *, seed: int, deadline: float) -> Frozen:
        """Embed the texts, in an order drawn from the seed, and fit the head on those done in time."""
        from rightfit.models._nn import head
        from rightfit.models._nn.device import limited
        from rightfit.models._nn.loop import seeded

        texts = self.prepared(data, seed)
        assert self.target is not None
        order = np.random.default_rng(seed).permutation(len(texts))
        until = time.monotonic() + SHARE * (deadline - time.monotonic())
        features, done = _encoder.embed(self.words.ids([texts[at] for at in order]), self.params, self.loaded, until)
        seen = order[done]
        target = _net.Target.of(np.asarray(data.y)[seen], self.task)
        self.target = target
        weight = None if data.weight is None else np.asarray(data.weight, dtype=np.float64)[seen]
        groups = None if data.groups is None else np.asarray(data.groups)[seen]
        rows = head.Problem(X=features, y=target.y, weight=weight, groups=groups)
        with limited(), seeded(seed):
            self.head, learned = head.fit(str(self.params["head"]), rows, self.params, self.task, seed=seed,
                                          deadline=deadline)
        self.head.eval()
        self.learned = {name: value for name, value in learned.items() if name in DEFAULTS}
        return self

    def predict(self, X: Any) -> Any:
        """(n, k) probabilities in the order of task.classes; values (n,), or (n, k) when y had columns."""
        import torch

        from rightfit.models._nn.device import limited
        from rightfit.models._nn.loop import finish

        self.net = self.net or self.head
        if self.head is None or self.target is None or not len(X):
            return super().predict(X)
        features, _ = _encoder.embed(self.words.ids(join(X, self.columns)), self.params, self.loaded)
        with limited(), torch.inference_mode():
            logits = np.concatenate([self.head(torch.from_numpy(features[at:at + 1024])).numpy()
                                     for at in range(0, len(features), 1024)]).astype(np.float64)
        out = finish(logits * self.target.scale + self.target.shift, self.task)
        return out[:, 0] if self.flat else out

    def save(self, folder: Any) -> dict[str, Any]:
        """Write vectoriser.json and model.onnx, encoder and head in one graph; returns the meta of `text`."""
        if self.head is not None:
            import torch

            self.net = torch.nn.Sequential(self.loaded(), self.head)
        return super().save(folder)


def build(params: Mapping[str, Any], task: Task) -> Frozen:
    """An unfitted head on a frozen encoder."""
    return Frozen(task, {**DEFAULTS, **params})


def untrained(params: Mapping[str, Any], task: Task, data: Dataset) -> Frozen:
    """Encoder and head of the same cost with random weights."""
    from rightfit.models._nn import head

    model = Frozen(task, {**DEFAULTS, **params}, random=True)
    model.prepared(data, 0)
    assert model.target is not None
    model.head = head.constant(model.target.y, None, _encoder.width(model.params), task)
    return model


SPEC = Family(
    name="frozen_encoder", modality="text", problems=_net.PROBLEMS, build=build,
    facts=Facts(year=2019, paper="Devlin et al. 2019, BERT; sentence embeddings: Reimers & Gurevych 2019, Sentence-"
                                 "BERT; average over layers: Huang et al. 2021, WhiteningBERT",
                licence="Apache-2.0 (the checkpoint's own licence counts)", framework="transformers",
                good_at="few texts, many classes, intents, topics; trains in seconds once texts are embedded",
                bad_at="what the encoder does not tell apart, languages it has not read; milliseconds a text",
                pretrained=f"{_encoder.ENCODER} (Apache-2.0, 91 MB) unless another checkpoint is named"),
    space={"head": Dimension(choices=("linear", "svm", "mlp", "knn")), "join": Dimension(choices=(True, False)),
           "layers": Dimension(choices=(0, 1, 4))},
    defaults=DEFAULTS, variants=({"head": "svm"}, {"head": "mlp"}, {"head": "knn"}),
    handles=frozenset({"weights", "text"}),
    seconds=lambda task: 8.0 + 5e-3 * task.rows, requires=("torch", "transformers", "tokenizers"),
    prepare=_encoder.prepare, untrained=untrained, rank=12, rung=0.25)
