"""`rightfit models`: the catalogue of families, filters, pages, what is counted on the meta device."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rightfit import registry
from rightfit.advice import _files, catalogue
from rightfit.cli import app
from rightfit.errors import UnknownName

CARDS = catalogue.known()
FAMILIES = registry.plugins("rightfit.models")


def run(*words):
    return CliRunner().invoke(app, ["models", *words])


def test_every_family_is_in_the_catalogue():
    assert {n for n, c in CARDS.items() if not c.planned} == set(FAMILIES)
    assert {"detection", "generation", "sequence", "tabular", "text", "image"} <= {c.modality for c in CARDS.values()}


def test_no_planned_family_is_written_already():
    names = [c.name for c in catalogue.planned()]
    assert len(names) == len(set(names))
    assert not {(c.name, c.modality) for c in catalogue.planned()} & {(f.name, f.modality) for f in FAMILIES.values()}
    for modality in {c.modality for c in catalogue.planned()}:
        assert not set(names) & set(registry.plugins("rightfit.models")), modality


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda c: c.name)
def test_facts_are_told(card):
    assert 1700 < card.year <= 2026 and card.paper and card.licence and card.framework and card.good_at
    assert card.recent == (card.year >= catalogue.RECENT) and card.tags == tuple(sorted(card.tags))
    if not (card.baseline or card.scheme):
        assert card.figures["latency_ms"] > 0 and card.figures["size_mib"] > 0 and card.figures["factor"] >= 1
        assert not card.figures.get("grows") or {"at", "power"} <= set(card.figures)
        assert card.figures["source"] in _files.read("facts", "figures")["source"]
    if card.planned:
        assert card.bad_at and card.figures["fit_s"] > 0 and not card.installed


def test_no_figures_are_told_of_what_does_not_exist():
    assert set(_files.read("facts", "figures")["family"]) <= set(FAMILIES)


def test_the_folder_of_a_family_is_its_modality():
    """The advice loads only the folder of a modality, to be quick."""
    for modality in {f.modality for f in FAMILIES.values()}:
        own = {n for n, f in FAMILIES.items() if f.modality == modality and not f.scheme}
        assert own <= set(catalogue.known(modality))


def test_a_written_family_takes_the_place_of_its_announcement(monkeypatch):
    announced = catalogue.planned()[0]
    raw = {"family": [{**_files.read("facts", "planned")["family"][0], "name": "linear", "modality": "tabular"}]}
    assert announced.name != "linear"
    monkeypatch.setattr(catalogue, "planned", lambda: tuple(
        catalogue.Card(**{**{f: getattr(announced, f) for f in catalogue.Card.__dataclass_fields__},
                          "name": one["name"], "modality": one["modality"]}) for one in raw["family"]))
    assert not catalogue.known("tabular")["linear"].planned


def test_filters():
    cards = CARDS.values()
    assert {c.modality for c in catalogue.chosen(cards, modality="text")} == {"text"}
    assert all("forecasting" in c.problems for c in catalogue.chosen(cards, problem="forecasting"))
    assert "yolov8" not in {c.name for c in catalogue.chosen(cards, commercial=True)}
    assert "yolov8" in {c.name for c in catalogue.chosen(cards, modality="detection")}
    assert {"resnet", "vit"} <= {c.name for c in catalogue.chosen(cards, framework="timm")}
    recent, classic = catalogue.chosen(cards, recent=True), catalogue.chosen(cards, recent=False)
    assert len(recent) + len(classic) == len(CARDS) and {c.name for c in classic} >= {"resnet", "linear"}


@pytest.mark.parametrize(("filters", "said"), [
    ({"modality": "txt"}, "text"), ({"problem": "forcasting"}, "forecasting"), ({"framework": "pytorch"}, "torch")])
def test_an_unknown_filter_is_named(filters, said):
    with pytest.raises(UnknownName, match=said):
        catalogue.chosen(CARDS.values(), **filters)


def test_sorting():
    assert [c.year for c in catalogue.ordered(CARDS.values(), "year")] == sorted(c.year for c in CARDS.values())
    tables = [c for c in catalogue.ordered(CARDS.values()) if c.modality == "tabular" and not c.scheme]
    assert [c.rank for c in tables] == sorted(c.rank for c in tables)
    with pytest.raises(UnknownName, match="year"):
        catalogue.ordered(CARDS.values(), "yaer")


def test_the_table_and_its_json():
    done = run("--modality", "detection")
    assert done.exit_code == 0 and "yolox_nano" in done.output and "to come" in done.output
    found = json.loads(run("--json", "--licence", "commercial", "--classic").stdout)
    assert all(f["commercial"] and not f["recent"] and f["facts"]["licence"] for f in found) and len(found) > 10
    assert [f["name"] for f in json.loads(run("--json", "--problem", "generation", "--sort", "year").stdout)] == [
        c.name for c in catalogue.ordered([c for c in CARDS.values() if "generation" in c.problems], "year")]


@pytest.mark.parametrize(("words", "said"), [
    (["resnt"], "did you mean 'resnet'"), (["--licence", "comercial"], "commercial"), (["--sort", "size"], "rank"),
    (["--modality", "pictures"], "image")])
def test_bad_words_get_one_sentence(words, said):
    done = run(*words)
    assert isinstance(done.exception, UnknownName) and said in str(done.exception) and done.stdout == ""


def test_a_page_of_a_family_without_networks(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    page = run("lightgbm").output
    for said in ("Ke et al.", "MIT", "large tables", "variants:", "nothing yet", "rightfit measure"):
        assert said in page, said
    assert re.search(r"lightgbm: \d+\.\d+", page) and "networks" not in page
    (tmp_path / "rightfit").mkdir()
    (tmp_path / "rightfit" / "measured.jsonl").write_text(
        '{"family": "lightgbm", "latency_p95_ms": 0.0123}\n{"family": "linear", "latency_p95_ms": 9.9}\n{"fam\n[1]\n')
    page = run("lightgbm").output
    assert "latency_p95_ms 0.0123" in page and "9.9" not in page
    assert json.loads(run("lightgbm", "--json").stdout)["measured"] == [
        {"family": "lightgbm", "latency_p95_ms": 0.0123}]


def test_a_page_of_a_family_still_to_come():
    page = run("yolov8").output
    assert "still to come" in page and "AGPL-3.0; closed products: no" in page


def test_libraries_are_told_by_their_own_metadata():
    from importlib.metadata import version

    found = {one["name"]: one for one in catalogue.libraries(CARDS["linear"])}
    assert found["scikit-learn"]["version"] == version("scikit-learn") and "BSD" in found["scikit-learn"]["licence"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["scikit-learn"]["installed"])
    assert catalogue._library("no-such-library")["version"] == ""


def test_networks_are_counted_on_the_meta_device():
    pytest.importorskip("torch")
    pytest.importorskip("timm")
    from rightfit.models._nn import _meta as meta

    found = {s.network: s for s in meta.sizes(FAMILIES["resnet"])}
    # torchvision documents 11.69 M parameters with the 513,000 of 1,000 classes and 1.81 G multiply-adds at 224.
    assert found["resnet18"].parameters == 11_689_512 - 513_000 + 5_130
    assert found["resnet18"].flops == pytest.approx(2 * 1.814e9 * (160 / 224) ** 2, rel=0.02)
    (lstm, gru), = [meta.sizes(FAMILIES["lstm"])]
    assert lstm.parameters > gru.parameters > 20_000 * 64 and lstm.flops > 0
    encoder, = meta.sizes(FAMILIES["bert"])
    assert encoder.parameters == pytest.approx(22.6e6, rel=0.01) and encoder.licence == "apache-2.0"
    assert found["resnet18"].weights.startswith("timm/resnet18") and found["resnet18"].licence == "apache-2.0"
    assert meta.sizes(FAMILIES["linear"]) == []


def test_the_table_of_models_imports_no_torch():
    import subprocess
    import sys

    program = ("import sys\nfrom typer.testing import CliRunner\nfrom rightfit.cli import app\n"
               "assert CliRunner().invoke(app, ['models']).exit_code == 0\n"
               "assert not {'torch', 'pandas', 'sklearn'} & {n.split('.')[0] for n in sys.modules}")
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_benchmark_of_the_advice_replays(tmp_path):
    import importlib.util
    import sys

    home = Path(__file__).parent.parent / "benchmarks"
    sys.path.insert(0, str(home))
    try:
        spec = importlib.util.spec_from_file_location("advice_benchmark", home / "advice.py")
        advice = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(advice)
    finally:
        sys.path.remove(str(home))
    head = "dataset,family,metric,value,row_us\n"
    (tmp_path / "texts.csv").write_text(head + "".join(
        f"trec6,{n},accuracy,{v},200\n" for n, v in (("tfidf_nb", .9), ("tfidf_svm", .8), ("fasttext", .7))))
    (tmp_path / "contract.csv").write_text(
        "table,case,rows,problem,limits,status,chosen,baseline_chosen,measured\n"
        "a,0,500,binary,latency_p95_ms<=0.05,chosen,linear-1234,0,latency_p95_ms=0.016\n"
        "a,1,500,binary,size_mib<=1,infeasible,,,\n")
    texts, case = advice.replay(tmp_path)
    assert (texts["winner"], texts["place"], texts["rank_correlation"], texts["in_top_3"]) == ("tfidf_nb", 1, 1.0, 1)
    assert (case["winner"], case["in_top_3"]) == ("linear", 1) and case["latency_error"] == pytest.approx(0, abs=0.01)
    assert any("top 3 in 1 of 1" in line for line in advice.summed([texts]))


def test_what_was_measured_here_is_remembered_the_newest_times(tmp_path):
    path = tmp_path / "rightfit" / "measured.jsonl"
    for times in range(catalogue.REMEMBERED + 3):
        catalogue.remember("linear", {"latency_p95_ms": 0.02 + times}, path)
    catalogue.remember("tree", {"latency_p95_ms": 0.01}, path)
    kept = catalogue.measured("linear", path)
    assert [one["latency_p95_ms"] for one in kept] == pytest.approx([3.02 + i for i in range(catalogue.REMEMBERED)])
    assert len(catalogue.measured("tree", path)) == 1
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    catalogue.remember("linear", {"latency_p95_ms": 1.0}, nowhere / "below" / "measured.jsonl")


def test_strengths_are_said_in_chinese_for_families_that_exist():
    said = _files.read("facts", "spoken_zh_CN")["family"]
    for name, both in said.items():
        assert set(both) == {"good_at", "bad_at"} and all(re.search("[\u4e00-\u9fff]", text) for text in both.values())
        if name in CARDS:
            assert CARDS[name].spoken("good_at", "zh_CN") == both["good_at"] and CARDS[name].spoken("good_at") != both[
                "good_at"]
    assert len(set(said) & set(CARDS)) >= 30
    assert CARDS["baseline"].spoken("good_at", "zh_CN") == CARDS["baseline"].good_at


def test_the_table_of_models_holds_a_family_on_each_line():
    page = run("--modality", "tabular").output
    line = next(one for one in page.splitlines() if one.startswith("lightgbm"))
    assert "MIT" in line and "2017" in line and "µs" in line and "large tables" in line
