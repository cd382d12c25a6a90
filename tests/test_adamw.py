"""The fused step agrees with torch.optim, and does not bring the compiler with it."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")


def test_it_steps_as_torch_optim_does():
    from rightfit.models._nn.adamw import AdamW

    def net():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 2))

    ours, theirs = net().to(memory_format=torch.channels_last), net().to(memory_format=torch.channels_last)
    theirs[2].weight.requires_grad_(False)
    ours[2].weight.requires_grad_(False)
    decayed = [[{"params": list(n[0].parameters()), "weight_decay": 0.1}, {"params": list(n[2].parameters()),
                                                                         "weight_decay": 0.0}] for n in (ours, theirs)]
    mine, reference = AdamW(decayed[0], lr=1e-2), torch.optim.AdamW(decayed[1], lr=1e-2)
    x = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for step in range(6):
        for n, optimiser in ((ours, mine), (theirs, reference)):
            optimiser.param_groups[0]["lr"] = 1e-2 / (step + 1)
            optimiser.zero_grad(set_to_none=step % 2 == 0)
            n(x).square().sum().backward()
            optimiser.step()
    before = net()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6), name
    assert torch.equal(ours[2].weight, before[2].weight) and not torch.equal(ours[0].weight, before[0].weight)


def test_training_does_not_import_the_compiler():
    program = ("import sys, torch\nfrom rightfit.models._nn import steps\nn = torch.nn.Linear(2, 1)\n"
               "o = steps.optimiser(n, {})\nn(torch.ones(1, 2)).sum().backward()\n"
               "before = n.weight.detach().clone()\n[g.update(lr=0.1) for g in o.param_groups]\no.step()\n"
               "assert not torch.equal(before, n.weight)\nprint('torch._dynamo' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
