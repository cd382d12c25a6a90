"""For tests that look at what surrounds a race: trials run in this process, packages are measured in it, briefly."""

import sys

import rightfit.choose
from rightfit.delivery import deliver, prove
from rightfit.engines.inline import Inline
from rightfit.package.probe import quick


def light(patch):
    """No process is started; `tests/test_deliver.py` and `tests/test_probe.py` look at fresh ones."""
    patch.setattr(sys.modules["rightfit.choose"], "_pool", lambda source, need: Inline())
    patch.setattr(prove, "PROBES", 1)
    for module in (prove, deliver):
        patch.setattr(module, "probe", lambda path, **more: quick(path, seconds=0.002))


__all__ = ["light", "rightfit"]
