"""The measuring module on clocks and works that are made up: what is known is found, noise is called noise."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rightfit.errors import UsageError
from rightfit.resources import energy, measure, micro

MS = 1_000_000


class Time:
    """A clock that moves only when work is done: `tick` nanoseconds for every look at it, and what calls add."""

    def __init__(self, tick: int = 1000) -> None:
        self.now, self.tick = 0, tick

    def __call__(self) -> int:
        self.now += self.tick
        return self.now


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_waited", lambda: 0)


def taking(clock: Time, costs: Any) -> Any:
    def call(record: Any) -> None:
        clock.now += next(costs)

    return call


def forever(*costs: int) -> Any:
    while True:
        yield from costs


def test_known_costs_are_found_and_a_quiet_machine_is_not_called_noisy() -> None:
    clock = Time()
    found = measure.latency(taking(clock, forever(*[MS] * 9, 4 * MS)), [0], clock=clock, warmup=7)
    assert found.p50_ms == pytest.approx(1.0, abs=0.01) and found.p95_ms == pytest.approx(4.0, abs=0.01)
    assert found.low_ms <= found.p95_ms <= found.high_ms <= found.bound_ms + 1e-9
    assert not found.noisy and found.attempts == 1 and found.warmup == 7 and found.blocks == 10
    assert found.outliers == pytest.approx(0.1, abs=0.01) and found.n == found.blocks * measure.BLOCK_CALLS


def test_twice_the_same_gives_the_same_within_five_per_cent() -> None:
    rng = np.random.default_rng(0)

    def once() -> float:
        clock = Time()
        costs = iter(int(c) for c in rng.lognormal(np.log(MS), 0.1, 100_000))
        return measure.latency(taking(clock, costs), [0], clock=clock).p95_ms

    assert once() == pytest.approx(once(), rel=0.05)


def test_a_neighbour_that_takes_the_processor_is_noise_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = iter(range(0, 10**15, 10**9))
    monkeypatch.setattr(measure, "_waited", lambda: next(waits))
    clock = Time()
    found = measure.latency(taking(clock, forever(MS)), [0], clock=clock)
    assert found.noisy and found.noise > 0.1


def test_gaps_in_the_spinning_probe_are_stolen_time() -> None:
    clock, looks = Time(), [0]

    def gappy() -> int:
        looks[0] += 1
        return clock() + (0 if looks[0] % 40 else clock.__dict__.update(now=clock.now + MS) or 0)

    spinner = measure.Spinner(gappy, 0.002)
    for _ in range(20):
        spinner.spin()
    assert spinner.stolen > 0.5 and 0 <= spinner.drift < 0.5


def test_a_machine_that_changes_its_speed_drifts() -> None:
    clock = Time(1000)
    spinner = measure.Spinner(clock, 0.0001)
    spinner.spin()
    clock.tick = 3000
    spinner.spin()
    assert spinner.stolen == 0 and spinner.drift == pytest.approx(0.5)
    assert measure.Spinner(clock).drift == 0.0 == measure.Spinner(clock).stolen


def test_blocks_are_added_until_the_precision_is_reached_or_none_is_left() -> None:
    def blocks(precision: float) -> int:
        rng, clock = np.random.default_rng(1), Time()
        costs = (int(c) for _ in range(300) for c in np.full(measure.BLOCK_CALLS, MS * (1 + 0.03 * rng.normal())))
        plan = measure.Plan(seconds=0.0, attempts=1, precision=precision)
        return measure.latency(taking(clock, costs), [0], plan=plan, clock=clock).blocks

    assert blocks(0.2) == 10 and blocks(1e-6) == 20


def test_no_block_begins_after_the_time_limit() -> None:
    clock = Time()
    found = measure.latency(taking(clock, forever(3000 * MS)), [0], clock=clock, plan=measure.Plan(limit_s=50.0))
    assert found.blocks == 2 and found.n == 2 * measure.FEWEST_CALLS and found.attempts == 1


def test_of_unsteady_sittings_the_steadiest_counts() -> None:
    clock = Time()
    slow = [MS] * 200 + [9 * MS] * 200
    costs = iter([*slow, *[5 * MS] * 400, *slow])
    found = measure.latency(taking(clock, costs), [0], plan=measure.Plan(blocks=4, seconds=0.0), clock=clock)
    assert found.attempts == 2 and found.p95_ms == pytest.approx(5.0, abs=0.01) and not found.noisy


def test_without_records_there_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="records=0"):
        measure.latency(lambda record: None, [])


@given(st.lists(st.floats(0.1, 1e3), min_size=2, max_size=30))
def test_the_interval_lies_within_the_values_and_holds_their_mean(values: list[float]) -> None:
    low, high = measure.interval(values)
    assert min(values) * (1 - 1e-9) <= low <= high <= max(values) * (1 + 1e-9)
    assert low <= np.mean(values) * (1 + 1e-9) and high >= np.mean(values) * (1 - 1e-9)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        low, high = measure.interval(rng.normal(5.0, 1.0, 20).tolist())
        hits += low <= 5.0 <= high
    assert 0.88 < hits / 300 < 0.99


def test_throughput_by_batch_size() -> None:
    clock = Time(0)

    def call(batch: Any) -> None:
        clock.now += 10 * MS + MS * len(batch)

    found = measure.throughput(call, [1, 2], sizes=(1, 10), clock=clock)
    assert found[1] == pytest.approx(1000 / 11) and found[10] == pytest.approx(500)
    assert found.keys() == measure.throughput(call, [1], sizes=(1, 10, 1001), clock=clock).keys()
    assert 900 in measure.throughput(call, [1], sizes=(10, 900), clock=clock)


def test_memory_is_that_of_a_fresh_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "growing.py").write_text("import numpy\ndef grow(mib): numpy.ones(mib * 2**17)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    held = np.ones(2**25)  # 256 MiB of this process, which must not count
    small = measure.fresh_memory_mib("growing:grow", 1)
    large = measure.fresh_memory_mib("growing:grow", 200)
    assert held.nbytes == 2**28 and small < 150 and 150 < large - small < 250
    with pytest.raises(UsageError, match="No module named 'nowhere'"):
        measure.fresh_memory_mib("nowhere:grow")


def test_a_fresh_process_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    done = measure.fresh("rightfit.resources.measure", ["os:getenv", '["OMP_NUM_THREADS"]'])
    assert done.returncode == 0 and "memory_mib" in done.stdout
    seen: list[Any] = []
    monkeypatch.setattr(measure.subprocess, "run", lambda command, **rest: seen.append(rest["env"]))
    measure.fresh("x")
    assert all(seen[0][name] == "1" for name in measure.THREADS)


def test_energy_is_counted_by_the_processor_where_it_is_exposed(tmp_path: Path) -> None:
    place = tmp_path / "sys/class/powercap"
    for name in ("intel-rapl:0", "intel-rapl:0:0"):
        (place / name).mkdir(parents=True)
        (place / name / "energy_uj").write_text("1000000")
        (place / name / "max_energy_range_uj").write_text("9999999")

    def work() -> None:
        for folder in place.iterdir():
            (folder / "energy_uj").write_text("500000")  # the counter has wrapped

    found = energy.energy(work, root=tmp_path, clock=Time(MS))
    assert found.source == "rapl" and found.joules == pytest.approx(9.5)
    assert found.watts == pytest.approx(found.joules / found.seconds)


def test_energy_is_asked_of_nvml_or_estimated_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    spent = iter([1000.0, 3500.0])
    nvml = SimpleNamespace(NVMLError=NVMLError, nvmlInit=lambda: None, nvmlDeviceGetCount=lambda: 1,
                           nvmlDeviceGetHandleByIndex=lambda i: i,
                           nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(spent))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    found = energy.energy(lambda: None, root=tmp_path)
    assert found.source == "nvml" and found.joules == 2.5
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = energy.energy(lambda: sum(range(300_000)), root=tmp_path, watts=20.0)
    assert found.source == "estimate" and found.watts == 20.0 and 0 < found.joules < 20.0


def test_what_a_machine_reaches_is_its_better_quarter() -> None:
    clock = Time(0)
    costs = forever(8 * MS, 2 * MS, 9 * MS, 7 * MS)

    def call() -> None:
        clock.now += next(costs)

    assert micro.best(call, 1.0, clock=clock) == pytest.approx(0.002)
    assert set(micro.here(0.001)) == set(micro.NAMES)
