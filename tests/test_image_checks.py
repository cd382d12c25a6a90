"""data/checks/image_*: each trap is found where it was planted, and clean images stay quiet."""

from __future__ import annotations

import base64
import dataclasses
import doctest
import importlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rightfit import cache
from rightfit.data.audit import audit
from rightfit.data.checks import _images, image_leakage
from rightfit.data.checks.image_near_duplicates import close, near
from rightfit.records import Column, Dataset, Finding, Schema, Task
from rightfit.registry import plugins

CLASSES = ("bird", "fish")
SCHEMA = Schema(columns=(Column(name="image", kind="image"),))
EACH = 60


def scene(rng: np.random.Generator, kind: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A smooth random picture in colour; its right half is brighter for kind 1."""
    rough = rng.uniform(20, 180, (9, 12, 3))
    rough[:, 6:] += 70 * kind
    return Image.fromarray(rough.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def rows(files: list[Path | str], y: Any, classes: tuple[str, ...] = CLASSES) -> tuple[Dataset, Task]:
    frame = pd.DataFrame({"image": pd.Series([str(f) for f in files], dtype=object)})
    problem: Any = "regression" if not classes else "binary" if len(classes) == 2 else "multiclass"
    return (Dataset(X=frame, y=np.asarray(y), schema=SCHEMA),
            Task(modality="image", problem=problem, target=("label",), metric="accuracy", classes=classes,
                 rows=len(files), features=1))


def folder(home: Path, each: int = EACH, seed: int = 0) -> tuple[Dataset, Task]:
    rng = np.random.default_rng(seed)
    files, y = [], []
    for code, name in enumerate(CLASSES):
        (home / name).mkdir(parents=True)
        for number in range(each):
            files.append(home / name / f"{name}_{number:04d}.png")
            scene(rng, code).save(files[-1])
            y.append(code)
    return rows(files, y)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("pictures")
    folder(home / "clean")
    folder(home / "other", each=40, seed=1)
    with cache.at(home / "cache"):
        yield home


@pytest.fixture
def home(pristine: Path, tmp_path: Path) -> Path:
    shutil.copytree(pristine / "clean", tmp_path / "p")
    return tmp_path / "p"


def reread(place: Path) -> tuple[Dataset, Task]:
    files = sorted(place.glob("*/*"))
    return rows(list(files), [CLASSES.index(f.parent.name) for f in files])


def found(code: str, data: Dataset, task: Task, test: Dataset | None = None) -> Finding | None:
    result = audit(data, task, test=test)
    assert not result.of("check_failed"), result.of("check_failed")
    return next(iter(result.of(code)), None)


def told(code: str, data: Dataset, task: Task, test: Dataset | None = None) -> Finding:
    finding = found(code, data, task, test)
    assert finding is not None and finding.evidence.endswith(".") and len(finding.consequence) > 10
    return finding


def test_clean_images_are_quiet(pristine: Path) -> None:
    data, task = reread(pristine / "clean")
    before = data.X.copy()
    result = audit(data, task, test=reread(pristine / "other")[0])
    assert [(f.code, f.evidence) for f in result.findings if f.severity != "info"] == []
    assert {f.code for f in result.findings} == {"resolution"}
    assert result == audit(data, task, test=reread(pristine / "other")[0])
    pd.testing.assert_frame_equal(data.X, before)


def test_every_image_check_runs_and_the_general_ones_too(pristine: Path) -> None:
    checks = plugins("rightfit.data.checks")
    assert {"image_duplicates", "image_near_duplicates", "image_resolution", "image_blank", "image_color",
            "image_leakage", "image_label_errors", "image_shift"} <= set(checks)
    data, task = reread(pristine / "clean")
    few = data.take(np.r_[np.arange(EACH), np.arange(EACH, EACH + 4)])
    assert told("class_imbalance", few, task).severity == "warning"
    assert "fish" in told("rare_classes", few, task).data["classes"]


def test_copies_within_across_and_under_two_classes(home: Path, pristine: Path) -> None:
    shutil.copy(home / "bird/bird_0001.png", home / "bird/bird_9001.png")
    shutil.copy(home / "bird/bird_0002.png", home / "fish/fish_9002.png")
    held = home.parent / "held"
    shutil.copytree(pristine / "other", held)
    shutil.copy(home / "bird/bird_0003.png", held / "bird/x.png")
    data, task = reread(home)
    assert told("duplicates", data, task).data["rows"] == 2
    conflict = told("conflicting_labels", data, task)
    assert conflict.data["pairs"] == [["bird/bird_0002.png", "fish/fish_9002.png"]] and conflict.severity == "warning"
    across = told("duplicates_across_test", data, task, reread(held)[0])
    assert across.data["pairs"] == [["bird/bird_0003.png", "bird/x.png"]]
    assert found("near_duplicates", data, task) is None  # exact copies are told once


@pytest.mark.parametrize("change", [
    lambda image: image.resize((40, 30)), lambda image: image.point(lambda v: min(255, int(v * 1.15))),
    lambda image: image.resize((640, 480)).crop((4, 3, 636, 477)), lambda image: image.convert("L")])
def test_near_copies(home: Path, pristine: Path, change: Any) -> None:
    for source, target in (("bird/bird_0001", "bird/z1"), ("bird/bird_0002", "fish/z2")):
        change(Image.open(home / f"{source}.png")).convert("RGB").save(home / f"{target}.jpg", quality=80)
    data, task = reread(home)
    pairs = [["bird/bird_0001.png", "bird/z1.jpg"], ["bird/bird_0002.png", "fish/z2.jpg"]]
    assert told("near_duplicates", data, task).data["pairs"] == pairs
    assert told("conflicting_near_duplicates", data, task).data["pairs"] == pairs[1:]
    assert found("duplicates", data, task) is None
    clean, task = reread(pristine / "clean")
    held = home.parent / "held"
    (held / "fish").mkdir(parents=True)
    shutil.copy(home / "fish/z2.jpg", held / "fish/z2.jpg")
    test, _ = rows([held / "fish/z2.jpg"], [1])
    assert told("near_duplicates_across_test", clean, task, test).data["share"] == 1.0


def test_codes_that_are_close_are_all_found() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**64, 3000, dtype=np.uint64)
    for row in range(200):
        codes[1000 + row] = codes[row]
        for bit in rng.choice(64, 1 + row % 6, replace=False):
            codes[1000 + row] ^= np.uint64(1) << np.uint64(bit)
    apart = np.bitwise_count(codes[:, None] ^ codes[None])
    wanted = [(a, b) for a, b in np.argwhere(apart <= 4).tolist() if a < b]
    assert [tuple(pair) for pair in close(codes).tolist()] == wanted and len(wanted) > 100


def test_many_alike_are_pairs_with_the_first_and_not_all_pairs(home: Path) -> None:
    image = Image.open(home / "bird/bird_0001.png")
    for quality in range(30, 90):
        image.save(home / f"bird/q{quality}.jpg", quality=quality)
    data, task = reread(home)
    assert told("near_duplicates", data, task).data["rows"] == 61
    assert 60 <= len(near(_images.refs(data))) < 61 * 60 / 2 / 3


def test_blank_images(home: Path) -> None:
    for number, colour in enumerate([(0, 0, 0), (255, 255, 255), (90, 120, 30)]):
        Image.new("RGB", (64, 48), colour).save(home / f"fish/blank{number}.png")
    speck = np.full((48, 64, 3), 128, np.uint8)
    speck[0, 0] = 140
    Image.fromarray(speck).save(home / "fish/blank3.png")
    data, task = reread(home)
    finding = told("blank_images", data, task)
    assert finding.data["images"] == [f"fish/blank{n}.png" for n in range(4)] and "class fish" in finding.evidence
    assert found("near_duplicates", data, task) is None  # a blank image has no hash


def test_sizes(home: Path) -> None:
    rng = np.random.default_rng(5)
    for name, size in (("bird/icon", (8, 8)), ("fish/long", (300, 60)), ("fish/tall", (50, 200))):
        scene(rng, 0, size).save(home / f"{name}.png")
    data, task = reread(home)
    assert told("resolution", data, task).data["p50"] == 48
    assert told("tiny_images", data, task).data["images"] == ["bird/icon.png"]
    assert found("mixed_aspect_ratios", data, task) is None
    for number in range(30):
        scene(rng, number % 2, (48, 64)).save(home / f"{CLASSES[number % 2]}/{CLASSES[number % 2]}_8{number:03d}.png")
    mixed = told("mixed_aspect_ratios", *reread(home))
    assert set(mixed.data["images"]) == {"fish/long.png", "fish/tall.png"}


def test_small_images_are_told_as_such(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{n}.png" for n in range(30)]
    for n, file in enumerate(files):
        scene(rng, n % 2, (12, 12)).save(file)
    finding = told("low_resolution", *rows(list(files), [n % 2 for n in range(30)]))
    assert finding.data["p50"] == 12


def test_the_size_of_a_turned_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    exif[271] = "Maker"
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    told_by = _images.header(str(tmp_path / "a.jpg"))
    assert (told_by.width, told_by.height, told_by.format, told_by.camera) == (40, 60, "JPEG", "Maker")
    (tmp_path / "b.jpg").write_text("no image")
    assert _images.header(str(tmp_path / "b.jpg")) == _images.Header() == _images.header(str(tmp_path / "c.jpg"))


def test_grey_images(home: Path) -> None:
    def greyed(keep: Any) -> tuple[Dataset, Task]:
        for number, path in enumerate(sorted(home.glob("*/*"))):
            if keep(number, path):
                Image.open(path).convert("L").convert("RGB").save(path)
        return reread(home)

    mixed = greyed(lambda number, path: number % 3 == 0)
    assert told("mixed_color", *mixed).data["share"] == pytest.approx(1 / 3) and found("color_leak", *mixed) is None
    assert told("grey_images", *greyed(lambda number, path: True)).severity == "info"


def test_a_grey_class_is_asked_about(home: Path) -> None:
    for path in sorted((home / "fish").glob("*"))[2:]:
        Image.open(path).convert("L").save(path)
    finding = told("color_leak", *reread(home))
    assert finding.severity == "ask" and finding.data["classes"] == ["bird", "fish"]


def leaky(home: Path, how: str) -> tuple[Dataset, Task]:
    """Classes that differ by one property of their files."""
    for number, path in enumerate(sorted(home.glob("*/*"))):
        image, fish = Image.open(path).convert("RGB"), path.parent.name == "fish"
        path.unlink()
        stem = path.with_name(("dsc" if fish else "pic") + f"_{number:03d}" if how == "name" else f"{number:03d}")
        if how == "format":
            image.save(stem.with_suffix(".png" if fish else ".webp"))
        elif how == "resolution":
            image.resize((80 + 2 * (number % 7), 60) if fish else (64, 48 + number % 7)).save(stem.with_suffix(".png"))
        elif how == "camera":
            exif = Image.Exif()
            exif[271] = "Fishcam" if fish else ""
            image.save(stem.with_suffix(".jpg"), exif=exif if fish else Image.Exif())
        elif how == "compression":
            image.save(stem.with_suffix(".jpg"), quality=75 if fish else 92)
        else:
            image.save(stem.with_suffix(".png"))
    return reread(home)


@pytest.mark.parametrize("how", ["name", "format", "resolution", "camera", "compression"])
def test_files_that_give_the_class_away(home: Path, how: str) -> None:
    data, task = leaky(home, how)
    finding = told(f"{how}_leak", data, task)
    assert finding.severity == "ask" and finding.data["score"] > 0.95
    asked = {f.code for f in audit(data, task).findings if f.code.endswith("_leak")}
    assert asked == {f"{how}_leak"}
    shuffled = dataclasses.replace(data, y=np.random.default_rng(0).permutation(data.y))
    assert not [f for f in audit(shuffled, task).findings if f.code.endswith("_leak")]


def test_sizes_that_give_a_number_away(home: Path) -> None:
    data, task = leaky(home, "resolution")
    values = np.where(data.y == 1, 50.0, 10.0) + np.random.default_rng(0).normal(size=len(data))
    number = dataclasses.replace(task, problem="regression", classes=())
    assert told("resolution_leak", dataclasses.replace(data, y=values), number).data["score"] > 0.9


def test_wrong_labels_are_ranked(home: Path) -> None:
    wrong = [f"bird/bird_{n:04d}.png" for n in (3, 14, 25)]
    data, task = reread(home)
    names = _images.names(_images.refs(data))
    y = data.y.copy()
    y[[names.index(name) for name in wrong]] = 1
    finding = told("label_errors", dataclasses.replace(data, y=y), task)
    listed = [one["image"] for one in finding.data["images"]]
    assert set(listed) <= set(wrong) and len(listed) >= 2
    assert finding.data["images"][0]["looks_like"] == "bird" and finding.data["rows"]
    noise = dataclasses.replace(data, y=np.random.default_rng(0).permutation(data.y))
    assert found("label_errors", noise, task) is None  # what cannot be told apart is not judged


def test_shift_of_the_images_and_not_of_the_shares_of_classes(home: Path, pristine: Path) -> None:
    data, task = reread(pristine / "clean")
    test = reread(pristine / "other")[0]
    fewer = test.take(np.r_[np.arange(40), np.arange(40, 52)])
    assert found("train_test_shift", data, task, fewer) is None
    moved = home.parent / "moved"
    shutil.copytree(pristine / "other", moved)
    for path in moved.glob("*/*"):
        Image.open(path).point(lambda v: v // 2).save(path)
    finding = told("train_test_shift", data, task, reread(moved)[0])
    assert finding.severity == "warning" and finding.data["auc"] > 0.8


def test_images_held_in_the_rows_themselves(home: Path) -> None:
    data, task = reread(home)
    held = ["data:image/png;base64," + base64.b64encode(Path(f).read_bytes()).decode() for f in data.X["image"]]
    inline, _ = rows([*held, held[0]], [*data.y, data.y[0]])
    result = audit(inline, task)
    assert {f.code for f in result.findings} == {"resolution", "duplicates"}
    assert result.of("duplicates")[0].data["pairs"] == [["row 0", "row 120"]]


def test_names_that_stand_for_their_class_are_no_pattern() -> None:
    assert image_leakage.pattern("/x/glass12.jpg", "glass") == "#"
    assert image_leakage.pattern("/x/Tulips-3.jpg", "tulip") == "-#"
    assert image_leakage.pattern("/x/3f2a9bc01d_n.jpg", "rose") == image_leakage.pattern("/x/99_n.jpg", "rose")
    assert image_leakage.pattern("/x/gg (1).jpg", "glioma_tumor") == " (#)"
    assert image_leakage.pattern("/x/hospital2_7.jpg", "glioma_tumor") == "hospital#_#"


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_images(pristine: Path, n: int) -> None:
    data, task = reread(pristine / "clean")
    result = audit(data.take(np.arange(n)), task, test=data.take(np.arange(n, 2 * n)))
    assert not result.of("check_failed")


@pytest.mark.parametrize("name", ["_images", "image_leakage", "image_near_duplicates"])
def test_doctests(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"rightfit.data.checks.{name}")).failed == 0


SHARED = Path(os.environ.get("RIGHTFIT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "images"


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "flowers5_128px.zip").is_file(), reason="needs RIGHTFIT_DATA")
def test_the_known_copies_of_real_sets(tmp_path: Path) -> None:
    def unzipped(name: str) -> Path:
        with zipfile.ZipFile(SHARED / f"{name}.zip") as archive:
            archive.extractall(tmp_path / name)
        return tmp_path / name

    def of(place: Path) -> tuple[Dataset, Task]:
        files = sorted(place.glob("*/*"))
        classes = tuple(sorted({f.parent.name for f in files}))
        return rows(list(files), [classes.index(f.parent.name) for f in files], classes)

    with cache.at(tmp_path / "cache"):
        data, task = of(unzipped("flowers5_128px"))
        assert told("duplicates", data, task).data["rows"] == 6
        assert told("conflicting_labels", data, task).data["rows"] == 4
        brain = unzipped("brain_mri_imbalanced")
        (data, task), (test, _) = of(brain / "train"), of(brain / "test")
        assert told("duplicates", data, task).data["rows"] == 5 and told("duplicates", test, task).data["rows"] == 24
        assert told("duplicates_across_test", data, task, test).data["rows"] == 32
        assert told("train_test_shift", data, task, test).data["auc"] > 0.75
