"""Device profiles: what is measured is written, only a whole one is read, and only its own package is proven by it."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rightfit import decide
from rightfit.decide import Contender
from rightfit.delivery import deliver as delivering
from rightfit.delivery import target
from rightfit.delivery.deliver import Bench
from rightfit.engines.jobs import Outcome
from rightfit.errors import PackageError, UsageError
from rightfit.package import profile
from rightfit.package.write import install, zip_package
from rightfit.records import Candidate, Limit, Need, asdict
from rightfit.resources import micro

_spec = importlib.util.spec_from_file_location("toy_package", Path(__file__).with_name("toy_package.py"))
assert _spec and _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)
HERE = {"gemm_gflops": 100.0, "memory_gb_per_s": 20.0, "interpreter_us": 50.0}
LATENCY = Limit(name="latency_p95_ms", limit=5.0, sense="at_most")


@pytest.fixture(scope="module")
def package(tmp_path_factory: Any) -> Path:
    path: Path = toy.package(tmp_path_factory.mktemp("profile") / "package")
    return path


@pytest.fixture(scope="module")
def taken(package: Path) -> dict[str, Any]:
    return profile.take(package, records=toy.records(3))


@pytest.fixture
def saved(taken: dict[str, Any], tmp_path: Path) -> Path:
    return profile.write(taken, tmp_path / "pi.json")


def test_what_is_measured_is_whole_and_is_read_again(taken: dict[str, Any], saved: Path, package: Path) -> None:
    assert profile.read(saved) == json.loads(json.dumps(taken))
    assert set(profile.BOUND) < set(taken["measured"])
    assert taken["package"]["fingerprint"] == profile.fingerprint(package)
    low, high = taken["intervals"]["latency_p95_ms"]
    assert 0 < low <= taken["measured"]["latency_p95_ms"] <= high < 50
    assert set(taken["throughput"]) == {"1", "32", "256", "1024"} and taken["energy"]["joules_per_row"] > 0
    assert taken["energy"]["source"] in ("rapl", "nvml", "estimate") and set(taken["micro"]) == set(micro.NAMES)
    assert taken["energy"]["source"] in profile.text(taken) and "p95" in profile.text(taken)
    assert [p.name for p in saved.parent.iterdir()] == ["pi.json"], "nothing half-written is left"


def test_a_zip_has_the_fingerprint_of_its_folder(package: Path, tmp_path: Path) -> None:
    assert profile.fingerprint(zip_package(package, tmp_path / "p.zip")) == profile.fingerprint(package)


def test_what_cannot_be_measured_is_a_sentence(tmp_path: Path, taken: dict[str, Any]) -> None:
    with pytest.raises(PackageError, match="does not exist"):
        profile.take(tmp_path / "absent")
    with pytest.raises(UsageError, match="folder that exists"):
        profile.write(taken, tmp_path / "no" / "pi.json")


@pytest.mark.parametrize(("path", "value", "said"), [
    (("rightfit",), "7.1.0", "install the same version on both"),
    (("rightfit",), "0.0.9", "install the same version on both"), (("rightfit",), None, "must hold rightfit"),
    (("format",), 99, "format=99"), (("micro",), None, "must hold micro"),
    (("micro", "gemm_gflops"), 0, "gemm_gflops=0"), (("measured", "latency_p95_ms"), "fast", "latency_p95_ms='fast'"),
    (("measured", "memory_mib"), True, "memory_mib=True"), (("measured", "throughput_per_s"), -1.0, "above 0"),
    (("package", "fingerprint"), None, "fingerprint=None"), (("measured", "size_mib"), float("nan"), "size_mib=nan")])
def test_an_incomplete_profile_is_refused_with_one_sentence(saved: Path, path: tuple[str, ...], value: Any,
                                                            said: str) -> None:
    found = json.loads(saved.read_text())
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    saved.write_text(json.dumps(found))
    with pytest.raises(UsageError) as error:
        profile.read(saved)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe", b"{}"])
def test_what_is_no_profile_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UsageError, match="device profile must"):
        profile.read(tmp_path / "x.json")
    with pytest.raises(UsageError, match="No such file"):
        profile.read(tmp_path / "absent.json")


@given(st.lists(st.floats(0.05, 20), min_size=3, max_size=3), st.floats(0.01, 100))
def test_a_ratio_lies_within_its_interval_and_moves_every_figure_the_right_way(slower: list[float],
                                                                               value: float) -> None:
    there = {name: HERE[name] * s if name.endswith("_us") else HERE[name] / s
             for name, s in zip(micro.NAMES, slower, strict=True)}
    ratio = profile.ratios({"micro": there}, HERE)
    assert ratio.low <= min(slower) * (1 + 1e-6) and max(slower) * (1 - 1e-6) <= ratio.high and ratio.kind == "forecast"
    found = profile.forecast({"latency_p95_ms": value, "throughput_per_s": value, "memory_mib": value, "size_mib": 1.0},
                             ratio)
    assert set(found) == {"latency_p95_ms", "throughput_per_s", "memory_mib"}, "a size needs no forecast"
    assert found["latency_p95_ms"].value / value == pytest.approx(value / found["throughput_per_s"].value)
    assert all(f.low <= f.value * (1 + 1e-5) and f.value <= f.high * (1 + 1e-5) for f in found.values())


def test_without_a_limit_that_depends_on_a_device_there_is_no_target(saved: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro, "single", lambda: HERE)
    need = Need(device_profile=str(saved))
    assert target.load(need, (Limit(name="size_mib", limit=1.0, sense="at_most"),)) is None
    assert target.load(Need(), (LATENCY,)) is None and target.digest(Need()) is None
    found = target.load(need, (LATENCY,))
    assert found is not None and target.digest(need) == target.digest(need)
    there = target.here((LATENCY, Limit(name="throughput_per_s", limit=10, sense="at_least")), found)
    assert there[0].limit == pytest.approx(5.0 / found.ratio.value)
    assert there[1].limit == pytest.approx(10 * found.ratio.value)


class Ledger:
    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def meta(self, name: str) -> Any:
        return self.kept.get(name)

    def set_meta(self, name: str, value: Any) -> None:
        self.kept[name] = json.loads(json.dumps(value))


@pytest.fixture
def bench(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One contender of 1 ms here, whose refit is the toy package."""
    candidate = Candidate(family="toy")
    entry = SimpleNamespace(candidate=candidate, rule=None, floors={}, measured={}, learned=())
    measured = {"latency_p95_ms": 1.0, "latency_p50_ms": 0.9, "size_mib": 0.1, "memory_mib": 80.0}
    contender = Contender(key=candidate.key, family="toy", utility=0.9, measured=measured, gaps={})
    base = Contender(key="base", family="baseline", utility=0.1, measured=measured, gaps={}, baseline=True)
    monkeypatch.setattr(target.prove, "finalists", lambda board, baseline: {candidate.key: entry})
    monkeypatch.setattr(delivering, "_gather", lambda bench, known, entries: [contender, base])

    def refit(bench: Bench, entry: Any, candidate: Candidate) -> Any:
        install(package, tmp_path / "refit")
        return Outcome(key="x", state="ok", result={"measured": {"fit_s": 1.0}}), tmp_path / "refit"

    monkeypatch.setattr(delivering, "_refit", refit)
    monkeypatch.setattr(target, "probe", lambda path: measured)
    board = SimpleNamespace(store=Ledger(), task=SimpleNamespace(limits=(LATENCY,)))
    return Bench(board=board, baseline="base", stage=tmp_path / "run/stage", package=tmp_path / "run/package",  # type: ignore[arg-type]
                 pool=None, clock=None, seed=0, memory_mib=1.0, watch=lambda kind, fields: None)  # type: ignore[arg-type]


