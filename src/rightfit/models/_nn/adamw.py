"""AdamW on torch's own fused kernel, without the compiler that torch.optim imports on first use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class AdamW:
    """AdamW (Loshchilov & Hutter 2019) over parameter groups; `param_groups` holds params, lr and weight_decay of each.

    torch.optim.AdamW computes the same with the same kernel, but its first use imports torch._dynamo, which takes
    seconds in every trial; a test holds the two equal. Parameters without a gradient are left as they are.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], lr: float, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8) -> None:
        self.param_groups = [{"lr": lr, **group} for group in groups]
        self._betas, self._eps = betas, eps
        self._state: dict[Any, tuple[Any, Any, Any]] = {}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.zero_()

    def step(self) -> None:
        """One step along the gradients that are there."""
        import torch

        with torch.no_grad():
            for group in self.param_groups:
                params = [p for p in group["params"] if p.grad is not None]
                if not params:
                    continue
                state = [self._of(p) for p in params]
                steps = [s[2] for s in state]
                torch._foreach_add_(steps, 1)
                torch._fused_adamw_(params, [p.grad for p in params], [s[0] for s in state], [s[1] for s in state],
                                    [], steps, lr=group["lr"], beta1=self._betas[0], beta2=self._betas[1],
                                    weight_decay=group["weight_decay"], eps=self._eps, amsgrad=False, maximize=False)

    def state_dict(self) -> dict[str, Any]:
        """The moments and the number of steps of each parameter in order, None where there was no step yet."""
        return {"moments": [self._state.get(p) for group in self.param_groups for p in group["params"]]}

    def load_state_dict(self, found: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave for parameters of the same shapes."""
        every = [p for group in self.param_groups for p in group["params"]]
        self._state = {p: (first.to(p.device), second.to(p.device), steps.to(p.device))
                       for p, moments in zip(every, found["moments"], strict=True) if moments is not None
                       for first, second, steps in [moments]}

    def _of(self, p: Any) -> tuple[Any, Any, Any]:
        import torch

        if p not in self._state:
            self._state[p] = (torch.zeros_like(p, memory_format=torch.preserve_format),
                              torch.zeros_like(p, memory_format=torch.preserve_format),
                              torch.zeros((), dtype=torch.float32, device=p.device))
        return self._state[p]
