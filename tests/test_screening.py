"""Before training: what an untrained model cannot meet is out; weights that are missing and models that are brought."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rightfit as rf
from rightfit import registry, trace
from rightfit.choose import ask, examine
from rightfit.engines.inline import Inline
from rightfit.errors import Unavailable, UnknownName
from rightfit.models.tabular.linear import SPEC as LINEAR
from rightfit.records import Compression, Step
from rightfit.store import Store
from rightfit.tuning import lineup, race, screen, steps
from rightfit.tuning.clock import start

trained: list[str] = []


def table(rows=400):
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4))
    y = x[:, 0] + x[:, 1] + random.normal(size=rows) > 0
    return pd.DataFrame(x, columns=list("abcd")).assign(y=np.where(y, "yes", "no"))


class Heavy:
    """A linear model with a ballast of `mib` megabytes in its package."""

    def __init__(self, params, task):
        self.mib, self.name = params["mib"], params.get("name", "heavy")
        self.inner = LINEAR.build({k: v for k, v in params.items() if k not in ("mib", "name", "source")}, task)
        self.learned = {}

    def fit(self, data, *, seed, deadline):
        trained.append(self.name)
        trace.point(epoch=1, loss=0.5, score=0.7)
        return self.learn(data, seed, deadline)

    def learn(self, data, seed, deadline):
        self.inner.fit(data, seed=seed, deadline=deadline)
        return self

    def predict(self, X):
        return self.inner.predict(X)

    def save(self, folder):
        meta = self.inner.save(folder)
        (Path(folder) / "ballast.txt").write_bytes(b"x" * int(self.mib * 2**20))
        return meta


def untrained(params, task, data):
    return Heavy(params, task).learn(data, 0, time.monotonic() + 5)


def located(params, task, need):
    if params.get("name") == "pretrained":
        raise Unavailable("weights of heavy must be here; got weights=(), pass --weights FOLDER.")
    return {**params, "name": "heavy"}


HEAVY = dataclasses.replace(
    LINEAR, name="heavy", build=Heavy, untrained=untrained, prepare=located, defaults={"mib": 2.0}, space={},
    variants=({"mib": 0.1, "name": "small"}, {"mib": 2.0, "name": "pretrained"}), regularisers=())
BROUGHT = dataclasses.replace(HEAVY, name="brought", scheme="mine", prepare=None, variants=(), untrained=None)


def slim(folder, meta, rows, task, params, seed):
    (folder / "ballast.txt").write_bytes(b"x" * 1000)
    return dict(meta)


SLIM = Compression(name="slim", apply=slim, plan=lambda c, family, task: ({},) if family.name == "heavy" else ())


@pytest.fixture
def families(monkeypatch):
    trained.clear()
    for spec in (HEAVY, BROUGHT):
        monkeypatch.setitem(registry.plugins("rightfit.models"), spec.name, spec)
    monkeypatch.setitem(registry.plugins("rightfit.tuning.compress"), "slim", SLIM)


def raced(folder, **need):
    asked = rf.Need(**({"target": "y", "budget": "60s", "families": ("heavy",), "folds": 2, "proposals": 0} | need))
    question = examine(ask(table(), asked))
    store = Store.open(folder, {"data": question.fingerprint})
    racing = lineup.line_up(question, store, start(asked.budget_s), 4000.0, lambda kind, fields: None)
    with Inline() as engine:
        race.run(racing, engine, 1)
    return racing, store


def test_networks_are_measured_before_they_are_trained(families, tmp_path):
    racing, store = raced(tmp_path / "run")
    screened = [t for t in store.trials() if t.fold == -1]
    assert {t.candidate.params["mib"] for t in screened if not t.candidate.steps} == {2.0, 0.1}
    assert all(t.measured["size_mib"] > 0 and t.measured["latency_p95_ms"] > 0 and not t.blob for t in screened)
    assert not racing.board.screened_out and racing.leader
    assert list((tmp_path / "run" / "stage" / "models").glob("*.untrained")) == []
    store.close()


def test_what_breaks_a_limit_is_never_trained_but_what_a_step_mends_is(families, tmp_path):
    racing, store = raced(tmp_path / "run", max_size="1MiB")
    board = racing.board
    (out,) = (key for key in board.screened_out if not board.candidates[key].steps)
    assert board.candidates[out].params["mib"] == 2.0 and board.out[out].startswith("not trained: size_mib")
    assert not any(fold >= 0 for key, fold, _ in board.trials if key == out)
    mended = [c for c in board.candidates.values() if c.steps == (Step(name="slim"),) and c.params["mib"] == 2.0]
    assert mended and board.entry(mended[0].key) is not None
    assert board.entry(mended[0].key).measured["size_mib"] < 1
    store.close()


def test_when_limits_throw_everybody_out_the_nearest_is_trained_so_that_the_answer_can_name_it(families, tmp_path,
                                                                                             monkeypatch):
    monkeypatch.delitem(registry.plugins("rightfit.tuning.compress"), "slim")
    racing, store = raced(tmp_path / "run", max_size="20kB")
    entries = [e for e in racing.board.entries().values() if e.candidate.key != racing.board.baseline]
    assert [e.candidate.params["mib"] for e in entries] == [0.1]
    store.close()


def test_a_missing_checkpoint_is_listed_with_what_to_do(families, tmp_path):
    racing, store = raced(tmp_path / "run")
    told = racing.short.rejected["heavy (name=pretrained)"]
    assert told == "weights of heavy must be here; got weights=(), pass --weights FOLDER."
    store.close()


def test_a_model_that_is_brought_goes_first_and_others_of_its_kind_stay_out(families, tmp_path):
    racing, store = raced(tmp_path / "run", bring=("mine:/models/one",))
    assert racing.short.candidates[0].family == "brought"
    assert racing.short.candidates[0].params["source"] == "/models/one"
    store.close()
    plain, store = raced(tmp_path / "other")
    assert "brought" not in {c.family for c in plain.short.candidates} | set(plain.short.rejected)
    store.close()
    with pytest.raises(UnknownName, match=r"scheme must be one of .*mine.*; got scheme='mien', did you mean 'mine'"):
        raced(tmp_path / "third", bring=("mien:/models/one",))


def test_the_leader_is_compressed_from_the_package_of_the_same_fold(families, tmp_path):
    racing, store = raced(tmp_path / "run")
    best = racing.board.entry(racing.leader)
    compressed = [e for e in racing.board.entries().values() if e.candidate.steps]
    assert compressed and best is not None
    plain = racing.board.entry(next(k for k, c in racing.board.candidates.items() if not c.steps
                                    and c.params == compressed[0].candidate.params))
    assert compressed[0].measured["fit_s"] >= plain.measured["fit_s"] > 0
    fits = sum(fold >= 0 for key, fold, _ in racing.board.trials
               if racing.board.candidates[key].family == "heavy" and not racing.board.candidates[key].steps)
    assert trained.count("heavy") == fits
    store.close()


def test_epochs_are_kept_with_the_trial(families, tmp_path):
    _, store = raced(tmp_path / "run")
    done = [t for t in store.trials() if t.candidate.family == "heavy" and t.fold == 0 and not t.candidate.steps]
    assert done[0].history == ({"epoch": 1.0, "loss": 0.5, "score": 0.7},)
    store.close()


def test_every_screened_candidate_that_is_out_offers_its_variants(families, tmp_path):
    racing, store = raced(tmp_path / "run", max_size="1MiB")
    assert len(list(screen.entrants(racing))) == len(racing.short.candidates) + 1
    before, after = steps.divided((Step(name="oversample"), Step(name="slim")))
    assert [s.name for s in before] == ["oversample"] and [s.name for s in after] == ["slim"]
    store.close()
