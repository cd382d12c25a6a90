"""The registry folder: whatever crashes where, it can be read, has one champion, and its history is a line."""

import importlib.util
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rightfit.delivery import versions
from rightfit.errors import DataError, PackageError, UsageError
from rightfit.package import load, verify

_spec = importlib.util.spec_from_file_location("toy_package", Path(__file__).with_name("toy_package.py"))
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)
package = toy.package


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return package(tmp_path_factory.mktemp("made") / "package")


def crashed(point, work):
    """Do the work in a process of its own that dies at the point: True if it died there."""
    child = os.fork()
    if child == 0:
        versions.at = lambda name: os._exit(9) if name == point else None
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


class Machine(RuleBasedStateMachine):
    source = None

    def __init__(self):
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.folder = self.home / "registry"
        self.before = ()

    def teardown(self):
        shutil.rmtree(self.home)

    def now(self):
        return versions.read(self.folder)

    def some(self, pick):
        found = self.now().versions
        return found[pick % len(found)]

    def step(self, why):
        """What an update does: a new version, challenged, promoted."""
        new = versions.add(self.folder, self.source, why=why)
        versions.challenge(self.folder, new, why=why)
        versions.promote(self.folder, new, why=why)

    @rule()
    def add(self):
        known = self.now().versions if versions.is_registry(self.folder) else ()
        assert versions.add(self.folder, self.source) == max(known, default=0) + 1

    @precondition(lambda self: versions.is_registry(self.folder) and self.now().versions)
    @rule(pick=st.integers(0, 50))
    def promote(self, pick):
        version = self.some(pick)
        if version == self.now().champion:
            with pytest.raises(UsageError, match="champion already"):
                versions.promote(self.folder, version)
        else:
            versions.promote(self.folder, version)
            assert self.now().champion == version

    @precondition(lambda self: versions.is_registry(self.folder))
    @rule()
    def rollback(self):
        stack, _ = versions._fold(self.now().history)
        if len(stack) < 2:
            with pytest.raises(UsageError, match="rollback needs"):
                versions.rollback(self.folder)
        else:
            assert versions.rollback(self.folder) == stack[-2] == self.now().champion

    @rule()
    def update(self):
        self.step("update")
        assert self.now().champion == max(self.now().versions) and self.now().challenger is None

    @rule(point=st.sampled_from(versions.POINTS))
    def crash(self, point):
        assert crashed(point, lambda: self.step("crash"))

    @precondition(lambda self: versions.is_registry(self.folder) and len(versions._fold(self.now().history)[0]) > 1)
    @rule(point=st.sampled_from(("logging", "logged", "pointing", "pointed")))
    def crash_of_a_rollback(self, point):
        before, stack = self.now().champion, versions._fold(self.now().history)[0]
        crashed(point, lambda: versions.rollback(self.folder))  # or in what an earlier crash left to do
        assert self.now().champion in ((before,) if point == "logging" else (before, stack[-2]))

    @precondition(lambda self: versions.is_registry(self.folder))
    @rule()
    def reopen(self):
        with versions.locked(self.folder) as now:
            there = {path.name for path in (self.folder / "versions").iterdir()}
            assert there == {str(version) for version in now.versions}
            pointer = self.folder / "champion.json"
            assert (json.loads(pointer.read_text())["version"] if pointer.exists() else None) == now.champion

    @invariant()
    def readable(self):
        if not versions.is_registry(self.folder):
            return
        now = self.now()
        assert now.history[:len(self.before)] == self.before
        assert [e.number for e in now.history] == list(range(1, len(now.history) + 1))
        self.before = now.history
        assert now.champion is None or now.champion in now.versions
        for version in now.versions:
            verify.folder(now.package(version))
        pointer = self.folder / "champion.json"
        if pointer.exists():
            assert set(json.loads(pointer.read_text())) == {"package", "version"}
            verify.folder(versions.champion(self.folder))


def test_whatever_crashes_the_registry_stays_whole(made, monkeypatch):
    from hypothesis.stateful import run_state_machine_as_test

    monkeypatch.setattr(Machine, "source", made)
    run_state_machine_as_test(Machine, settings=settings(
        max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)))


def test_a_torn_last_line_is_no_event_and_is_gone_at_the_next(made, tmp_path):
    folder = tmp_path / "registry"
    versions.promote(folder, versions.add(folder, made))
    with (folder / "history.jsonl").open("ab") as file:
        file.write(b'{"number": 3, "eve')
    assert len(versions.read(folder).history) == 2
    versions.keep(folder, why="nothing beats it")
    assert [e.event for e in versions.read(folder).history] == ["add", "promote", "keep"]


def test_a_damaged_package_does_not_come_in_and_one_damaged_since_does_not_become_champion(made, tmp_path):
    folder = tmp_path / "registry"
    versions.promote(folder, versions.add(folder, made))
    bad = tmp_path / "bad"
    shutil.copytree(made, bad)
    (bad / "model0.onnx").write_bytes(b"x")
    with pytest.raises(PackageError, match="damaged"):
        versions.add(folder, bad)
    second = versions.add(folder, made)
    path = versions.read(folder).package(second) / "model0.onnx"
    path.chmod(0o644)
    path.write_bytes(b"x")
    with pytest.raises(PackageError, match="damaged"):
        versions.promote(folder, second)
    assert versions.champion(folder) == folder / "versions" / "1"
    assert load(versions.champion(folder)).classes_[0] == "no"


@pytest.mark.parametrize(("line", "said"), [(b"no json\n", "must be an event"), (
    b'{"number": 7, "event": "add", "when": ""}\n', "numbered without a gap")])
def test_a_history_that_is_no_line_is_refused(made, tmp_path, line, said):
    versions.add(tmp_path / "r", made)
    with (tmp_path / "r" / "history.jsonl").open("ab") as file:
        file.write(line)
    with pytest.raises(DataError, match=said):
        versions.read(tmp_path / "r")


def test_what_is_no_registry_is_left_alone(made, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        versions.add(tmp_path, made)
    with pytest.raises(UsageError, match="must be a folder with"):
        versions.read(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_what_needs_a_registry_makes_none(tmp_path):
    for ask in (versions.rollback, lambda at: versions.promote(at, 1), lambda at: versions.keep(at, why="x")):
        with pytest.raises(UsageError, match="must be a folder with"):
            ask(tmp_path / "none")
    assert not (tmp_path / "none").exists()
