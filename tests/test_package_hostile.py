"""Packages that lie, bite or broke: each is refused with one sentence, and nothing of them runs."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import pickle
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rightfit.errors import PackageError
from rightfit.package import load, verify
from rightfit.package.write import zip_package

_spec = importlib.util.spec_from_file_location("toy_package", Path(__file__).with_name("toy_package.py"))
assert _spec and _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)
EXECUTED: list[str] = []


class Bomb:
    """Runs on unpickling."""

    def __reduce__(self) -> Any:
        return EXECUTED.append, ("unpickled",)


@pytest.fixture(scope="module")
def good(tmp_path_factory: Any) -> Path:
    path: Path = toy.package(tmp_path_factory.mktemp("good") / "package")
    return path


@pytest.fixture
def victim(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "victim"))


def refused(path: Path, match: str | None = None) -> str:
    EXECUTED.clear()
    with pytest.raises(PackageError, match=match) as caught:
        load(path)
    text = str(caught.value)
    assert EXECUTED == [] and "\n" not in text and len(text) < 700 and text.endswith((".", "'", '"')), text
    return text


def manifest(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    found = json.loads((path / "manifest.json").read_text())
    change(found["files"])
    (path / "manifest.json").write_text(json.dumps(found))


def replace(path: Path, name: str, content: bytes) -> None:
    """Put a file under an honest hash: what is left to refuse it is what it says."""
    (path / name).parent.mkdir(parents=True, exist_ok=True)
    (path / name).write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    manifest(path, lambda files: files.update({name: entry}))


def edit(path: Path, name: str, change: Callable[[Any], None]) -> None:
    found = json.loads((path / name).read_text())
    change(found)
    replace(path, name, json.dumps(found).encode())


def test_the_copy_itself_is_fine(victim: Path) -> None:
    assert load(victim).predict_one(toy.records(1)[0])["prediction"] in ("yes", "no")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/etc/passwd",
        "a/../../evil",
        "a\\b",
        "C:evil",
        "a//b",
        "./a",
        "",
        "a/",
        ".hid",
        "a\0b",
        "a" * 300,
        "-x/../y",
        "ünï",
    ],
)
def test_names_that_lead_elsewhere(victim: Path, name: str) -> None:
    manifest(victim, lambda files: files.update({name: {"sha256": "0" * 64, "bytes": 1}}))
    refused(victim, "plain relative names")


@pytest.mark.parametrize("where", ["encoder", "core"])
@pytest.mark.parametrize("name", ["../outside.json", "/etc/passwd", 7, None, "absent.onnx"])
def test_meta_that_names_files_outside(victim: Path, where: str, name: Any) -> None:
    (victim.parent / "outside.json").write_text("{}")

    def change(info: Any) -> None:
        target, key = (info["runtime"], "encoder") if where == "encoder" else (info["runtime"]["cores"][0], "file")
        target[key] = name

    edit(victim, "package.json", change)
    refused(victim, "plain relative names|every file it names")


def test_links(victim: Path) -> None:
    content = (victim / "model0.onnx").read_bytes()
    (victim.parent / "elsewhere").write_bytes(content)
    (victim / "model0.onnx").unlink()
    (victim / "model0.onnx").symlink_to(victim.parent / "elsewhere")
    refused(victim, "ordinary files only")


def test_linked_folders_and_devices(victim: Path) -> None:
    (victim / "sub").symlink_to(victim.parent)
    refused(victim, "ordinary files only")
    (victim / "sub").unlink()
    os.mkfifo(victim / "pipe")
    refused(victim, "ordinary files only")


def test_wrong_hash_wrong_size_missing_and_extra(victim: Path) -> None:
    content = bytearray((victim / "model0.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (victim / "model0.onnx").write_bytes(content)
    refused(victim, "model0.onnx must have the hash")
    (victim / "model0.onnx").write_bytes(content + b"x")
    refused(victim, "model0.onnx must have [0-9]+ bytes")
    (victim / "model0.onnx").unlink()
    refused(victim, "every file of its manifest; got none named 'model0.onnx'")


def test_extra_files(victim: Path) -> None:
    (victim / "model.py").write_text("raise SystemExit")
    refused(victim, r"got also 'model\.py'")


@pytest.mark.parametrize("name", ["package.json", "schema.json", "sample.json", "manifest.json"])
def test_without_a_required_file(victim: Path, name: str) -> None:
    (victim / name).unlink()
    if name != "manifest.json":
        manifest(victim, lambda files: files.pop(name))
    refused(victim, f"must hold {name}")


def test_a_case_twin_and_a_manifest_that_lists_itself(victim: Path) -> None:
    manifest(victim, lambda files: files.update({"Package.json": files["package.json"]}))
    refused(victim, "differ by more than case")
    manifest(
        victim, lambda files: (files.pop("Package.json"), files.update({"manifest.json": files["package.json"]}))
    )
    refused(victim, "differ by more than case")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"files": []}',
        '{"files": {}}',
        '{"files": {"a": 1}}',
        "{" * 100_000,
        "[" * 100_000,
        '{"files": {"a": {"sha256": "0", "bytes": 1}}}',
        '{"files": 1, "files": 2}',
        "\udcff",
        "9" * 10_000,
    ],
)
def test_manifests_of_nonsense(victim: Path, text: str) -> None:
    (victim / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(victim)


@pytest.mark.parametrize("name", ["package.json", "schema.json", "sample.json", "encoder.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"null",
        b"7",
        b'"x"',
        b"{}",
        b'[{"a": 1}, 2]',
        b"[" * 200_000,
        b"\xff\xfe\x00",
        b'{"format": 1}',
        b'{"columns": [{"bad": 1}]}',
    ],
)
def test_json_of_nonsense_under_an_honest_hash(victim: Path, name: str, content: bytes) -> None:
    replace(victim, name, content)
    refused(victim)


def test_huge_json(victim: Path) -> None:
    size = verify.MAX_JSON + 1
    with (victim / "sample.json").open("wb") as file:
        file.truncate(size)
    manifest(victim, lambda files: files["sample.json"].update(bytes=size))
    refused(victim, "sample.json must be at most")
    with (victim / "manifest.json").open("wb") as file:
        file.truncate(verify.MAX_MANIFEST + 1)
    refused(victim, r"manifest.json must be at most")


def test_too_many_files(victim: Path) -> None:
    for i in range(verify.MAX_FILES + 1):
        replace(victim, "f", b"")
        (victim / "f").rename(victim / f"f{i}")
    listed = {f"f{i}": {"sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0} for i in range(verify.MAX_FILES + 1)}
    manifest(victim, lambda files: (files.pop("f"), files.update(listed)))
    refused(victim, "must list 1 to")


def test_a_newer_format(victim: Path) -> None:
    edit(victim, "package.json", lambda info: info.update(format=verify.FORMAT + 1))
    refused(victim, "install a newer rightfit")


@pytest.mark.parametrize("form", [None, "1", 0, -1, 1.0, True, [1]])
def test_formats_of_nonsense(victim: Path, form: Any) -> None:
    edit(victim, "package.json", lambda info: info.update(format=form))
    refused(victim, "must state its format")


def test_unknown_runtimes_and_cores(victim: Path) -> None:
    edit(victim, "package.json", lambda info: info["runtime"]["cores"][0].update(format="pickle"))
    refused(victim, "core format must be one of")
    edit(victim, "package.json", lambda info: info["runtime"].update(runtime="os.system"))
    refused(victim, "runtime must be one of")


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_as_model(victim: Path, protocol: int) -> None:
    replace(victim, "model0.onnx", pickle.dumps(Bomb(), protocol=protocol))
    refused(victim, "whole ONNX model")
    replace(victim, "encoder.json", pickle.dumps(Bomb(), protocol=protocol))
    refused(victim)


@pytest.mark.parametrize("native", ["catboost", "lightgbm", "xgboost"])
def test_a_pickle_as_native_model(victim: Path, native: str) -> None:
    pytest.importorskip(native)
    replace(victim, "model0.onnx", pickle.dumps(Bomb()))
    edit(victim, "package.json", lambda info: info["runtime"]["cores"][0].update(format=native))
    refused(victim)


# --- zips ---


@pytest.fixture
def archive(good: Path, tmp_path: Path) -> Path:
    return zip_package(good, tmp_path / "package.zip")


def rezip(archive: Path, change: Callable[[zipfile.ZipFile], None], leave: tuple[str, ...] = ()) -> Path:
    out = archive.with_name("changed.zip")
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            if info.filename not in leave:
                target.writestr(info, source.read(info))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile warns of duplicate names
            change(target)
    return out


def test_the_zip_itself_is_fine(archive: Path) -> None:
    assert load(archive).predict_one(toy.records(1)[0])["prediction"] in ("yes", "no")


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/evil.txt", "a/../../evil", "..", "a\\..\\b", "sub/"])
def test_zip_traversal(archive: Path, name: str) -> None:
    before = set(archive.parent.iterdir())
    path = rezip(archive, lambda z: z.writestr(zipfile.ZipInfo(name), b"evil"))
    refused(path, "plain relative names")
    assert set(archive.parent.iterdir()) == before | {path}


def test_zip_with_extra_missing_and_double_members(archive: Path) -> None:
    refused(rezip(archive, lambda z: z.writestr("extra.txt", b"x")), "got also 'extra.txt'")
    refused(rezip(archive, lambda z: None, leave=("model0.onnx",)), "got none named")
    refused(rezip(archive, lambda z: None, leave=("manifest.json",)), "must hold manifest.json")
    refused(rezip(archive, lambda z: z.writestr("model0.onnx", b"other")), "twice")


def test_zip_links(archive: Path) -> None:
    info = zipfile.ZipInfo("model0.onnx")
    info.external_attr = 0o120777 << 16
    refused(rezip(archive, lambda z: z.writestr(info, b"/etc/passwd"), leave=("model0.onnx",)), "a link or encrypted")


def test_zip_bomb_by_ratio(archive: Path) -> None:
    refused(rezip(archive, lambda z: z.writestr("zeros.bin", b"\0" * (8 << 20))), "blow up")


def test_zip_bomb_that_lies_about_its_size(archive: Path) -> None:
    """The header claims what the manifest promises; the stream holds more. Reading stops at the promise."""
    with zipfile.ZipFile(archive) as source:
        promised = source.getinfo("model0.onnx").file_size
    path = rezip(archive, lambda z: z.writestr("model0.onnx", b"\0" * (3 << 20)), leave=("model0.onnx",))
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", 3 << 20), struct.pack("<I", promised)))
    refused(path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_truncated_zips(archive: Path, share: float) -> None:
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    refused(archive, "whole zip")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["package.json", "model0.onnx", "encoder.json", "schema.json"])
def test_truncated_files(victim: Path, name: str, share: float) -> None:
    content = (victim / name).read_bytes()
    (victim / name).write_bytes(content[: int(len(content) * share)])
    refused(victim, "bytes")
    replace(victim, name, content[: int(len(content) * share)])
    refused(victim)


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
def test_one_changed_byte_in_a_zip_never_gives_another_model(archive: Path, at: int, mask: int) -> None:
    content = bytearray(archive.read_bytes())
    content[at % len(content)] ^= mask
    path = archive.with_name("flipped.zip")
    path.write_bytes(content)
    rows = toy.records(3)
    try:
        got = load(path).raw(rows)
    except PackageError:
        return
    assert np.array_equal(got, load(archive).raw(rows))  # the byte was a date or a comment


def test_paths_that_are_no_package(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    for name in ("text", "empty", "absent", "model.pkl"):
        refused(tmp_path / name)
