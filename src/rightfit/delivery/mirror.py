"""A registry folder and an MLflow model registry: versions and aliases go there, and a package comes back by its alias.

The folder stays what decides; MLflow shows the same to whoever looks there. A version is told by the tag
`rightfit.version` and the package's fingerprint, so that pushing again adds only what is new.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from rightfit.delivery import update, versions
from rightfit.delivery.export import export
from rightfit.errors import DataError, Unavailable, UsageError

VERSION, PACKAGE, ARTIFACT = "rightfit.version", "rightfit.package", "model"


def push(folder: str | Path, uri: str, name: str) -> dict[int, str]:
    """Every version that MLflow does not have yet, then both aliases; {version: MLflow's version} of all.

    uri: a tracking URI with a model registry (http://..., sqlite:///..., a folder). name: the registered model.
    Raises UsageError, Unavailable without mlflow, PackageError.
    """
    now = versions.read(folder)
    with _client(uri) as (mlflow, client):
        if name not in [m.name for m in client.search_registered_models(f"name = '{_plain(name)}'")]:
            client.create_registered_model(name)
        theirs = {m.tags[PACKAGE]: m for m in client.search_model_versions(f"name = '{name}'") if PACKAGE in m.tags}
        found = dict[int, str]()
        for version in now.versions:
            print_ = _print(now.package(version))
            if print_ not in theirs:
                theirs[print_] = _pushed(mlflow, client, now, version, name, print_)
            found[version] = str(theirs[print_].version)
        for alias, at in ((versions.CHAMPION, now.champion), (versions.CHALLENGER, now.challenger)):
            if at is None:
                client.delete_registered_model_alias(name, alias)
            else:
                client.set_registered_model_alias(name, alias, found[at])
    return found


def pull(folder: str | Path, uri: str, name: str, alias: str = versions.CHAMPION) -> int:
    """The package behind an alias as the folder's next version, verified; the version that holds it where one does.

    Raises UsageError, DataError for a model that is no package, Unavailable, PackageError.
    """
    with _client(uri) as (mlflow, client), tempfile.TemporaryDirectory(prefix="rightfit-pull-") as place:
        behind = client.get_model_version_by_alias(_plain(name), alias)
        source = client.get_model_version_download_uri(name, behind.version)
        mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=place)
        packages = sorted(path.parent for path in Path(place).rglob("manifest.json"))
        if len(packages) != 1:
            raise DataError(f"a pulled model must hold one package; got {len(packages)} in {name}@{alias} of "
                            f"mlflow={uri!r}, push one with `rightfit registry FOLDER --mlflow URI`.")
        if versions.is_registry(folder):
            now = versions.read(folder)
            for version in now.versions:
                if _print(now.package(version)) == _print(packages[0]):
                    return version
        return versions.add(folder, packages[0], run=f"mlflow {name} {behind.version}",
                            why=f"Pulled from {name}@{alias}.", details=update.promise(packages[0]))


@contextlib.contextmanager
def _client(uri: str) -> Iterator[tuple[Any, Any]]:
    """(mlflow, a client of its registry); what MLflow raises becomes one sentence."""
    try:
        mlflow: Any = import_module("mlflow")
    except ImportError:
        raise Unavailable("an MLflow registry needs MLflow, which is not installed; pip install mlflow.") from None
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    try:
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        yield mlflow, mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
    except mlflow.exceptions.MlflowException as error:
        said = str(error).splitlines()[0][:200]
        raise UsageError(f"MLflow must have a registry with that model; got mlflow={uri!r}: {said}") from None
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])


def _pushed(mlflow: Any, client: Any, now: versions.Registry, version: int, name: str, print_: str) -> Any:
    came = now.lineage(version)
    with tempfile.TemporaryDirectory(prefix="rightfit-push-") as place:
        made = export(now.package(version), "mlflow", Path(place) / ARTIFACT)
        with mlflow.start_run(run_name=f"{name} {version}") as run:
            mlflow.log_artifacts(str(made), ARTIFACT)
    tags = {VERSION: str(version), PACKAGE: print_, "rightfit.data": came.data, "rightfit.run": came.run,
            "rightfit.parent": str(came.parent or "")}
    return client.create_model_version(name, f"{run.info.artifact_uri}/{ARTIFACT}", run_id=run.info.run_id, tags=tags,
                                       description=came.why)


def _print(package: Path) -> str:
    """What tells a package from any other: SHA-256 of its manifest, which holds the hashes of its files."""
    return hashlib.sha256((package / "manifest.json").read_bytes()).hexdigest()


def _plain(name: str) -> str:
    if not name or set(name) & set("/:'\""):
        raise UsageError(f"a registered model's name must be without slash, colon and quotes; got name={name!r}.")
    return name
