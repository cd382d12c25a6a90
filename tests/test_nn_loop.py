"""The training loop: it learns, stops in time, is deterministic, and leaves no trace but the curve."""

from __future__ import annotations

import itertools
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rightfit import cache, trace
from rightfit.errors import UsageError
from rightfit.records import Task

torch = pytest.importorskip("torch")

from rightfit.models._nn import checkpoint, device, export, loop, steps  # noqa: E402
from rightfit.testing._case import in_time  # noqa: E402

BINARY = Task(modality="image", problem="binary", target=("y",), metric="accuracy", classes=("a", "b"))
THREE = Task(modality="image", problem="multiclass", target=("y",), metric="accuracy", classes=("a", "b", "c"))
VALUE = Task(modality="image", problem="regression", target=("y",), metric="rmse")
LABELS = Task(modality="image", problem="multilabel", target=("a", "b"), metric="f1_macro", classes=("a", "b"),
              outputs=2)


@dataclass
class Points:
    """Rows of plain vectors, with a pause per batch to make steps slow."""

    x: Any
    y: Any
    weight: Any = None
    groups: Any = None
    pause: float = 0.0

    def __len__(self) -> int:
        return len(self.y)

    def inputs(self, positions: Any, training: bool, generator: Any) -> tuple[Any, ...]:
        if training:
            time.sleep(self.pause)
        return (torch.from_numpy(self.x[positions]),)

    def take(self, positions: Any) -> Points:
        return Points(self.x[positions], self.y[positions], None if self.weight is None else self.weight[positions],
                      None if self.groups is None else self.groups[positions], self.pause)


def made(task: Task, n: int = 400, seed: int = 0) -> Points:
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 8)).astype(np.float32)
    if task.problem == "regression":
        return Points(x, (x[:, 0] * 0.8 + x[:, 1] * x[:, 2] * 0.5))
    if task.problem == "multilabel":
        return Points(x, np.stack([x[:, 0] > 0, x[:, 1] * x[:, 2] > 0], axis=1).astype(np.int8))
    return Points(x, (np.digitize(x[:, 0] + x[:, 1], [-0.5, 0.7]) if len(task.classes) == 3
                      else (x[:, 0] * x[:, 1] > 0)).astype(np.int64))


def net(task: Task, seed: int = 0) -> Any:
    k = len(task.classes) or task.outputs
    with loop.seeded(seed):
        return torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.BatchNorm1d(32), torch.nn.ReLU(),
                                   torch.nn.Dropout(0.1), torch.nn.Linear(32, k))


def fitted(task: Task, recipe: dict[str, Any], seconds: float = 60.0, **more: Any) -> tuple[Any, loop.Fitted]:
    rows = made(task)
    for name, value in more.items():
        setattr(rows, name, value)
    model = net(task)
    return model, loop.fit(model, rows, {"learning_rate": 0.01, **recipe}, task, seed=1,
                           deadline=time.monotonic() + seconds)


@pytest.mark.parametrize("task", [BINARY, THREE, LABELS])
@pytest.mark.parametrize("recipe", [{}, {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "cosine", "ema": 0.9,
                                     "clip": 1.0},
                                    {"loss": "focal", "schedule": "constant", "balanced": True,
                                     "label_smoothing": 0.1}])
def test_learns_classes(task: Task, recipe: dict[str, Any]) -> None:
    model, found = fitted(task, {"epochs": 25, "batch": 32, **recipe})
    fresh = made(task, seed=9)
    proba = loop.finish(loop.predict(model, fresh), task)
    codes = proba > 0.5 if task.problem == "multilabel" else proba.argmax(axis=1)
    assert (codes == fresh.y).mean() > 0.8
    assert 1 <= found.epochs <= 25 and found.score > 0.7


def test_learns_values() -> None:
    model, _ = fitted(VALUE, {"epochs": 40, "batch": 32})
    fresh = made(VALUE, seed=9)
    assert np.mean((loop.predict(model, fresh)[:, 0] - fresh.y) ** 2) < 0.5 * np.var(fresh.y)


