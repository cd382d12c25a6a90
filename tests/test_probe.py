"""Measuring a package: fresh process, honest names, known delays are found, failures are sentences."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rightfit.errors import PackageError
from rightfit.package import probe as probing
from rightfit.package.write import zip_package
from rightfit.resources import measure

_spec = importlib.util.spec_from_file_location("toy_package", Path(__file__).with_name("toy_package.py"))
assert _spec and _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)
NAMES = {"latency_p50_ms", "latency_p95_ms", "latency_p95_high_ms", "latency_p99_ms", "memory_mib", "size_mib",
         "throughput_per_s", "load_s", "noisy"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: Any) -> Path:
    path: Path = toy.package(tmp_path_factory.mktemp("probe") / "package")
    return path


def test_a_fresh_process_measures_everything(package: Path) -> None:
    found = probing.probe(package, repeats=3)
    assert found.keys() == NAMES and all(type(value) is float for value in found.values())
    assert 0 < found["latency_p50_ms"] <= found["latency_p95_ms"] <= found["latency_p99_ms"] < 50
    assert found["latency_p95_high_ms"] >= found["latency_p95_ms"]
    assert 20 < found["memory_mib"] < 200, "the interpreter, numpy and the runtime are in it, this test process is not"
    assert found["size_mib"] == sum(p.stat().st_size for p in package.iterdir()) / 2**20
    assert found["throughput_per_s"] > 1000 and 0 < found["load_s"] < 20 and found["noisy"] in (0.0, 1.0)


def test_blocks_end_with_the_time_for_them() -> None:
    calls: list[Any] = []

    def call(row: Any) -> None:
        calls.append(row)
        time.sleep(0.01)

    slow = probing.latency(call, [{}], limit_s=0.5)
    assert 40 <= len(calls) <= 220 and slow["latency_p50_ms"] >= 10


def test_given_records_are_what_is_measured(package: Path, tmp_path: Path) -> None:
    assert probing.probe(package, repeats=2, records=toy.records(3)).keys() == NAMES
    with pytest.raises(PackageError, match="0 rows"):
        probing.probe(package, records=[])


def test_rows_that_break_the_schema_and_damaged_packages_are_sentences(package: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="column"):
        probing.probe(package, records=[{"other": 1}])
    with pytest.raises(PackageError, match="does not exist"):
        probing.probe(tmp_path / "absent")


def test_a_measurement_that_does_not_end(package: Path) -> None:
    with pytest.raises(PackageError, match="within"):
        probing.probe(package, timeout=0.05)


def test_a_process_that_dies(package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    killer = tmp_path / "killer"
    killer.write_text("#!/bin/sh\nkill -9 $$\n")
    killer.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(killer))
    with pytest.raises(PackageError, match="survive being measured; got exit=-9"):
        probing.probe(package)


def test_zips_are_measured_by_their_own_size(package: Path, tmp_path: Path) -> None:
    path = zip_package(package, tmp_path / "p.zip")
    assert probing.quick(path)["size_mib"] == path.stat().st_size / 2**20


def test_quick_hints_without_memory(package: Path) -> None:
    found = probing.quick(package)
    assert found.keys() == NAMES - {"memory_mib", "throughput_per_s"}
    assert 0 < found["latency_p95_ms"] < 50


def test_the_module_is_a_program(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probing.main([str(package), "--blocks", "2"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == NAMES
    assert probing.main([str(package.parent / "absent")]) == 2
    assert "does not exist" in json.loads(capsys.readouterr().out)["error"]


def test_known_delays_are_found() -> None:
    """Nine of ten calls take 1 ms, one takes 4 ms: the median is the one, the p95 the other."""
    calls = iter(range(10**6))
    found = probing.latency(lambda record: time.sleep(0.004 if next(calls) % 10 == 0 else 0.001), [{}], blocks=3,
                            seconds=0.05, attempts=1)
    assert 1.0 <= found["latency_p50_ms"] < 3.5 and found["latency_p95_ms"] >= 4.0


def test_slow_models_are_measured_on_fewer_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "LONGEST_BLOCK", 0.05)
    calls: list[int] = []
    probing.latency(lambda record: (calls.append(1), time.sleep(0.005)), [{}], blocks=2, attempts=1)
    assert 2 * measure.FEWEST_CALLS <= len(calls) < 2 * measure.BLOCK_CALLS


def test_blocks_that_disagree_are_repeated_and_then_called_noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = iter([[1.0], [9.0], [1.0], [2.0], [1.0], [3.0]])
    monkeypatch.setattr(measure, "_block", lambda *_: next(blocks))
    monkeypatch.setattr(measure.Spinner, "stolen", 0.0)
    monkeypatch.setattr(measure.Spinner, "drift", 0.0)
    monkeypatch.setattr(measure, "_waited", lambda: 0)
    found = probing.latency(lambda record: None, [{}], blocks=2)
    assert found["noisy"] == 1.0 and found["latency_p95_ms"] == 2.0, "the attempt whose blocks agree best counts"
    assert found["latency_p95_high_ms"] == pytest.approx(1.5 + 6.314 * 0.5)
    blocks = iter([[1.0], [9.0], [5.0], [5.5]])
    found = probing.latency(lambda record: None, [{}], blocks=2)
    assert found["noisy"] == 0.0 and found["latency_p95_ms"] == 5.5, "not the fastest attempt, the first steady one"


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.sampled_from([0.5, 0.95, 0.99]))
def test_quantiles_are_numpys_inverted_cdf(values: list[float], share: float) -> None:
    assert measure.quantile(sorted(values), share) == np.quantile(values, share, method="inverted_cdf")


def test_the_upper_bound_covers_the_mean_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    covered = [measure.upper(rng.normal(5.0, 1.0, 10).tolist()) >= 5.0 for _ in range(4000)]
    assert 0.935 < np.mean(covered) < 0.965
