"""`rightfit doctor`: the facts, what they mean, and no lie about a noisy machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rightfit.resources import health

BOX = {"cpu": "Some CPU", "cores": 2, "cores_total": 2, "memory_mib": 8000.0, "flags": ["avx2"], "gpus": [],
       "python": "3.11", "platform": "Linux", "architecture": "x86_64"}
FACTS: dict[str, Any] = {"machine": BOX, "available_mib": 6000.0, "disk_free_mib": 50_000.0, "gpus": [], "threads": {},
                         "load_1m": 0.1, "noise": 0.02, "versions": {"numpy": "2", "torch": "2"}}


def said(**changes: Any) -> str:
    box = {**BOX, **{name: changes.pop(name) for name in list(changes) if name in BOX and name != "gpus"}}
    return " ".join(health.meaning({**FACTS, **changes, "machine": box}))


@pytest.mark.parametrize(("changes", "sentence"), [
    ({}, "2 trials run side by side"),
    ({"cores": 1, "cores_total": 1}, "One trial runs at a time"),
    ({"cores_total": 64}, "allows 2 of 64 cores"),
    ({"threads": {"OMP_NUM_THREADS": "16"}}, "OMP_NUM_THREADS=16 asks for more threads"),
    ({"flags": ["avx2", "avx512_vnni"]}, "8-bit models pay here"),
    ({"flags": ["avx2"]}, "hardly faster"),
    ({"flags": ["avx2", "amx_bf16"]}, "bfloat16"),
    ({"flags": []}, "Without AVX2"),
    ({"available_mib": 900.0}, "Only 900 MiB of memory"),
    ({"disk_free_mib": 100.0}, "Only 100 MiB of disk"),
    ({}, "There is no GPU"),
    ({"gpus": [{"name": "H100", "memory_mib": 81559.0}]}, "H100 (81559 MiB) can train"),
    ({"versions": {"numpy": "2"}}, "rightfit[deep]"),
    ({"noise": 0.02}, "The machine is quiet (2% lost)"),
    ({"noise": 0.4}, "The machine is noisy (40% of the time"),
])
def test_every_fact_says_what_follows(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in said(**changes)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({}, "allows"), ({"threads": {"OMP_NUM_THREADS": "2"}}, "asks for more"), ({}, "MiB of memory are free"),
    ({"gpus": [{"name": "H100", "memory_mib": None}]}, "no GPU"), ({"noise": 0.4}, "quiet"),
    ({"architecture": "aarch64", "flags": ["neon"]}, "VNNI")])
def test_nothing_is_said_that_does_not_hold(changes: dict[str, Any], sentence: str) -> None:
    assert sentence not in said(**changes)


def test_the_facts_of_this_machine_are_plain_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = health.examine(tmp_path, seconds=0.02)
    assert json.loads(json.dumps(found)) == found
    assert found["threads"]["OMP_NUM_THREADS"] == "1" and 0 <= found["noise"] < 1 and found["disk_free_mib"] > 0
    assert found["machine"]["cores"] >= 1 and found["versions"]["numpy"] and found["meaning"]
    lines = health.text(found).splitlines()
    assert lines[0].startswith("processor") and "What that means:" in lines
    assert [line[2:] for line in lines if line.startswith("- ")] == found["meaning"]


def test_devices_from_the_driver_where_there_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)  # machine() would ask it
    place = tmp_path / "proc/driver/nvidia/gpus/0000:01"
    place.mkdir(parents=True)
    (place / "information").write_text("Model: \t NVIDIA T4\nIRQ: 5\n")
    assert health.gpus(tmp_path) == [{"name": "NVIDIA T4", "memory_mib": None}]


@pytest.mark.parametrize(("text", "found"), [
    ("", []), ("A, B, 100\nC, [N/A]\n", [{"name": "A, B", "memory_mib": 100.0}, {"name": "C", "memory_mib": None}])])
def test_what_nvidia_smi_prints(text: str, found: list[dict[str, Any]]) -> None:
    assert health.parsed(text) == found


def test_text_by_default_and_json_by_flag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from rightfit.cli.doctor import doctor

    facts = {**FACTS, "meaning": ["A sentence."]}
    monkeypatch.setattr(health, "examine", lambda: facts)
    doctor(as_json=False)
    text = capsys.readouterr().out
    assert "2 allowed of 2" in text and text.endswith("- A sentence.\n")
    doctor(as_json=True)
    assert json.loads(capsys.readouterr().out) == facts