def test_same_seed_same_weights_and_no_generator_is_touched() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state().clone(), np.random.get_state()[1].copy(), torch.get_num_threads()
    one, two = (fitted(THREE, {"epochs": 5, "batch": 32})[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(before[0], torch.get_rng_state()) and torch.get_num_threads() == before[2]
    assert np.array_equal(before[1], np.random.get_state()[1])


def test_the_deadline_is_obeyed_and_the_rate_still_comes_down(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    real = steps.rate
    monkeypatch.setattr(steps, "rate", lambda p, r: shares.append(real(p, r)) or shares[-1])
    in_time(lambda: fitted(THREE, {"epochs": 10_000, "batch": 32}, seconds=2.0, pause=0.005), 2.6)
    assert max(shares) > 0.9 and shares[-1] < 0.1


def test_a_deadline_that_has_passed_leaves_a_model() -> None:
    model, found = fitted(THREE, {"epochs": 5}, seconds=-1.0)
    assert np.isfinite(loop.predict(model, made(THREE))).all() and found.epochs == 1


def test_a_plan_that_was_cut_while_it_got_better_says_nothing_against_more_epochs() -> None:
    _, cut = fitted(THREE, {"epochs": 10_000, "batch": 32, "early_stopping": False}, seconds=0.5, pause=0.005)
    _, whole = fitted(THREE, {"epochs": 3, "batch": 32, "early_stopping": False})
    assert (cut.epochs, whole.epochs) == (10_000, 3)


def test_early_stopping_keeps_the_best_and_says_so() -> None:
    with trace.collecting() as points:
        _, found = fitted(BINARY, {"epochs": 60, "batch": 32, "patience": 5, "schedule": "constant"})
    assert len(points) < 60 and found.epochs <= len(points)
    assert found.score == max(p["score"] for p in points) == points[found.epochs - 1]["score"]
    assert {"epoch", "loss", "score", "seconds"} == set(points[0])


def test_without_early_stopping_every_epoch_is_trained() -> None:
    with trace.collecting() as points:
        _, found = fitted(BINARY, {"epochs": 4, "early_stopping": False})
    assert len(points) == found.epochs == 4 and np.isnan(found.score)


def test_groups_stay_on_one_side() -> None:
    rows = made(THREE)
    rows.groups = np.arange(400) // 10
    train, valid = steps.inner_split(rows, THREE, np.random.default_rng(0)) or ([], [])
    assert len(valid) >= 40 and not set(rows.groups[train]) & set(rows.groups[valid])


def test_weights_change_what_is_learned() -> None:
    rows = made(BINARY)
    rows.y = np.random.default_rng(3).integers(0, 2, 400)
    rows.weight = np.where(rows.y == 1, 9.0, 1.0)
    model = net(BINARY)
    loop.fit(model, rows, {"epochs": 15, "learning_rate": 0.01, "early_stopping": False}, BINARY, seed=0,
             deadline=time.monotonic() + 30)
    assert loop.finish(loop.predict(model, rows), BINARY)[:, 1].mean() > 0.75


class Staged(torch.nn.Module):  # type: ignore[misc]
    """Two stages and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 3)

    def stages(self) -> list[Any]:
        return [self.a, self.b, self.head]

    def forward(self, x: Any) -> Any:
        return self.head(torch.relu(self.b(self.a(x))))


def test_head_only_leaves_the_rest_as_it_was() -> None:
    model = Staged()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    loop.fit(model, made(THREE), {"epochs": 2, "head_only": True}, THREE, seed=0, deadline=time.monotonic() + 30)
    after = model.state_dict()
    assert all(torch.equal(before[k], after[k]) == (not k.startswith("head")) for k in before)


def test_stages_are_freed_from_the_head_down() -> None:
    model = Staged()
    frozen = [len(steps.trainable(model, epoch, {"freeze_epochs": 4})) for epoch in range(6)]
    assert frozen == [2, 2, 1, 1, 0, 0]
    groups = steps.optimiser(model, {"learning_rate": 1.0, "backbone_rate": 0.1}).param_groups
    assert {g["peak"] for g in groups} == {1.0, 0.1}


def test_still_norms_keep_their_statistics() -> None:
    model = Staged()
    loop.fit(model, made(THREE), {"epochs": 1, "frozen_norm": True}, THREE, seed=0, deadline=time.monotonic() + 30)
    assert int(model.b.num_batches_tracked) == 0


def test_divergence_ends_with_what_there_was() -> None:
    rows = made(VALUE)
    rows.y = np.full(400, np.nan)
    model = net(VALUE)
    loop.fit(model, rows, {"epochs": 3}, VALUE, seed=0, deadline=time.monotonic() + 30)
    assert np.isfinite(loop.predict(model, made(VALUE))).all()


@pytest.mark.parametrize("recipe", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.2, "cutmix": 1.0}])
def test_mixed_pictures_keep_their_shares(recipe: dict[str, float]) -> None:
    x = torch.zeros(6, 8, 8, 3, dtype=torch.uint8)
    x[3:] = 200
    target = torch.eye(2)[torch.tensor([0, 0, 0, 1, 1, 1])]
    for seed in range(20):
        a, t, w = steps.mixed(x, target, torch.ones(6), recipe, np.random.default_rng(seed))
        assert torch.allclose(a.float().mean(dim=(1, 2, 3)) / 200, t[:, 1], atol=1e-5) and torch.allclose(
            w, torch.ones(6))
        assert torch.allclose(t.sum(dim=1), torch.ones(6))


def test_what_is_no_picture_is_not_mixed() -> None:
    with pytest.raises(UsageError, match="mixup"):
        fitted(THREE, {"mixup": 0.2})


def test_batches_cover_every_row_once_and_sort_lengths() -> None:
    rows = made(THREE)
    rows.lengths = np.random.default_rng(0).integers(1, 100, 400)  # type: ignore[attr-defined]
    found = steps.batches(rows, 8, False, np.random.default_rng(0))
    assert sorted(np.concatenate(found).tolist()) == list(range(400))
    assert np.mean([np.ptp(rows.lengths[b]) for b in found]) < 20  # type: ignore[attr-defined]


def test_one_row_is_enough() -> None:
    rows = made(BINARY).take(np.array([3]))
    model = net(BINARY)
    loop.fit(model, rows, {"epochs": 2}, BINARY, seed=0, deadline=time.monotonic() + 10)
    assert loop.predict(model, rows).shape == (1, 2)


def test_export_says_the_same() -> None:
    ort = pytest.importorskip("onnxruntime")
    model, _ = fitted(THREE, {"epochs": 2})
    rows = made(THREE)
    content = export.to_onnx(model, (torch.from_numpy(rows.x[:2]),))
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    for n in (1, 7):
        np.testing.assert_allclose(session.run(["Y"], {"X": rows.x[:n]})[0], loop.predict(model, rows.take(range(n))),
                                   atol=1e-4)


def test_threads_export_one_after_another() -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        X = torch.from_numpy(made(THREE).x[:2])
        with ThreadPoolExecutor(3) as several:
            contents = list(several.map(lambda seed: export.to_onnx(net(THREE), (X,)), range(12)))
    finally:
        sys.setswitchinterval(usual)
    assert len({len(content) for content in contents}) == 1


def test_the_probe_answers_quickly() -> None:
    def probe() -> str:
        device.precision.cache_clear()
        return device.precision()

    assert in_time(probe, 1.0) in ("bf16", "fp32")


# --- a killed fit -----------------------------------------------------------------------------------------------------

class Killed(BaseException):
    """Stands for the end of a process."""


@pytest.mark.parametrize("recipe", [{"ema": 0.9}, {"optimizer": "sgd", "learning_rate": 0.05, "early_stopping": False},
                                    {"freeze_epochs": 2}])
def test_a_killed_fit_goes_on_where_it_was(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
                                           tmp_path: Path) -> None:
    given = {"epochs": 6, "batch": 32, **recipe}
    whole, _ = fitted(THREE, given)
    monkeypatch.setattr(checkpoint, "EVERY_S", 0.0)
    real, epochs = loop._epoch, []

    def dying(net: Any, rows: Any, recipe: Any, task: Any, around: Any, epoch: int) -> Any:
        epochs.append(epoch)
        if len(epochs) == 4:
            raise Killed
        return real(net, rows, recipe, task, around, epoch)

    monkeypatch.setattr(loop, "_epoch", dying)
    with cache.at(tmp_path):
        with pytest.raises(Killed):
            fitted(THREE, given)
        assert len(list((tmp_path / checkpoint.FOLDER).iterdir())) == 1
        with trace.collecting() as points:
            again, found = fitted(THREE, given)
    assert [point["epoch"] for point in points] == [1, 2, 3, 4, 5, 6]
    assert all(a["seconds"] < b["seconds"] for a, b in itertools.pairwise(points))
    assert epochs == [0, 1, 2, 3, 3, 4, 5] and found.epochs >= 1
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not list((tmp_path / checkpoint.FOLDER).iterdir())


def test_checkpoints_of_others_and_torn_ones_are_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model, recipe = net(THREE), {"epochs": 3}
    with cache.at(tmp_path):
        rows, named, seen = (made(BINARY, n=100) for _ in range(3))
        named.y = 1 - named.y
        seen.x = seen.x + 1
        one = checkpoint.keeper(model, recipe, rows, 0)
        others = [checkpoint.keeper(net(BINARY), recipe, rows, 0), checkpoint.keeper(model, {"epochs": 4}, rows, 0),
                  checkpoint.keeper(model, recipe, made(BINARY, n=101), 0), checkpoint.keeper(model, recipe, rows, 1),
                  checkpoint.keeper(model, recipe, named, 0), checkpoint.keeper(model, recipe, seen, 0)]
    assert one.path is not None and not one.due() and len({k.path for k in (one, *others)}) == 7
    one.write({"epoch": 2})
    assert one.read() == {"epoch": 2} and [k.read() for k in others] == [None] * 6
    one.path.write_bytes(one.path.read_bytes()[:40])
    assert one.read() is None and not one.path.exists()
    one.write({"wrong": Killed()})
    assert one.read() is None  # nothing but tensors and plain values is read
    monkeypatch.setattr(torch, "save", lambda *args: (_ for _ in ()).throw(OSError("full")))
    one.write({"epoch": 3})
    assert not list(one.path.parent.iterdir())
    assert checkpoint.keeper(model, recipe, rows, 0).read() is None  # outside of a run


@pytest.mark.parametrize("batch", [60, 50])
def test_a_batch_that_keeps_too_much_goes_through_in_parts_and_teaches_the_same(
        batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = {"epochs": 3, "batch": batch, "early_stopping": False}

    def trained() -> Any:
        with loop.seeded(0):
            model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 3))
        loop.fit(model, made(THREE), recipe, THREE, seed=1, deadline=time.monotonic() + 60)
        return model

    whole = trained()
    seen: list[int] = []
    forward = torch.nn.Linear.forward
    monkeypatch.setattr(torch.nn.Linear, "forward", lambda self, x: seen.append(len(x)) or forward(self, x))
    monkeypatch.setattr(steps, "ROOM_MIB", 1e-9)
    parts = trained()
    assert 2 < max(seen) <= steps.LEAST_PART
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_what_a_row_keeps_is_weighed_on_the_longest() -> None:
    class Long(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.tanh(x * torch.ones(4, requires_grad=True)).sum(dim=1)

    class Rows:
        lengths = np.array([1, 5, 3])

        def __init__(self) -> None:
            self.asked: list[int] = []

        def inputs(self, positions: Any, training: bool, generator: Any) -> Any:
            self.asked = [int(i) for i in positions]
            return (torch.zeros(len(positions), 4),)

    rows = Rows()
    assert steps.at_once(Long(), rows, 64) == 64
    assert rows.asked == [2, 1]
