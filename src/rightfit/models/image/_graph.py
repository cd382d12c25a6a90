"""The torch modules around a network, so that one graph maps uint8 pixels to final answers; and how it is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rightfit.models._nn.device import threads
from rightfit.records import Task

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CHUNK = 32


def pictured(body: Any, parts: Sequence[Any], side: int, mean: Sequence[float], std: Sequence[float]) -> Any:
    """A net from pixels (n, size, size, 3), uint8 or float 0..255, to what `body` makes of (n, 3, side, side).

    Pixels are brought to `side` by bilinear interpolation where they differ. `parts`: its stages from input to head.
    """
    import torch

    class Pictured(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Cast, resize, normalise, network."""

        scale: Any
        shift: Any

        def __init__(self) -> None:
            super().__init__()
            self.body = body
            m, s = (torch.tensor(v, dtype=torch.float32).view(1, 3, 1, 1) for v in (mean, std))
            self.register_buffer("scale", 1 / (255 * s))
            self.register_buffer("shift", -m / s)

        def stages(self) -> list[Any]:
            """From input to head."""
            return list(parts)

        def forward(self, x: Any) -> Any:
            x = x.permute(0, 3, 1, 2).float()
            if x.shape[2] != side or x.shape[3] != side:
                x = torch.nn.functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
            return self.body(x * self.scale + self.shift)

    return Pictured()


def example(size: int) -> Any:
    """Two black pictures uint8 (2, size, size, 3), to trace networks with."""
    import torch

    return torch.zeros(2, size, size, 3, dtype=torch.uint8)


def answering(net: Any, task: Task, mean: Any = None, scale: Any = None) -> Any:
    """The net followed by softmax, sigmoid, or the mean (k,) and scale (k,) of the targets."""
    import torch

    class Answer(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """Logits to final answers."""

        scale: Any
        mean: Any

        def __init__(self) -> None:
            super().__init__()
            self.net = net
            if not task.classifies:
                self.register_buffer("scale", torch.tensor(np.atleast_1d(scale), dtype=torch.float32))
                self.register_buffer("mean", torch.tensor(np.atleast_1d(mean), dtype=torch.float32))

        def forward(self, x: Any) -> Any:
            out = self.net(x)
            if task.problem == "multilabel":
                return torch.sigmoid(out)
            return torch.softmax(out, dim=1) if task.classifies else out * self.scale + self.mean

    return Answer()


def runner(content: bytes) -> Callable[[Any], Any]:
    """A function from pixels (n, size, size, 3) to float32 (n, k): an exported graph on ONNX Runtime, in chunks."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads(), 1, 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(X: Any) -> Any:
        return np.concatenate([session.run(["Y"], {"X": X[at:at + CHUNK]})[0] for at in range(0, len(X), CHUNK)])

    return run
