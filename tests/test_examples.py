"""The examples run, and the tables that ship are those that the script makes."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def program(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_made_by_the_script(tmp_path):
    made = program("make_tables")
    made.main(tmp_path)
    for name in (made.CLEAN, made.DIRTY):
        assert (tmp_path / name).read_bytes() == (EXAMPLES / name).read_bytes(), name


def test_the_tables_are_what_the_page_says():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name in ("breast_cancer.csv", "breast_cancer_dirty.csv"):
        frame = pd.read_csv(EXAMPLES / name)
        assert set(frame["diagnosis"]) == {"malignant", "benign"}
        assert f"| `{name}` | {len(frame)} |" in page
    assert "CC BY 4.0" in page and "1995" in page


def test_the_audit_names_the_faults_of_the_dirty_table():
    import rightfit as rf
    from rightfit.choose import ask
    from rightfit.data.audit import audit

    question = ask(str(EXAMPLES / "breast_cancer_dirty.csv"), rf.Need(target="diagnosis"))
    found = {(f.code, f.column) for f in audit(question.data, question.task, notes=question.notes).findings}
    assert {("id_column", "patient_id"), ("constant", "laboratory"), ("missing_marker", "worst_area")} <= found
    assert {code for code, column in found if column == "mean_texture"} & {"hidden_missing", "missing_marker"}
    assert "duplicates" in {code for code, _ in found}


@pytest.fixture(scope="module")
def choice(tmp_path_factory):
    out = tmp_path_factory.mktemp("example") / "run"
    return program("need").main("40s", str(out), families=("linear",))


def test_the_python_example_runs(choice):
    assert choice.status == "chosen" and choice.decision.chosen["family"] == "linear"
    assert {check.name for check in choice.decision.limits} == {"latency_p95_ms", "size_mib", "recall"}
    assert all(check.met for check in choice.decision.limits)
    assert choice.report.exists()


def test_its_model_knows_the_classes(choice):
    frame = pd.read_csv(EXAMPLES / "breast_cancer.csv")
    assert choice.model.classes_[-1] == "malignant"
    assert (choice.model.predict(frame) == frame["diagnosis"]).mean() > 0.95