def aim(taken: dict[str, Any], slower: float, fingerprint: str = "another", **measured: float) -> target.Target:
    changed = copy.deepcopy(taken)
    changed["package"]["fingerprint"] = fingerprint
    changed["measured"] |= measured
    ratio = profile.Forecast(value=slower, low=slower / 1.5, high=slower * 1.5)
    return target.Target(profile=changed, ratio=ratio)


def test_a_forecast_chooses_nothing_and_leaves_what_is_to_be_measured(bench: Bench, taken: dict[str, Any],
                                                                      package: Path) -> None:
    found = target.deliver(bench, aim(taken, 2.0))
    left = bench.package.parent / target.FOLDER
    assert found.chosen is None and not bench.package.exists() and profile.fingerprint(left) == profile.fingerprint(
        package)
    assert all(not item.met for c in found.contenders for item in decide.check((LATENCY,), c.measured))
    expected = bench.board.store.meta("unproven")["forecast"]["latency_p95_ms"]
    assert expected["value"] == 2.0 and expected["kind"] == "forecast"


def test_by_forecast_too_slow_for_the_device_leaves_nothing(bench: Bench, taken: dict[str, Any]) -> None:
    found = target.deliver(bench, aim(taken, 20.0))
    assert found.chosen is None and not (bench.package.parent / target.FOLDER).exists()
    assert "By forecast no model" in found.notes[-1]


