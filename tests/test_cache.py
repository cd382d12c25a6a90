"""The row cache: computed once, shared, safe to read beside a writer."""

from pathlib import Path

import numpy as np
import pytest

from rightfit import cache, trace


def squares(calls):
    def compute(keys):
        def of(positions):
            calls.append(len(positions))
            return np.array([[int(keys[p]) ** 2] for p in positions], dtype=np.int32)
        return of
    return compute


def test_each_key_is_computed_once_and_rows_come_in_the_order_of_the_keys(tmp_path: Path) -> None:
    calls: list[int] = []
    make = squares(calls)
    with cache.at(tmp_path):
        keys = ["3", "1", "3", "2"]
        table = cache.rows("squares", keys, make(keys))
        assert table.take([0, 1, 2, 3]).ravel().tolist() == [9, 1, 9, 4]
        assert sum(calls) == 3
        more = ["2", "5"]
        again = cache.rows("squares", more, make(more))
        assert again.take([1, 0]).ravel().tolist() == [25, 4]
        assert sum(calls) == 4
    assert cache.place() is None


def test_without_a_place_rows_stay_in_memory(tmp_path: Path) -> None:
    calls: list[int] = []
    table = cache.rows("squares", ["2", "4"], squares(calls)(["2", "4"]))
    assert table.take([1]).tolist() == [[16]] and table.shape == (2, 1) and len(table) == 2


def test_another_name_is_another_table(tmp_path: Path) -> None:
    with cache.at(tmp_path):
        cache.rows("a", ["1"], lambda p: np.zeros((len(p), 1)))
        assert cache.rows("b", ["1"], lambda p: np.ones((len(p), 2))).shape == (1, 2)


def test_what_was_done_before_a_failure_is_kept_and_half_a_shard_is_never_read(tmp_path: Path) -> None:
    keys = [str(i) for i in range(100)]

    def failing(positions):
        if positions[0] >= 64:
            raise ValueError("broken item")
        return np.array([[int(keys[p])] for p in positions])

    with cache.at(tmp_path):
        with pytest.raises(ValueError, match="broken item"):
            cache.rows("x", keys, failing)
        for path in tmp_path.rglob("*.npy"):
            (path.parent / ".half.keys").write_text("half")
        done: list[int] = []

        def rest(positions):
            done.extend(positions)
            return np.array([[int(keys[p])] for p in positions])

        table = cache.rows("x", keys, rest)
        assert min(done) == 64
        assert table.take(range(100)).ravel().tolist() == list(range(100))


def test_shards_are_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SHARD_BYTES", 8 * 10)
    sizes: list[int] = []
    keys = [str(i) for i in range(100)]
    with cache.at(tmp_path):
        cache.rows("x", keys, lambda p: (sizes.append(len(p)), np.zeros((len(p), 1)))[1])
    assert max(sizes[1:]) == 10


def test_a_trace_has_a_listener_or_costs_nothing() -> None:
    trace.point(loss=1.0)
    with trace.collecting() as points:
        trace.point(epoch=1, loss=0.5)
    trace.point(loss=2.0)
    assert points == [{"epoch": 1.0, "loss": 0.5}]


def test_time_spent_on_what_is_kept_is_counted_once(tmp_path):
    import time

    def compute(positions):
        time.sleep(0.02)
        return np.zeros((len(positions), 1))

    with cache.at(tmp_path):
        before = cache.computing_s()
        cache.rows("t", ["a", "b"], compute)
        once = cache.computing_s()
        cache.rows("t", ["b", "a"], compute)
    assert once - before >= 0.02 and cache.computing_s() == once
