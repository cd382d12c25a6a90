"""Images in: every format and mode, every layout, one pipeline for training and serving."""

import base64
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rightfit import cache
from rightfit.data import table
from rightfit.data._media import decode, scratch
from rightfit.data._media.reference import reference
from rightfit.data.assemble import assemble
from rightfit.data.audit import fingerprint
from rightfit.data.modalities import _image_portable as portable
from rightfit.data.modalities import image
from rightfit.data.schema import coerce
from rightfit.data.values import Unreadable, compile_row
from rightfit.errors import DataError, PackageError, UsageError
from rightfit.package.runtimes import image as runtime
from rightfit.records import Dataset, Need, Task
from rightfit.task.understand import understand

RNG = np.random.default_rng(0)


def picture(height: int = 20, width: int = 30, seed: int = 0) -> Image.Image:
    smooth = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(smooth).resize((width, height), Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    into = io.BytesIO()
    picture.save(into, kind, **options)
    return into.getvalue()


def folder(root: Path, names: list[str], kind: str = "PNG") -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(picture(seed=number), kind))
    return root


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def posed(source: Any, need: Need | None = None) -> tuple[table.Table, Task, Dataset]:
    need = need or Need()
    modality = table.pick(source, need)
    assert modality.name == "image"
    read = modality.read(source, need)
    task = understand(read.frame, read.schema, read.need or need, "image")
    return read, task, assemble(read.frame, read.schema, task)


# --- decoding ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("kind", "modes"), [
    ("JPEG", ("L", "RGB", "CMYK", "YCbCr", "1")), ("PNG", ("1", "L", "LA", "RGB", "RGBA", "P")),
    ("WEBP", ("L", "RGB", "RGBA")), ("BMP", ("1", "L", "RGB", "RGBA", "P")), ("GIF", ("L", "RGB", "RGBA", "P")),
    ("TIFF", ("1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "YCbCr"))])
def test_every_format_and_mode_gives_its_colours(kind: str, modes: tuple[str, ...]) -> None:
    plain = np.asarray(picture(), dtype=float)
    grey = np.asarray(picture().convert("L").convert("RGB"), dtype=float)
    for mode in modes:
        ref = decode.uri(encoded(picture().convert(mode), kind))
        found = decode.open_image(ref)
        assert (found.mode, found.size) == ("RGB", (30, 20))
        away = np.abs(np.asarray(found, dtype=float) - (grey if mode in ("L", "LA", "1") else plain)).mean()
        assert away < (120 if mode == "1" else 30 if mode == "P" else 12), (kind, mode, away)
        assert decode.array(ref, 16).shape == (16, 16, 3)


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30])
    marked = encoded(palette, "PNG", transparency=0)
    assert decode.array(decode.uri(encoded(clear)), 4).min() == 255
    assert decode.array(decode.uri(marked), 4).min() == 255
    assert decode.array(decode.uri(encoded(Image.new("LA", (4, 4), (0, 0)))), 4).min() == 255


