"""Where networks are trained, in which precision, and on how many threads."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

GAIN = 1.3  # autocast casts and copies: less of a gain in the probe is none in a network
REPEATS = 5


def device() -> Any:
    """The torch device to train on: CUDA when present, else the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def threads() -> int:
    """Threads of one fit: RIGHTFIT_THREADS, else 1, because as many trials run as there are cores."""
    said = os.environ.get("RIGHTFIT_THREADS", "")
    return max(int(said), 1) if said.isdigit() else 1


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Within it, torch computes on `threads()` threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def precision() -> str:
    """"bf16" where a probe of about 50 ms says that autocast makes this host clearly faster, else "fp32"."""
    import torch

    if device().type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    flags = torch.backends.cpu.get_cpu_capability() if hasattr(torch.backends, "cpu") else ""
    if "AMX" not in flags and "AVX512" not in flags:  # emulated bfloat16 is slower, no need to measure it
        return "fp32"
    random = torch.Generator().manual_seed(0)
    x = torch.randn(4, 32, 24, 24, generator=random).contiguous(memory_format=torch.channels_last)
    w = torch.randn(64, 32, 3, 3, generator=random).contiguous(memory_format=torch.channels_last)

    def once(kind: Any) -> float:
        a, b = x.to(kind), w.to(kind)
        best = float("inf")
        for _ in range(REPEATS):
            start = time.perf_counter()
            torch.nn.functional.conv2d(a, b)
            best = min(best, time.perf_counter() - start)
        return best

    with limited(), torch.no_grad():
        return "bf16" if once(torch.float32) > GAIN * once(torch.bfloat16) else "fp32"


def autocast(enabled: bool = True) -> Any:
    """A context in which torch computes in `precision()`, or in full when not enabled."""
    import torch

    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=enabled and precision() == "bf16")


def suits(net: Any) -> tuple[bool, bool]:
    """(autocast, channels last): how this net trains fastest here.

    On a CPU mobile nets (depthwise convolutions with batch norm) took 2.9 ms a picture in full precision and channels
    last, 7 ms in bfloat16; residual nets 19 ms in bfloat16 and channels first, 33 to 39 ms in full precision.
    """
    import torch

    kinds = list(net.modules())
    images = any(isinstance(m, torch.nn.Conv2d) for m in kinds)
    if device().type == "cuda":
        return True, images
    mobile = any(isinstance(m, torch.nn.Conv2d) and m.groups == m.in_channels > 1 for m in kinds) and any(
        isinstance(m, torch.nn.BatchNorm2d) for m in kinds)
    return not mobile, mobile or (images and precision() != "bf16")
