"""What tests share; the cache is their own, so that none reads or leaves anything in that of whoever runs them."""

import importlib

import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def light():
    """A function of a MonkeyPatch: trials run in this process, and packages are measured in it, briefly.

    For tests that look at what surrounds a race; `test_deliver.py` and `test_probe.py` look at fresh processes.
    """
    from rightfit.delivery import deliver, prove
    from rightfit.engines.inline import Inline
    from rightfit.package.probe import quick

    def patch(monkeypatch):
        choosing = importlib.import_module("rightfit.choose")
        monkeypatch.setattr(choosing, "_pool", lambda source, need: Inline())
        monkeypatch.setattr(prove, "PROBES", 1)
        for module in (prove, deliver):
            monkeypatch.setattr(module, "probe", lambda path, **more: quick(path, seconds=0.002))

    return patch
