"""Images that cannot be used: one sentence or one listed item each, nothing unpacked outside, nothing executed."""

import io
import os
import re
import stat
import struct
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rightfit import cache
from rightfit.data import table
from rightfit.data._media import decode
from rightfit.data.modalities import _zip, image
from rightfit.errors import DataError, RightfitError, UnknownName, UsageError
from rightfit.question import ask, enough
from rightfit.records import Need
from rightfit.registry import plugins
from rightfit.task.understand import understand

SENTENCE = re.compile(r"[^\n]* must [^\n]*; got [^\n]*\.")


def png(seed: int = 0, side: int = 16) -> bytes:
    into = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(into, "PNG")
    return into.getvalue()


def jpeg(seed: int = 0) -> bytes:
    into = io.BytesIO()
    Image.open(io.BytesIO(png(seed, 64))).save(into, "JPEG")
    return into.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def vast(side: int = 60_000) -> bytes:
    """A PNG that says it is vast."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + \
        chunk(b"IEND", b"")


def files(root: Path, content: dict[str, bytes]) -> Path:
    for name, some in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(some)
    return root


def good(classes: str = "ab", each: int = 3) -> dict[str, bytes]:
    return {f"{c}/{i}.png": png(10 * n + i) for n, c in enumerate(classes) for i in range(each)}


def posed(source: Any, need: Need | None = None) -> Any:
    need = need or Need()
    read = image.read(source, need)
    return understand(read.frame, read.schema, read.need or need, "image")


def refused(call: Any, *args: Any, kind: type[RightfitError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        call(*args)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert SENTENCE.fullmatch(text), text
    return text


BROKEN = {
    "text.jpg": (b"I am no picture, I am a text.", "not an image but text"),
    "bytes.png": (bytes(range(200, 240)), "not an image"),
    "empty.png": (b"", "empty file"),
    "cut.jpg": (jpeg()[:900], "truncated"),
    "cut.png": (png(3, 64)[:3000], "truncated"),
    "cut.gif": (b"GIF89a\x10\x00", "damaged"),
    "cut.webp": (b"RIFF\x10\x00\x00\x00WEBPVP8 \x00\x00", "damaged"),
    "cut.bmp": (b"BM" + bytes(20), "damaged"),
    "cut.tif": (b"II*\0\x08\0\0\0\x05\0", "damaged"),
    "header.jpg": (b"\xff\xd8\xff\xe0" + bytes(12), "damaged"),
    "vast.png": (vast(), "60000 x 60000 pixels, more than 50 million"),
}


@pytest.mark.parametrize("cached", [False, True])
def test_what_cannot_be_read_is_listed_and_left_out(tmp_path: Path, cached: bool) -> None:
    files(tmp_path / "x", good() | {f"a/{name}": content for name, (content, _) in BROKEN.items()})
    (tmp_path / "x/b/gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "x/b/pipe.png").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "x/b/pipe.png")
    with cache.at(tmp_path / "cache" if cached else None):
        read = image.read(tmp_path / "x", Need())
    found = {f.data["path"]: f.data["reason"] for f in read.findings if f.code == "unreadable_image"}
    expected = {f"a/{name}": reason for name, (_, reason) in BROKEN.items()}
    expected |= {"b/gone.png": "no such file", "b/pipe.png": "not a file"}
    assert set(found) == set(expected)
    for name, reason in expected.items():
        assert found[name].startswith(reason), (name, found[name])
    assert read.frame["label"].tolist() == ["a"] * 3 + ["b"] * 3
    assert all(f.column == "image" and f.severity == "warning" for f in read.findings)


def test_a_vast_image_is_refused_from_its_header() -> None:
    ref = decode.uri(vast())
    tracemalloc.start()
    started = time.process_time()
    refusal = refused(decode.array, ref, 32)
    assert time.process_time() - started < 0.2 and tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()
    assert "60000 x 60000" in refusal and len(refusal) < 300
    refused(decode.open_image, ref)
    refused(decode.measure, ref)


@pytest.mark.parametrize("side", [7100, 10_000, 14_000, 20_000])
def test_the_budget_is_ours_and_not_the_librarys(side: int) -> None:
    assert f"{side} x {side}" in refused(decode.array, decode.uri(vast(side)), 32)


def test_a_gif_whose_frame_is_vaster_than_its_screen_is_refused() -> None:
    screen = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + bytes(6)
    for side in (10_000, 60_000):
        frame = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00;"
        assert "million" in refused(decode.array, decode.uri(screen + frame), 32)


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(decode.MAX_BYTES + 1)
    assert "more than" in refused(decode.array, str(path), 32)
    assert "more than" in refused(decode.keys, [str(path)])


@pytest.mark.parametrize("ref", ["/no/such/file.png", "/", "/dev/zero", "a\0b.png", "data:image/png;base64,??",
                                 "data:image/png;base64,", "data:image/svg+xml;utf8,<svg/>", "data:,x"])
def test_references_that_lead_nowhere(ref: str) -> None:
    refused(decode.array, ref, 32)
    if ref != "data:image/png;base64,":
        refused(decode.keys, [ref])


def test_random_damage_never_escapes() -> None:
    rng = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
        into = io.BytesIO()
        Image.open(io.BytesIO(png(1, 24))).save(into, kind)
        for _ in range(60):
            content = bytearray(into.getvalue())
            for at in rng.integers(0, min(len(content), 200), 4):
                content[at] = rng.integers(0, 256)
            try:
                decode.array(decode.uri(bytes(content[:rng.integers(10, len(content) + 1)])), 8)
            except decode.ImageError as error:
                assert SENTENCE.fullmatch(str(error)), str(error)


def test_damaged_metadata_does_not_spoil_a_picture() -> None:
    content = jpeg()
    exif = b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 40
    marked = content[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + content[2:]
    assert np.array_equal(decode.array(decode.uri(marked), 16), decode.array(decode.uri(content), 16))


def test_beyond_fifty_the_rest_is_summarised(tmp_path: Path) -> None:
    files(tmp_path, good() | {f"a/bad{i:03}.jpg": b"text" if i % 2 else b"\xff\xd8\xff" for i in range(70)})
    with cache.at(tmp_path / ".cache"):
        found = image.read(tmp_path, Need()).findings
    assert len(found) == 51 and found[-1].data["more"] == 20
    assert sum(found[-1].data["reasons"].values()) == 20


# --- too little, too much ---------------------------------------------------------------------------------------------

def test_nothing_readable_is_a_sentence(tmp_path: Path) -> None:
    files(tmp_path, {"a/1.jpg": b"text", "b/2.jpg": b"text"})
    assert "'a/1.jpg'" in refused(image.read, tmp_path, Need())


def test_nothing_at_all_is_a_sentence(tmp_path: Path) -> None:
    files(tmp_path, {"a/readme.txt": b"text"})
    assert "none among 1 files" in refused(image.read, tmp_path, Need())
    refused(image.read, tmp_path / "gone.zip", Need())


@pytest.mark.parametrize("content", [
    good("a"), {"a/1.png": png()}, good("a") | {"b/1.jpg": b"text"}])
def test_one_class_is_a_sentence(tmp_path: Path, content: dict[str, bytes]) -> None:
    assert "must vary" in refused(posed, files(tmp_path, content))
    assert len(image.read(tmp_path, Need(modality="image")).frame) >= 1  # enough to predict


def test_an_empty_class_is_told(tmp_path: Path) -> None:
    files(tmp_path, good() | {"c/notes.txt": b"none"})
    (tmp_path / "d").mkdir()
    found = image.read(tmp_path, Need()).findings
    assert [(f.code, f.data["path"]) for f in found] == [("empty_class", "c"), ("empty_class", "d")]
    assert posed(tmp_path).classes == ("a", "b")


def test_an_empty_class_within_parts_is_told(tmp_path: Path) -> None:
    files(tmp_path, {f"train/{name}": c for name, c in good().items()} | {"test/c/1.png": png(5)})
    (tmp_path / "train/c").mkdir()
    read = image.read(tmp_path, Need())
    assert sorted(f.code for f in read.findings) == ["class_only_in_test", "empty_class"] and read.held is None


def test_images_outside_every_class_are_told(tmp_path: Path) -> None:
    read = image.read(files(tmp_path, good() | {"stray.png": png()}), Need())
    assert [(f.code, f.data["paths"]) for f in read.findings] == [("unlabelled_image", ["stray.png"])]
    assert len(read.frame) == 6


def test_two_images_are_read(tmp_path: Path) -> None:
    """To be looked at; there is nothing to judge a model on."""
    assert posed(files(tmp_path, good("ab", 1))).rows == 2
    assert "'a' (1), 'b' (1), add rows" in refused(enough, ask(str(tmp_path), Need()))
    enough(ask(str(files(tmp_path, good("ab", 2))), Need()))


def test_wishes_that_lead_nowhere_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    home = str(files(tmp_path, good("ab", 3)))
    assert "weights='nowhere'" in refused(ask, home, Need(weights=("nowhere",)), kind=UsageError)
    with pytest.raises(UnknownName, match="did you mean 'resnet") as caught:
        ask(home, Need(bring=("timm:resnet_none",)))
    assert len(str(caught.value)) < 200


def test_ten_thousand_classes_are_refused_before_anything_is_decoded(tmp_path: Path, monkeypatch: Any) -> None:
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(10_000):
            file.writestr(f"c{number}/1.png", b"x")
    monkeypatch.setattr(decode, "unreadable", None)
    assert "at most 5000 classes; got 10000" in refused(image.read, archive, Need())


def test_labels_that_differ_by_case_or_blanks_are_asked_about(tmp_path: Path) -> None:
    files(tmp_path, {"cat/1.png": png(1), "Cat/2.png": png(2), "dog /3.png": png(3), "dog/4.png": png(4),
                     "cow/5.png": png(5)})
    found = image.read(tmp_path, Need()).findings
    assert [(f.code, f.severity, f.column) for f in found] == [("label_spelling", "ask", "label")]
    assert found[0].data["labels"] == [["Cat", "cat"], ["dog", "dog "]]
    assert posed(tmp_path).classes == ("Cat", "cat", "cow", "dog")
    frame = pd.DataFrame({"file": [str(tmp_path / "cow/5.png")] * 4, "y": ["a", "A", "b", "b "]})
    assert [f.code for f in image.read(frame, Need(target="y")).findings] == ["label_spelling"]


# --- zips -------------------------------------------------------------------------------------------------------------

def zipped(path: Path, members: list[tuple[Any, bytes]], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content, **options)
    return path


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/out.png", "C:/out.png", "a\\..\\out.png",
                                  "a//b.png", "./a.png"])
def test_names_that_leave_the_zip_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    archive = zipped(tmp_path / "in/x.zip", [*good().items(), (name, png())])
    with cache.at(tmp_path / "in/cache"):
        assert "stay inside" in refused(image.read, archive, Need())
    assert not list(tmp_path.rglob("out.png")) and not Path("/out.png").exists()


def link(name: str, target: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [*good().items(), (link("a/link.png", ""), b"/etc/passwd")])
    assert "ordinary files" in refused(image.read, archive, Need())


def test_bombs_are_refused_by_their_index(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", [*good().items(), ("a/bomb.bmp", bytes(300 * 2**20))])
    started = time.process_time()
    assert "bomb" in refused(image.read, archive, Need())
    assert time.process_time() - started < 1


def test_a_member_above_the_byte_budget_is_listed(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(decode, "MAX_BYTES", 10_000)
    archive = zipped(tmp_path / "x.zip", [*good().items(), ("a/large.png", bytes(20_000))])
    found = image.read(archive, Need()).findings
    assert [(f.data["path"], "more than" in f.data["reason"]) for f in found] == [("a/large.png", True)]


def test_twice_the_same_name_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = zipped(tmp_path / "x.zip", [("a/1.png", png()), ("a/1.png", png(1)), ("b/2.png", png(2))])
    assert "must differ" in refused(image.read, archive, Need())


def test_a_damaged_zip_is_a_sentence_and_a_damaged_member_is_listed(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", list(good().items()))
    content = archive.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[:-60])
    refused(image.read, tmp_path / "cut.zip", Need())
    at = content.index(b"a/1.png") + 40
    (tmp_path / "hit.zip").write_bytes(content[:at] + bytes(200) + content[at + 200:])
    found = image.read(tmp_path / "hit.zip", Need()).findings
    assert [f.data["path"] for f in found] == ["a/1.png"]


def test_a_locked_zip_is_a_sentence(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "x.zip", list(good().items())).read_bytes())
    for at in [m.start() + 8 for m in re.finditer(rb"PK\x01\x02", bytes(content))]:
        content[at] |= 1
    (tmp_path / "x.zip").write_bytes(content)
    assert "password" in refused(image.read, tmp_path / "x.zip", Need())


def test_half_an_unpacking_is_never_taken_for_a_whole_one(tmp_path: Path, monkeypatch: Any) -> None:
    archive = zipped(tmp_path / "x.zip", list(good().items()))
    with cache.at(tmp_path / "cache"):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(_zip.shutil, "copyfileobj", _interrupt)
            image.read(archive, Need())
        assert not list((tmp_path / "cache").glob("*files-*"))
        assert len(image.read(archive, Need()).frame) == 6


def _interrupt(*args: Any) -> None:
    raise KeyboardInterrupt


# --- tables -----------------------------------------------------------------------------------------------------------

def test_paths_that_do_not_exist(tmp_path: Path) -> None:
    frame = pd.DataFrame({"file": ["gone.png", "away.png"], "label": ["a", "b"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert table.pick(tmp_path / "t.csv", Need(target="label")).name == "image"
    assert "'gone.png' (no such file)" in refused(image.read, tmp_path / "t.csv", Need(target="label"))


def test_some_paths_that_do_not_exist_are_listed(tmp_path: Path) -> None:
    files(tmp_path, good())
    frame = pd.DataFrame({"file": [*good(), "gone.png", None, "https://x.org/a.png"], "y": list("aaabbbaba")})
    for source in (tmp_path / "t.csv", tmp_path / "t.parquet"):
        frame.to_csv(source, index=False) if source.suffix == ".csv" else frame.to_parquet(source)
        read = image.read(source, Need(target="y"))
        found = {f.code: f.data for f in read.findings if f.code != "unreadable_image"}
        assert found == {"missing_image": {"count": 1, "rows": [7]}}
        assert {f.data["path"]: f.data["reason"] for f in read.findings if f.code == "unreadable_image"} == {
            "gone.png": "no such file", "https://x.org/a.png": "a URL, which is not fetched"}
        assert read.frame["y"].tolist() == list("aaabbb")


def test_tables_without_images_or_with_a_wrong_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"file": [decode.uri(png(i)) for i in range(4)], "y": list("aabb"), "n": [1, 2, 3, 4]})
    refused(image.read, frame[["y", "n"]], Need(target="y"))
    refused(image.read, frame, Need(target="z"), kind=UnknownName)
    refused(image.read, frame, Need(target="file"), kind=UsageError)
    refused(image.read, frame, Need(target="y", kinds={"file": "image", "n": "image"}), kind=UsageError)
    refused(image.read, frame.assign(y="a"), Need(target="y"))


def test_the_whole_way_to_a_question(tmp_path: Path) -> None:
    if not any(family.modality == "image" for family in plugins("rightfit.models").values()):
        pytest.skip("no family of images here")
    files(tmp_path, good(each=6) | {"a/bad.jpg": b"text"})
    question = ask(tmp_path, Need())
    assert (len(question.data), question.task.modality) == (12, "image")
    assert [note.code for note in question.notes] == ["unreadable_image"]
    assert len(question.sample) <= 8 and all(str(r["image"]).startswith("data:image/") for r in question.sample)
