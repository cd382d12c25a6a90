"""Candidates get what they need in a process apart, and in the end the same as here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rightfit.engines.jobs import Outcome
from rightfit.records import Need, Task
from rightfit.resources import hub
from rightfit.tuning import prepare

TASK = Task(modality="image", problem="binary", target=("y",), metric="accuracy", classes=("a", "b"))


class Pool:
    """Runs a job where it is submitted."""

    def __init__(self, state: str = "ok") -> None:
        self.state, self.jobs, self.done = state, list[Any](), list[Outcome]()

    def submit(self, job: Any) -> None:
        self.jobs.append(job)
        result = prepare.run(job.payload, 0.0) if self.state == "ok" else None
        self.done = [Outcome(key="another", state="ok"), Outcome(key=job.key, state=self.state, result=result)]

    def wait(self, timeout: float) -> list[Outcome]:
        return self.done


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RIGHTFIT_WEIGHTS", "TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.reachable.cache_clear()


@pytest.mark.parametrize("state", ["ok", "crashed"])
def test_a_process_apart_answers_as_this_one(state: str, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    wishes = [("hog", {"cells": 4}), ("mobilenet", {"network": "mobilenetv3_small_050", "pretrained": False}),
              ("mobilenet", {"network": "mobilenetv2_100", "pretrained": True})]
    need, pool = Need(weights=(str(tmp_path),)), Pool(state)
    found = prepare.apart(pool)(wishes, TASK, need)
    assert found == prepare.here(wishes, TASK, need)
    assert found[0] == {"cells": 4}
    assert "hf download timm/mobilenetv2_100" in str(found[2])
    assert len(pool.jobs) == 1 and len(pool.jobs[0].payload["wishes"]) == 2


def test_what_only_the_hub_has_is_fetched_here(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    monkeypatch.setattr(hub, "reachable", lambda: True)
    monkeypatch.setattr(prepare, "run", lambda payload, deadline: {"found": ["the hub cannot be reached"]})
    monkeypatch.setattr(prepare, "_one", lambda name, *rest: {"fetched": name})
    wish = ("mobilenet", {"network": "mobilenetv2_100", "pretrained": True})
    assert prepare.apart(Pool())([wish], TASK, Need()) == [{"fetched": "mobilenet"}]


def test_where_nothing_has_to_be_prepared_no_process_is_asked() -> None:
    pool = Pool()
    assert prepare.apart(pool)([("hog", {})], TASK, Need()) == [{}]
    assert pool.jobs == []


def test_torch_stays_in_the_process_apart(tmp_path: Path) -> None:
    """Four hundred MiB that the program itself never needs."""
    pytest.importorskip("timm")
    code = f"""
import sys
from rightfit.engines.local import Pool
from rightfit.records import Need, Task
from rightfit.tuning import prepare
if __name__ == "__main__":
    task = Task(modality="image", problem="binary", target=("y",), metric="accuracy", classes=("a", "b"))
    wish = ("mobilenet", {{"network": "mobilenetv2_100", "pretrained": True}})
    with Pool(1, preload=()) as pool:
        print(prepare.apart(pool)([wish], task, Need(weights=({str(tmp_path)!r},))), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "hf download timm/mobilenetv2_100" in done.stdout and done.stdout.endswith("False\n"), done.stderr


def test_a_hub_that_does_not_answer_is_out_of_reach() -> None:
    """In a program that has loaded nothing else, as a run is when it asks."""
    pytest.importorskip("huggingface_hub")
    code = "from rightfit.resources import hub; print(hub.reachable())"
    around = {**os.environ, "HF_HUB_OFFLINE": "", "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=around)
    assert done.stdout == "False\n", done.stderr


def test_the_fork_server_knows_every_plugin_and_none_of_what_only_some_need() -> None:
    code = """if True:
        import sys
        import rightfit.tuning.preload
        from rightfit import registry
        before = set(sys.modules)
        for package in rightfit.tuning.preload.PLUGINS:
            registry.plugins(package)
        late = sorted(name for name in set(sys.modules) - before if name.startswith("rightfit"))
        print(late, sorted({"torch", "transformers", "tensorflow"} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[] []\n", done.stdout + done.stderr
