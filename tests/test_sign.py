"""Signatures: right key, wrong key, changed file, none."""

import hashlib
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

from rightfit.errors import PackageError, Unavailable, UsageError
from rightfit.package import load, write
from rightfit.records import Rule

pytest.importorskip("cryptography")
from rightfit.package import sign

_spec = importlib.util.spec_from_file_location("toy_package", Path(__file__).with_name("toy_package.py"))
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)
package = toy.package


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    home = tmp_path_factory.mktemp("signed")
    sign.new_key(home / "key")
    sign.new_key(home / "other")
    sign.sign(package(home / "package"), home / "key")
    return home


def test_a_signed_package_loads_and_verifies_as_folder_and_zip(signed, tmp_path):
    sign.check(signed / "package", signed / "key.pub")
    zipped = write.zip_package(signed / "package", tmp_path / "package.zip")
    sign.check(zipped, signed / "key.pub")
    record = load(zipped).sample[0]
    assert load(zipped).predict_one(record) == load(signed / "package").predict_one(record)
    assert (signed / "key").stat().st_mode & 0o077 == 0


def test_another_key_a_change_and_no_signature_are_refused(signed, tmp_path):
    with pytest.raises(PackageError, match="signed with another"):
        sign.check(signed / "package", signed / "other.pub")
    copy = tmp_path / "copy"
    shutil.copytree(signed / "package", copy)
    change_by_hand(copy)
    assert load(copy).rule.threshold == (0.9,)  # the manifest fits, only the signature tells
    with pytest.raises(PackageError, match="changed after signing"):
        sign.check(copy, signed / "key.pub")
    (copy / "sample.json").write_text("[]")
    with pytest.raises(PackageError, match="damaged"):
        sign.check(copy, signed / "key.pub")
    with pytest.raises(PackageError, match="must be signed"):
        sign.check(package(tmp_path / "plain"), signed / "key.pub")


def change_by_hand(folder):
    """Another rule under an honest manifest, the old signature beside it: what somebody without the key can do."""
    info = json.loads((folder / "package.json").read_text())
    info["rule"]["threshold"] = [0.9]
    content = json.dumps(info).encode()
    (folder / "package.json").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["package.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_package_that_rightfit_changes_must_be_signed_again(signed, tmp_path):
    copy = Path(shutil.copytree(signed / "package", tmp_path / "copy"))
    write.restamp(copy, rule=Rule(threshold=(0.9,)))
    with pytest.raises(PackageError, match="must be signed"):
        sign.check(copy, signed / "key.pub")
    sign.sign(copy, signed / "key")
    sign.check(copy, signed / "key.pub")
    assert load(copy).rule.threshold == (0.9,)


def test_without_the_library_it_says_what_to_install(signed, monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    for call in (lambda: sign.check(signed / "package", signed / "key.pub"),
                 lambda: sign.sign(signed / "package", signed / "key")):
        with pytest.raises(Unavailable, match=r"rightfit\[sign\]"):
            call()


def test_keys_that_are_none_get_one_sentence(signed, tmp_path):
    (tmp_path / "text").write_text("no key")
    for path, said in ((tmp_path / "text", "which is none"), (tmp_path / "absent", "readable file")):
        with pytest.raises(UsageError, match=said):
            sign.sign(signed / "package", path)
        with pytest.raises(UsageError, match=said):
            sign.check(signed / "package", path)
    with pytest.raises(UsageError, match="which is none"):
        sign.check(signed / "package", signed / "key")
    with pytest.raises(UsageError, match="must not replace"):
        sign.new_key(signed / "key")