@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_deep_grey_is_scaled_by_its_depth(top: int) -> None:
    ramp = np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8)
    for kind in ("PNG", "TIFF"):
        found = decode.array(decode.uri(encoded(Image.fromarray(ramp), kind)), 8)[..., 0]
        assert np.abs(found - np.linspace(0, 255, 64).reshape(8, 8)).max() <= 1.5
    floats = decode.array(decode.uri(encoded(Image.fromarray((ramp / top).astype(np.float32)), "TIFF")), 8)[..., 0]
    assert np.abs(floats - np.linspace(0, 255, 64).reshape(8, 8)).max() <= 1.5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    upright = np.zeros((16, 32, 3), dtype=np.uint8)
    upright[:8, :16], upright[8:, 16:] = (250, 0, 0), (0, 0, 250)
    stored: dict[int, Callable[[Any], Any]] = {  # how a camera that is held so stores the upright picture
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1)}
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if kind == "WEBP" else {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    content = encoded(Image.fromarray(np.ascontiguousarray(stored[orientation](upright))), kind, exif=exif, **lossless)
    found = decode.open_image(decode.uri(content))
    assert found.size == (32, 16)
    assert np.abs(np.asarray(found, float) - upright).mean() < 6
    square = np.asarray(Image.fromarray(upright).resize((8, 8), Image.Resampling.BILINEAR), float)
    assert np.abs(decode.array(decode.uri(content), 8) - square).mean() < 8


def test_one_pipeline_for_one_and_for_many(tmp_path: Path) -> None:
    folder(tmp_path, [f"{i}.jpg" for i in range(5)], "JPEG")
    refs = [str(tmp_path / f"{i}.jpg") for i in range(5)]
    refs.append(decode.uri((tmp_path / "0.jpg").read_bytes()))
    for place in (None, tmp_path / "cache"):
        with cache.at(place):
            found = decode.pixels(refs, 24)
            assert found.shape == (6, 24, 24, 3) and found.take([0]).dtype == np.uint8
            for position, ref in enumerate(refs):
                assert np.array_equal(found.take([position])[0], decode.array(ref, 24))
    assert decode.keys(refs)[0] == decode.keys(refs)[5] != decode.keys(refs)[1]
    (tmp_path / "1.jpg").write_bytes((tmp_path / "0.jpg").read_bytes())
    assert decode.keys(refs)[1] == decode.keys(refs)[0]


def test_natural_size_is_that_of_the_median_and_of_the_room(tmp_path: Path, monkeypatch: Any) -> None:
    def sized(side: int) -> str:
        return decode.uri(encoded(Image.new("RGB", (side, 2 * side))))

    assert decode.natural_size([sized(s) for s in (10, 130, 900)]) == 128
    assert decode.natural_size([sized(10)]) == 32 and decode.natural_size([]) == 32
    assert decode.natural_size([sized(3000)]) == 256
    monkeypatch.setattr(decode, "TABLE_BYTES", 2 * 3 * 100 * 100)
    assert decode.natural_size([sized(500), sized(500)]) == 96
    assert decode.measure(sized(40)) == (40, 80)


def test_the_users_warning_filters_are_left_as_they_were() -> None:
    import threading
    import warnings

    ref = decode.uri(encoded(picture()))
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode.array(ref, 8) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


# --- references and the column kind -----------------------------------------------------------------------------------

def test_what_stands_for_an_image(tmp_path: Path) -> None:
    content, path = encoded(picture()), folder(tmp_path, ["a.png"]) / "a.png"
    pixels = np.asarray(picture())
    for value in (content, bytearray(content), {"bytes": content, "path": None}, picture(), pixels,
                  base64.b64encode(content).decode(), decode.uri(content), str(path), path, f"file://{path}"):
        assert np.array_equal(np.asarray(decode.open_image(str(reference(value)))), pixels)
    assert [reference(v) for v in (None, "", float("nan"), b"", pd.NA)] == [None] * 5
    for value in (3, "https://example.org/a.png", "data:text/html;base64,AAAA", ["a"]):
        with pytest.raises(Unreadable, match="an image"):
            reference(value)


def test_the_kind_coerces_frames_and_records_alike(tmp_path: Path) -> None:
    data, _ = image.example("binary", n=6)
    record = compile_row(data.schema)({"image": data.X["image"][0], "more": 1})
    assert record == {"image": data.X["image"][0]}
    again = coerce(pd.DataFrame({"image": [decode.content(ref) for ref in data.X["image"]]}), data.schema)
    assert again["image"].tolist() == data.X["image"].tolist()
    with pytest.raises(DataError, match=r"column 'image' must hold an image.*row=1"):
        coerce(pd.DataFrame({"image": ["a.png", 5]}), data.schema)


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    names = ["a/1.png", "a/2.png", "b/3.png", "b/4.png"]
    one, two = posed(folder(tmp_path / "x", names))[2], posed(folder(tmp_path / "y", names))[2]
    assert one.X["image"].tolist() != two.X["image"].tolist()
    assert fingerprint(one) == fingerprint(two)
    (tmp_path / "y/a/1.png").write_bytes(encoded(picture(seed=99)))
    assert fingerprint(one) != fingerprint(posed(tmp_path / "y")[2])


# --- layouts ----------------------------------------------------------------------------------------------------------

def test_a_folder_per_class(tmp_path: Path) -> None:
    names = ["cat/1.png", "cat/deep/2.png", "dog/3.png", "dog/4.png", "dog/5.PNG", "dog/.DS_Store", "dog/notes.txt",
             "__MACOSX/dog/3.png"]
    folder(tmp_path, names)
    os.rename(tmp_path / "dog/4.png", tmp_path / "dog/no-suffix")
    read, task, data = posed(tmp_path)
    assert read.frame["label"].tolist() == ["cat", "cat", "dog", "dog", "dog"]
    assert read.origin["paths"] == ["cat/1.png", "cat/deep/2.png", "dog/3.png", "dog/5.PNG", "dog/no-suffix"]
    assert (read.origin["hidden"], read.origin["ignored"], read.held) == (2, 1, None)
    assert [c.kind for c in data.schema.features] == ["image"] and read.findings == ()
    assert task.problem == "binary" and sorted(task.classes) == ["cat", "dog"]
    assert all(os.path.isabs(ref) for ref in data.X["image"])


@pytest.mark.parametrize("around", ["", "photos/"])
def test_parts_are_for_learning_and_for_testing(tmp_path: Path, around: str) -> None:
    names = ["Train/a/1.png", "Train/b/2.png", "valid/a/3.png", "test/a/4.png", "test/b/5.png", "test/c/6.png"]
    content = {around + name: encoded(picture(seed=i)) for i, name in enumerate(names)}
    read, task, _ = posed(zipped(tmp_path / "x.zip", content))
    assert read.frame["label"].tolist() == ["a", "b", "a"]
    assert read.held["label"].tolist() == ["a", "b"]
    assert read.origin["parts"] == {"train": 2, "val": 1, "test": 3}
    assert [f.code for f in read.findings] == ["class_only_in_test"]
    held = assemble(read.held, read.schema, task)
    assert held.y.tolist() == [task.classes.index("a"), task.classes.index("b")]


def test_a_zip_reads_as_its_folder_does(tmp_path: Path) -> None:
    names = ["a/1.png", "a/2.png", "b/3.png", "b/4.png"]
    folder(tmp_path / "x", names)
    archive = zipped(tmp_path / "x.zip", {n: (tmp_path / "x" / n).read_bytes() for n in names})
    with cache.at(tmp_path / "cache"):
        one, two, again = (image.read(source, Need()) for source in (tmp_path / "x", archive, archive))
    assert one.frame["label"].tolist() == two.frame["label"].tolist()
    assert decode.keys(one.frame["image"]) == decode.keys(two.frame["image"])
    assert two.frame["image"].tolist() == again.frame["image"].tolist()
    assert two.frame["image"][0].startswith(str(tmp_path / "cache"))


def test_without_class_folders_there_are_only_images(tmp_path: Path) -> None:
    folder(tmp_path, ["1.png", "2.png"])
    read = image.read(tmp_path, Need(modality="image"))
    assert list(read.frame.columns) == ["image"] and read.origin["paths"] == ["1.png", "2.png"]
    with pytest.raises(UsageError, match="target must be named"):
        posed(tmp_path)


def test_folders_named_by_numbers_are_classes(tmp_path: Path) -> None:
    names = [f"{number}/{i}.png" for number in range(40) for i in range(2)]
    _, task, data = posed(folder(tmp_path, names))
    assert task.problem == "multiclass" and len(task.classes) == 40 and len(set(data.y.tolist())) == 40


def test_one_image_and_a_column_of_another_name(tmp_path: Path) -> None:
    folder(tmp_path, ["a/1.png", "b/2.png"])
    need = Need(modality="image", kinds={"photo": "image"})  # as `rightfit predict` asks, for a model of that column
    for source, paths in ((tmp_path / "a/1.png", ["1.png"]), (tmp_path, ["a/1.png", "b/2.png"])):
        assert image.claims(source, Need())
        read = image.read(source, need)
        assert read.origin["paths"] == paths and read.frame["photo"][0] == str(tmp_path / "a/1.png")


def test_the_target_of_a_folder_may_be_named(tmp_path: Path) -> None:
    folder(tmp_path, ["a/1.png", "b/2.png"])
    assert posed(tmp_path, Need(target="species"))[1].target == ("species",)
    with pytest.raises(UsageError, match="one target"):
        image.read(tmp_path, Need(target=("a", "b")))


# --- tables -----------------------------------------------------------------------------------------------------------

def listed(root: Path, n: int = 12) -> pd.DataFrame:
    names = [f"pictures/{i}.png" for i in range(n)]
    folder(root, names)
    return pd.DataFrame({"file": names, "label": ["ab"[i % 2] for i in range(n)], "price": np.arange(n) * 1.5 + 0.1,
                         "red": [i % 2 for i in range(n)], "round": [i // 2 % 2 for i in range(n)],
                         "tags": [("x;y", "x", "y", "y;z")[i % 4] for i in range(n)]})


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl", "csv.gz"])
def test_a_table_of_paths(tmp_path: Path, kind: str) -> None:
    frame, path = listed(tmp_path), tmp_path / f"t.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    read, task, data = posed(path, Need(target="label"))
    assert task.problem == "binary" and [c.name for c in data.schema.features] == ["file"]
    assert data.X["file"].tolist() == [str(tmp_path / name) for name in frame["file"]]
    assert read.origin["paths"] == frame["file"].tolist() and read.origin["format"] != "folder"
    assert [f.code for f in read.findings] == ["columns_not_used"]


@pytest.mark.parametrize(("need", "problem", "shape"), [
    (Need(target="price"), "regression", (12,)), (Need(target=("red", "round")), "multilabel", (12, 2)),
    (Need(target="tags", delimiter=";"), "multilabel", (12, 3)), (Need(target=1), "binary", (12,))])
def test_targets_of_tables(tmp_path: Path, need: Need, problem: str, shape: tuple[int, ...]) -> None:
    listed(tmp_path).to_csv(tmp_path / "t.csv", index=False)
    _, task, data = posed(tmp_path / "t.csv", need)
    assert task.problem == problem and data.y.shape == shape and list(data.X.columns) == ["file"]


def test_paths_may_start_in_a_folder_beside_the_table(tmp_path: Path) -> None:
    frame = listed(tmp_path).assign(file=lambda f: f["file"].str.removeprefix("pictures/"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert posed(tmp_path / "t.csv", Need(target="label"))[0].origin["folder"] == str(tmp_path / "pictures")


@pytest.mark.parametrize("nested", [False, True])
def test_a_table_of_bytes(tmp_path: Path, monkeypatch: Any, nested: bool) -> None:
    content = [encoded(picture(seed=i)) for i in range(6)]
    values = [{"bytes": c, "path": f"{i}.png"} for i, c in enumerate(content)] if nested else content
    pd.DataFrame({"image": values, "y": list("aabbab")}).to_parquet(tmp_path / "t.parquet")
    for limit in (scratch.INLINE_BYTES, 1000):
        monkeypatch.setattr(scratch, "INLINE_BYTES", limit)
        with cache.at(tmp_path / "cache"):
            _, task, data = posed(tmp_path / "t.parquet", Need(target="y"))
            assert task.problem == "binary" and [decode.content(ref) for ref in data.X["image"]] == content
        assert data.X["image"][0].startswith("data:" if limit > 1000 else str(tmp_path / "cache"))


def test_frames_of_pictures_and_of_data_uris() -> None:
    frame = pd.DataFrame({"photo": [picture(seed=i) for i in range(4)], "y": list("abab")})
    assert len(posed(frame, Need(target="y"))[2]) == 4
    records = [{"photo": decode.uri(encoded(picture(seed=i))), "y": "ab"[i % 2]} for i in range(4)]
    assert len(posed(records, Need(target="y"))[2]) == 4


def test_a_split_column_sets_rows_aside(tmp_path: Path) -> None:
    frame = listed(tmp_path).assign(split=["train"] * 7 + ["val"] + ["test"] * 4)
    frame.to_csv(tmp_path / "t.csv", index=False)
    read, _, data = posed(tmp_path / "t.csv", Need(target="label"))
    assert (len(data), len(read.held), read.origin["held"]) == (8, 4, 4)


def test_groups_of_tables_are_kept(tmp_path: Path) -> None:
    listed(tmp_path).assign(patient=[f"p{i // 3}" for i in range(12)]).to_csv(tmp_path / "t.csv", index=False)
    assert len(set(posed(tmp_path / "t.csv", Need(target="label", group="patient"))[2].groups)) == 4


@pytest.mark.parametrize("frame", [
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), pd.DataFrame({"url": ["https://x.org/a.jpg"] * 3, "n": [1, 2, 3]}),
    pd.DataFrame({"file": ["gone.jpg", "away.jpg"], "size": [1, 2], "y": [0, 1]})])
def test_other_tables_are_left_alone(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_csv(tmp_path / "t.csv", index=False)
    for source in (frame, tmp_path / "t.csv"):
        assert table.pick(source, Need(target="y")).name == "tabular"


def test_other_folders_and_zips_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "texts/a").mkdir(parents=True)
    (tmp_path / "texts/a/1.txt").write_text("hello", encoding="utf-8")
    assert not image.claims(tmp_path / "texts", Need())
    assert not image.claims(zipped(tmp_path / "x.zip", {"t.csv": b"a,b\n1,2\n"}), Need())


# --- examples, packages -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("problem", ["binary", "multiclass", "multilabel", "regression"])
def test_examples_can_be_learnt_from_colour_and_noise_cannot(problem: Any) -> None:
    from sklearn.linear_model import LinearRegression

    def seen(noise: bool) -> float:
        scores = []
        (data, task), (new, _) = (image.example(problem, n=240, seed=seed, noise=noise) for seed in (0, 1))
        features = [decode.pixels(d.X["image"].tolist(), 16).take(np.arange(240)).reshape(240, -1, 3).mean(axis=1)
                    for d in (data, new)]
        truth = [np.asarray(d.y, float).reshape(240, -1)[:, 0] for d in (data, new)]
        model = LinearRegression().fit(features[0], truth[0])
        scores.append(model.score(features[1], truth[1]))
        assert task.outputs == (data.y.shape[1] if data.y.ndim == 2 else 1) and data.X["image"].is_unique
        return float(np.mean(scores))

    assert seen(False) > 0.5 > 0.1 > seen(True)


def test_hard_rows_can_be_decoded() -> None:
    frames = image.hard()
    assert {"one pixel", "grey", "transparent", "palette", "very wide"} <= set(frames)
    for frame in frames.values():
        assert decode.pixels(frame["image"].tolist(), 32).shape == (1, 32, 32, 3)


def test_portable_records_hold_their_images(tmp_path: Path) -> None:
    noisy = Image.fromarray(RNG.integers(0, 256, (1200, 900, 3), dtype=np.uint8))
    (tmp_path / "big.png").write_bytes(encoded(noisy))
    folder(tmp_path, ["small.png"])
    small, big = portable.portable([{"image": str(tmp_path / "small.png")}, {"image": str(tmp_path / "big.png")}])
    assert decode.content(small["image"]) == (tmp_path / "small.png").read_bytes()
    assert decode.open_image(big["image"]).size == (768, 1024) and big["image"].startswith("data:image/jpeg")
    assert portable.portable([{"image": None}]) == [{"image": None}]


def graph(path: Path) -> None:
    """X uint8 (n, s, s, 3) to the shares of the three colours, Y float32 (n, 3)."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Cast", ["X"], ["f"], to=TensorProto.FLOAT),
             helper.make_node("ReduceMean", ["f"], ["m"], axes=[1, 2], keepdims=0),
             helper.make_node("Softmax", ["m"], ["Y"], axis=1)]
    made = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("X", TensorProto.UINT8, ["n", "s", "s", 3])],
                             [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", 3])])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def test_the_runtime_scores_one_row_as_many(tmp_path: Path) -> None:
    graph(tmp_path / "model.onnx")
    meta = {"runtime": "image", "column": "image", "size": 16, "outputs": 3,
            "cores": [{"format": "onnx", "file": "model.onnx"}]}
    scorer = runtime.SPEC.load(tmp_path, meta)
    data, _ = image.example("multiclass", n=70)
    found = scorer.frame(data.X)
    records = data.X.to_dict("records")
    assert found.shape == (70, 3) and found.dtype == np.float64
    assert np.allclose(found, scorer.rows(records), atol=1e-6)
    assert np.allclose(found, np.concatenate([scorer.row(record) for record in records]), atol=1e-6)
    assert scorer.frame(data.X[:0]).shape == (0, 3)
    assert runtime.SPEC.requires(meta) == ("numpy", "onnxruntime", "pillow")
    with pytest.raises(DataError, match="every row must hold an image"):
        scorer.row({"image": None})
    for wrong in ({"size": 0}, {"size": 10**6}, {"column": None}, {"outputs": "3"}, {"cores": []}):
        with pytest.raises(PackageError, match="a package of images must"):
            runtime.SPEC.load(tmp_path, meta | wrong)


@pytest.mark.shared
@pytest.mark.parametrize(("name", "classes", "rows", "held"), [
    ("flowers5_128px", 5, 4317, 0), ("trashnet_60perclass", 6, 360, 0), ("brain_mri_imbalanced", 4, 395, 160)])
def test_real_zips_are_read(name: str, classes: int, rows: int, held: int, tmp_path: Path) -> None:
    home = Path(os.environ.get("RIGHTFIT_DATA", Path(__file__).parents[2] / "shared" / "data")) / "images"
    if not (home / f"{name}.zip").is_file():
        pytest.skip("the real data are not here")
    with cache.at(tmp_path):
        read, task, data = posed(home / f"{name}.zip")
    assert (len(task.classes), len(data), 0 if read.held is None else len(read.held)) == (classes, rows, held)
    assert read.findings == ()
