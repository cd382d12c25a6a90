"""A registry folder mirrored in MLflow: versions, aliases, a package that comes back; and what is refused."""

import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

from rightfit.delivery import mirror, versions
from rightfit.errors import DataError, Unavailable, UsageError
from rightfit.package import load

_spec = importlib.util.spec_from_file_location("toy_package", Path(__file__).with_name("toy_package.py"))
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)


@pytest.fixture
def registry(tmp_path):
    folder = tmp_path / "credit"
    for problem in ("binary", "regression"):
        versions.add(folder, toy.package(tmp_path / problem, problem), run=f"run-{problem}", why=f"as {problem}")
    versions.promote(folder, 1)
    versions.challenge(folder, 2)
    return folder


def test_what_mlflow_lacks_is_said(registry, tmp_path, monkeypatch):
    from rightfit.cli.registry import registry as command

    with pytest.raises(UsageError, match="--mlflow"):
        command(str(registry), pull="champion")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(Unavailable, match="pip install mlflow"):
        mirror.push(registry, "sqlite://", "credit")


@pytest.mark.filterwarnings("ignore")
def test_versions_and_aliases_go_to_mlflow_and_a_package_comes_back(registry, tmp_path, monkeypatch):
    pytest.importorskip("sqlalchemy")
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert mirror.push(registry, uri, "credit") == {1: "1", 2: "2"} == mirror.push(registry, uri, "credit")
    client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    champion = client.get_model_version_by_alias("credit", "champion")
    assert champion.version == "1" or champion.version == 1
    assert champion.tags["rightfit.run"] == "run-binary" and champion.description == "as binary"
    assert str(client.get_model_version_by_alias("credit", "challenger").version) == "2"
    versions.promote(registry, 2)
    mirror.push(registry, uri, "credit")
    assert str(client.get_model_version_by_alias("credit", "champion").version) == "2"
    assert "challenger" not in client.get_registered_model("credit").aliases
    assert mirror.pull(tmp_path / "other", uri, "credit") == 1 == mirror.pull(tmp_path / "other", uri, "credit")
    rows = toy.frame(8) if hasattr(toy, "frame") else toy.records(8)
    expected, found = (load(f).raw(rows).tolist() for f in (tmp_path / "regression", tmp_path / "other/versions/1"))
    assert found == expected
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    assert len(importlib.import_module("mlflow.pyfunc").load_model("models:/credit@champion").predict(
        toy.records(8) if not hasattr(toy, "frame") else toy.frame(8))) == 8
    with pytest.raises(UsageError, match="with that model"):
        mirror.pull(registry, uri, "credit", "nobody")
    with pytest.raises(UsageError, match="without slash"):
        mirror.push(registry, uri, "a/b")
    client.create_registered_model("empty")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "x.txt").write_text("x")
    client.set_registered_model_alias("empty", "champion", client.create_model_version(
        "empty", str(tmp_path / "nothing")).version)
    with pytest.raises(DataError, match="one package; got 0"):
        mirror.pull(registry, uri, "empty")