def test_the_device_proves_its_own_package_and_no_other(bench: Bench, taken: dict[str, Any], package: Path) -> None:
    own = profile.fingerprint(package)
    target.deliver(bench, aim(taken, 2.0))
    assert target.deliver(bench, aim(taken, 2.0, "f" * 64)).chosen is None, "measured for another package"
    found = target.deliver(bench, aim(taken, 2.0, own, latency_p95_ms=3.5, latency_p95_high_ms=3.6))
    assert found.chosen is not None and found.measured["latency_p95_ms"] == 3.5 and found.refitted
    assert found.checks[0].met and found.candidate == Candidate(family="toy") and bench.package.is_dir()
    assert "measured there on exactly this package" in found.notes[-1]


def test_what_the_device_measured_too_slow_is_not_chosen(bench: Bench, taken: dict[str, Any], package: Path) -> None:
    target.deliver(bench, aim(taken, 2.0))
    found = target.deliver(bench, aim(taken, 2.0, profile.fingerprint(package), latency_p95_ms=4.9,
                                      latency_p95_high_ms=4.9))
    assert found.chosen is None and "latency_p95_ms=4.9 ms" in found.rejected[Candidate(family="toy").key]


def test_the_decision_says_forecast_and_what_to_run(bench: Bench, taken: dict[str, Any]) -> None:
    import dataclasses

    from rightfit.records import Decision, Task

    there = aim(taken, 2.0)
    delivery = target.deliver(bench, there)
    task = Task(modality="tabular", problem="binary", target=("y",), metric="f1", limits=(LATENCY,))
    plain = Decision(status="infeasible", task=task, chosen=None, estimate={}, measured={}, limits=(), nearest=None,
                     baseline={}, ties=(), front=(), trials=(), rejected=(), findings=(), what_would_change=(),
                     spent={}, seed=0)
    found = target.told(plain, bench, there, delivery)
    assert found.status == "infeasible" and found.nearest and found.nearest["binding"] == ["latency_p95_ms"]
    assert "rightfit measure unproven -o device.json" in found.nearest["would_take"]
    assert "2 ms [1.33 ms, 3 ms] against 5 ms" in found.why[-1] and "A forecast satisfies no limit" in found.why[-1]
    assert [(c.value, c.met) for c in found.limits] == [(None, False)] and "device.json" in found.what_would_change[0]
    delivery.chosen = delivery.contenders[0]
    told = target.told(plain, bench, there, delivery)
    assert dataclasses.replace(told, extras={}) == plain and told.extras["device"]["ratio"]["kind"] == "forecast"
    assert asdict(told)["extras"]["device"]["machine"]["cpu"]


def test_a_bad_profile_is_refused_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    from rightfit import cli

    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    (tmp_path / "pi.json").write_text("{}")
    monkeypatch.setattr("sys.argv", ["rightfit", "choose", str(tmp_path / "t.csv"), "--target", "y", "--out",
                                     str(tmp_path / "run"), "--device-profile", str(tmp_path / "pi.json")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2 and not (tmp_path / "run").exists()
    assert capsys.readouterr().err.count("rightfit: a device profile must hold format") == 1


def test_the_command_writes_a_profile(package: Path, taken: dict[str, Any], tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from rightfit.cli.measure import measure

    asked: list[Any] = []
    monkeypatch.setattr(profile, "take", lambda path, records: asked.append(records) or taken)
    rows = tmp_path / "rows.csv"
    rows.write_text("size,age,colour\n1.5,30,red\n,40,blue\n")
    measure(str(package), data=str(rows), out=str(tmp_path / "pi.json"), as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(taken)) == profile.read(tmp_path / "pi.json")
    assert [row["colour"] for row in asked[0]] == ["red", "blue"]
    measure(str(package), data=None, out=None, as_json=False)
    assert "GFLOP/s" in capsys.readouterr().out and asked[1] is None
