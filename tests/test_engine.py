"""Processes with deadlines, a memory watchdog, and every way a job can end."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rightfit.engines.inline import Inline
from rightfit.engines.jobs import Job, Outcome, check
from rightfit.engines.local import Pool
from rightfit.errors import UsageError

posix = pytest.mark.skipif(os.name != "posix", reason="signals")

JOBS = '''
import ctypes, os, re, signal, sys, time
import numpy as np
from rightfit.errors import DataError

def add(payload, deadline): return {"sum": payload["a"] + payload["b"]}
def numpy_values(payload, deadline): return {"x": np.float64(0.5), "n": np.int64(3), "ok": np.bool_(True)}
def huge(payload, deadline): return {"text": "x" * payload["size"]}
def left(payload, deadline): return {"left": deadline - time.monotonic()}
def no_mapping(payload, deadline): return [1]
def no_json(payload, deadline): return {"x": object()}
def raises(payload, deadline): raise KeyError("the\\ncolumn")
def bad_data(payload, deadline): raise DataError("y must hold two classes; got classes=1.")
def memory_error(payload, deadline): raise MemoryError
def leaves(payload, deadline): sys.exit(3)
def leaves_hard(payload, deadline): os._exit(7)
def aborts(payload, deadline): os.abort()
def segfault(payload, deadline): ctypes.string_at(0)
def killed(payload, deadline): os.kill(os.getpid(), signal.SIGKILL)
def sleeps(payload, deadline):
    time.sleep(payload.get("s", 60))
    return {}
def stubborn(payload, deadline):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass
def regex(payload, deadline):
    open(payload["file"], "w").write(str(os.getpid()))
    re.match(r"(a+)+$", "a" * 60 + "b")
def allocates(payload, deadline):
    held = []
    for _ in range(payload["mib"] // 16):
        held.append(np.ones(2 * 2**20))
    time.sleep(payload.get("s", 0))
    return {"held": len(held)}
def prints(payload, deadline):
    print("to stdout", flush=True)
    os.system("echo from below")
    return {}
def environment(payload, deadline):
    import threadpoolctl, sklearn.ensemble
    return {"omp": os.environ["OMP_NUM_THREADS"], "pools": [p["num_threads"] for p in threadpoolctl.threadpool_info()],
            "main": sys.modules["__main__"].__name__, "group": os.getpgid(0) == os.getpid()}
def openmp(payload, deadline):
    import lightgbm, threadpoolctl
    from sklearn.ensemble import HistGradientBoostingClassifier
    threadpoolctl.threadpool_limits(2)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5)); y = (x[:, 0] > 0).astype(int)
    first = HistGradientBoostingClassifier(max_iter=5).fit(x, y).score(x, y)
    booster = lightgbm.train({"objective": "binary", "num_threads": 2, "verbose": -1}, lightgbm.Dataset(x, y), 5)
    return {"sklearn": first, "lightgbm": float(((booster.predict(x) > 0.5) == y).mean())}
def starts_child(payload, deadline):
    import subprocess
    held = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    open(payload["file"], "w").write(str(held.pid))
    time.sleep(60)
'''


@pytest.fixture(scope="module", autouse=True)
def jobs_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "jobs_for_tests.py").write_text(JOBS)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def pool(jobs_module: Path) -> Iterator[Pool]:
    with Pool(2) as made:
        yield made


def job(name: str, key: str = "j", **settings: object) -> Job:
    own = {k: settings.pop(k) for k in ("soft_s", "hard_s", "memory_mib") if k in settings}
    return Job(key=key, function=f"jobs_for_tests:{name}", payload=settings, **{"soft_s": 20, "hard_s": 20} | own)


def run(pool: Pool | Inline, one: Job) -> Outcome:
    pool.submit(one)
    found = pool.wait(30)
    assert [o.key for o in found] == [one.key]
    return found[0]


def gone(pid: int, within: float = 3.0) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_result_crosses_as_json(pool: Pool) -> None:
    outcome = run(pool, job("add", a=1, b=2.5))
    assert (outcome.state, outcome.result, outcome.error) == ("ok", {"sum": 3.5}, "")
    assert outcome.seconds < 20 and outcome.peak_mib > 5
    assert run(pool, job("numpy_values")).result == {"x": 0.5, "n": 3, "ok": True}


def test_huge_result_arrives_whole(pool: Pool) -> None:
    outcome = run(pool, job("huge", size=30 * 2**20))
    assert outcome.state == "ok" and outcome.result is not None and len(outcome.result["text"]) == 30 * 2**20


def test_too_huge_a_result_is_a_crash_with_a_reason(pool: Pool) -> None:
    outcome = run(pool, job("huge", size=65 * 2**20))
    assert outcome.state == "crashed" and "must stay below 64 MiB" in outcome.error


def test_function_is_told_its_soft_deadline(pool: Pool) -> None:
    result = run(pool, job("left", soft_s=7.0)).result
    assert result is not None and 6.0 < result["left"] <= 7.0


@pytest.mark.parametrize(("name", "state", "text"), [
    ("raises", "crashed", r"KeyError: 'the\\ncolumn' \(in raises, jobs_for_tests.py:\d+\)"),
    ("bad_data", "invalid", r"^y must hold two classes; got classes=1\.$"),
    ("memory_error", "oom", "MemoryError"),
    ("no_mapping", "crashed", "TypeError: a job's function must return a mapping; got list"),
    ("no_json", "crashed", "must hold JSON values only; got object"),
    ("leaves", "crashed", "SystemExit: 3"),
    ("leaves_hard", "crashed", "exit code 7"),
    ("not_there", "crashed", "AttributeError"),
    pytest.param("aborts", "crashed", "SIGABRT", marks=posix),
    pytest.param("segfault", "crashed", "SIGSEGV", marks=posix),
    pytest.param("killed", "crashed", "SIGKILL.*out-of-memory killer", marks=posix),
])
def test_every_way_to_fail_is_an_outcome(pool: Pool, name: str, state: str, text: str) -> None:
    outcome = run(pool, job(name))
    assert outcome.state == state and outcome.result is None
    assert re.search(text, outcome.error) and "\n" not in outcome.error


def test_hard_deadline_stops_a_sleeper(pool: Pool) -> None:
    outcome = run(pool, job("sleeps", soft_s=0.2, hard_s=0.4))
    assert outcome.state == "timeout" and "hard deadline of 0.4 s" in outcome.error
    assert 0.4 <= outcome.seconds < 30


@posix
def test_hard_deadline_stops_what_ignores_sigterm(pool: Pool) -> None:
    outcome = run(pool, job("stubborn", soft_s=0.2, hard_s=0.3))
    assert outcome.state == "timeout" and 0.55 <= outcome.seconds < 30


def test_memory_watchdog(pool: Pool) -> None:
    outcome = run(pool, job("allocates", mib=3072, s=5, memory_mib=450))
    assert outcome.state == "oom" and outcome.peak_mib > 450 and "limit of 450 MiB" in outcome.error
    assert outcome.peak_mib < 3000 and outcome.seconds < 30


def test_peak_memory_is_reported(pool: Pool) -> None:
    before = run(pool, job("allocates", mib=16)).peak_mib
    assert 150 < run(pool, job("allocates", mib=256)).peak_mib - before < 300


def test_jobs_run_side_by_side_in_order(pool: Pool) -> None:
    for i in range(6):
        pool.submit(job("sleeps", key=f"k{i}", s=0.2))
    assert pool.free == 0
    found: list[Outcome] = []
    most = 0
    while len(found) < 6:
        most = max(most, len(pool.running))
        found += pool.wait(0.05)
    assert most == 2 and {o.state for o in found} == {"ok"} and {o.key for o in found[:2]} == {"k0", "k1"}
    assert pool.wait(5) == [] and pool.free == 2


def test_wait_gives_up_after_its_timeout(pool: Pool) -> None:
    pool.submit(job("sleeps", s=3.0))
    assert pool.wait(0.1) == []
    assert pool.wait(20)[0].state == "ok"


def test_cancel_gives_no_outcome(pool: Pool) -> None:
    for key in "abc":
        pool.submit(job("sleeps", key=key))
    until = time.monotonic() + 10
    while len(pool.running) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert pool.cancel("c") and pool.cancel("a") and pool.cancel("b") and not pool.cancel("z")
    assert pool.wait(10) == [] and pool.running == ()


def test_closing_kills_what_is_left(jobs_module: Path, tmp_path: Path) -> None:
    with Pool(1) as own:
        own.submit(job("starts_child", file=str(tmp_path / "pid")))
        until = time.monotonic() + 20
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < until
            time.sleep(0.02)
    assert gone(int((tmp_path / "pid").read_text()))
    with pytest.raises(UsageError, match="closed pool"):
        own.submit(job("add", a=1, b=1))


def test_output_goes_to_the_log(jobs_module: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Pool(1, log_folder=tmp_path / "logs") as own:
        assert run(own, job("prints", key="../a b")).state == "ok"
        assert run(own, job("segfault", key="seg")).state == "crashed"
    assert [p.name for p in sorted((tmp_path / "logs").iterdir())] == ["_a_b.log", "seg.log"]
    assert (tmp_path / "logs" / "_a_b.log").read_text() == "to stdout\nfrom below\n"
    assert "Segmentation fault" in (tmp_path / "logs" / "seg.log").read_text()
    assert capfd.readouterr().out == ""


def test_threads_are_limited_and_the_environment_is_left_alone(jobs_module: Path) -> None:
    before = dict(os.environ)
    with Pool(1, threads=1) as own:
        found = run(own, job("environment")).result
    assert found is not None and found["omp"] == "1" and found["pools"] and set(found["pools"]) == {1}
    assert found["main"] == "__main__" and found["group"]
    assert dict(os.environ) == before


def test_openmp_works_in_forked_children(pool: Pool) -> None:
    outcome = run(pool, job("openmp"))
    assert outcome.state == "ok", outcome.error
    assert outcome.result is not None and min(outcome.result.values()) > 0.8


SCRIPT = """
import sys
sys.path.insert(0, {jobs!r})
from rightfit.engines.local import Job, Pool
print("script starts", flush=True)
pool = Pool(2)
for i in range(2):
    payload = {{"file": {file!r} + str(i), "a": 1, "b": 2}}
    pool.submit(Job(key=str(i), function="jobs_for_tests:" + {name!r}, payload=payload))
{rest}
"""


def script(jobs: Path, tmp_path: Path, name: str, rest: str) -> subprocess.Popen[str]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(jobs=str(jobs), name=name, file=str(tmp_path / "pid"), rest=textwrap.dedent(rest)))
    return subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True)


def test_script_without_main_guard_is_not_run_again(jobs_module: Path, tmp_path: Path) -> None:
    rest = """
        found = []
        while len(found) < 2:
            found += pool.wait()
        print([o.state for o in found])
        """
    assert script(jobs_module, tmp_path, "add", rest).communicate(timeout=60)[0] == "script starts\n['ok', 'ok']\n"


def pids_of(tmp_path: Path) -> list[int]:
    files = [tmp_path / "pid0", tmp_path / "pid1"]
    until = time.monotonic() + 40
    while not all(f.exists() and f.read_text() for f in files):
        assert time.monotonic() < until
        time.sleep(0.05)
    return [int(f.read_text()) for f in files]


@posix
@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's signal on a closed pipe")
def test_children_die_with_a_killed_parent_even_inside_c_code(jobs_module: Path, tmp_path: Path) -> None:
    parent = script(jobs_module, tmp_path, "regex", "pool.wait()")
    pids = pids_of(tmp_path)
    parent.kill()
    parent.communicate()
    assert all(gone(pid, within=1.5) for pid in pids)


@posix
def test_grandchildren_die_with_a_killed_parent(jobs_module: Path, tmp_path: Path) -> None:
    parent = script(jobs_module, tmp_path, "starts_child", "pool.wait()")
    pids = pids_of(tmp_path)
    parent.kill()
    parent.communicate()
    assert all(gone(pid, within=1.5) for pid in pids)


@posix
def test_ctrl_c_reaches_the_parent_only(jobs_module: Path, tmp_path: Path) -> None:
    rest = """
        try:
            pool.wait()
        except KeyboardInterrupt:
            print("asked to stop", len(pool.running))
        """
    parent = script(jobs_module, tmp_path, "starts_child", rest)
    pids = pids_of(tmp_path)
    parent.send_signal(signal.SIGINT)
    assert parent.communicate(timeout=20)[0] == "script starts\nasked to stop 2\n"
    assert all(gone(pid, within=1.5) for pid in pids)


@pytest.mark.parametrize(("bad", "text"), [
    ({"function": "no_colon"}, "module:function"), ({"soft_s": 3, "hard_s": 2}, "soft_s <= hard_s"),
    ({"payload": {"x": object()}}, "JSON values only"), ({"memory_mib": 0}, "memory_mib"),
])
def test_bad_jobs_are_refused(bad: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        check(Job(**{"key": "k", "function": "m:f", "payload": {}} | bad))


def test_keys_are_unique_while_unfinished(pool: Pool) -> None:
    pool.submit(job("sleeps", s=0.3))
    with pytest.raises(UsageError, match="key='j'"):
        pool.submit(job("add"))
    assert pool.wait(20)[0].state == "ok"
    with pytest.raises(UsageError, match="workers=0"):
        Pool(0)


def test_inline_has_the_same_outcomes(jobs_module: Path) -> None:
    with Inline() as engine:
        assert run(engine, job("add", a=1, b=2)).result == {"sum": 3}
        assert run(engine, job("bad_data")).state == "invalid"
        assert run(engine, job("raises")).state == "crashed"
        assert run(engine, job("leaves")).state == "crashed"
        engine.submit(job("add"))
        assert engine.free == 0 and engine.cancel("j") and not engine.cancel("j") and engine.wait() == []


def test_overhead_of_a_job_is_small(pool: Pool) -> None:
    run(pool, job("add", a=1, b=2))
    started = time.monotonic()
    for _ in range(10):
        run(pool, job("add", a=1, b=2))
    each = (time.monotonic() - started) / 10
    print(f"overhead per job: {each * 1e3:.1f} ms")
    assert each < 1.0
