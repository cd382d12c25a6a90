"""Pretrained weights: the order in which places are asked, what fits, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rightfit.errors import Unavailable
from rightfit.resources import hub as hub_place

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

from rightfit.models._nn import weights  # noqa: E402


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache and no hub but those of the test."""
    for name, value in (("RIGHTFIT_WEIGHTS", "own"), ("TORCH_HOME", "torch"), ("HF_HOME", "hf")):
        monkeypatch.setenv(name, str(tmp_path / value))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    weights._json.cache_clear()
    weights._download.cache_clear()
    hub_place.reachable.cache_clear()


def saved(path: Path, **tensors: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.save_file(tensors or {"a": torch.ones(2)}, path)
    return path


def test_the_named_come_before_the_cached(tmp_path: Path) -> None:
    own = saved(tmp_path / "own" / "resnet18.safetensors")
    torchs = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-abc.pth"
    torchs.parent.mkdir(parents=True)
    torch.save({"a": torch.ones(2)}, torchs)
    named = saved(tmp_path / "mine" / "deep" / "resnet18.a1_in1k.safetensors")
    url = "https://example.org/x/resnet18-abc.pth"
    assert weights.find("resnet18", [str(tmp_path / "mine")], url=url) == named
    assert weights.find("resnet18", [str(named)], url=url) == named
    assert weights.find("resnet18", [], url=url) == own
    own.unlink()
    assert weights.find("resnet18", [], url=url) == torchs


def test_the_hub_is_last_and_says_the_size_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    got = saved(tmp_path / "got.safetensors")
    said: list[str] = []
    monkeypatch.setattr(hub_place, "reachable", lambda: True)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url, timeout: SimpleNamespace(size=7_400_000))

    def download(repo: str, file: str) -> str:
        said.append(capsys.readouterr().err)
        return str(got)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    assert weights.find("resnet18", [], repo="timm/resnet18.a1_in1k") == got
    assert "timm/resnet18.a1_in1k/model.safetensors: 7.4 MB" in said[0]


def test_missing_weights_say_how_to_get_them() -> None:
    with pytest.raises(Unavailable, match=r"network='resnet18'.*--weights.*hf download timm/resnet18"):
        weights.find("resnet18", [], repo="timm/resnet18.a1_in1k")


def test_a_place_that_is_not_there_is_named() -> None:
    with pytest.raises(Unavailable, match="weights='/no/such'"):
        weights.find("resnet18", ["/no/such"])


def test_the_name_beside_the_file_counts_for_more_than_its_own(tmp_path: Path) -> None:
    path = saved(tmp_path / "whatever.safetensors")
    (tmp_path / "whatever.json").write_text(json.dumps({"model": "resnet18", "mean": [0, 0, 0]}))
    assert weights.find("resnet18", [str(tmp_path)]) == path
    assert weights.described(path)["mean"] == [0, 0, 0]
    hub = saved(tmp_path / "timm" / "model.safetensors")
    (hub.parent / "config.json").write_text(json.dumps({"architecture": "vit_x", "pretrained_cfg": {"std": [1, 1, 1]}}))
    assert weights.find("vit_x", [str(tmp_path)]) == hub and weights.described(hub)["std"] == [1, 1, 1]


def test_an_overlay_is_laid_on_top_and_is_no_network(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.safetensors", a=torch.ones(2, dtype=torch.float16), b=torch.zeros(1))
    saved(tmp_path / "net-bn.safetensors", b=torch.ones(1))
    (tmp_path / "net.json").write_text(json.dumps({"model": "net", "bn_overlay": "net-bn.safetensors"}))
    assert weights.find("net", [str(tmp_path)]) == path
    state = weights.load_state(path)
    assert state["a"].dtype == torch.float32 and float(state["b"]) == 1.0
    assert not weights.answers(tmp_path / "net-bn.safetensors", "net-bn")


class Bomb:
    """What a pickle would do if it were let."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["RIGHTFIT_BOMB"],)


@pytest.mark.parametrize("name", ["net.safetensors", "net.pth", "net.bin"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                         wrapped: bool) -> None:
    mark = tmp_path / "was_run"
    monkeypatch.setenv("RIGHTFIT_BOMB", str(mark))
    if wrapped:
        torch.save({"a": torch.ones(2), "b": Bomb()}, tmp_path / name)
    else:
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(Unavailable, match="nothing in it was run"):
        weights.load_state(tmp_path / name)
    with pytest.raises(Unavailable, match="nothing in it was run"):
        weights.shapes(tmp_path / name)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{broken", b"no weights at all, but a text"])
def test_damage_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    for name in ("a.safetensors", "a.pth"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Unavailable) as error:
            weights.load_state(tmp_path / name)
        assert "a." in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(1)], tmp_path / "a.pth")
    with pytest.raises(Unavailable, match="named tensors"):
        weights.load_state(tmp_path / "a.pth")


def test_wrappers_are_taken_off(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {"module.a": torch.ones(2)}}, tmp_path / "a.pth")
    assert list(weights.load_state(tmp_path / "a.pth")) == ["a"]
    saved(tmp_path / "b.safetensors", x=torch.ones(2, 3))
    assert weights.shapes(tmp_path / "b.safetensors") == {"x": (2, 3)}


def test_only_the_head_may_differ() -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    state = {"0.weight": torch.ones(4, 3), "0.bias": torch.zeros(4), "1.weight": torch.ones(1000, 4)}
    weights.put(net, state, ["1"], "x")
    assert float(net[0].weight.detach().sum()) == 12.0
    with pytest.raises(Unavailable, match=r"1 of the network's 2 tensors \(first difference: 0.weight\)"):
        weights.put(net, {**state, "0.weight": torch.ones(5, 3)}, ["1"], "x")
    with pytest.raises(Unavailable, match="same architecture"):
        weights.put(net, {**state, "2.weight": torch.ones(2)}, ["1"], "x")


def test_encoders_are_folders(tmp_path: Path) -> None:
    home = tmp_path / "some" / "all-minilm-l6-v2"
    saved(home / "model.safetensors")
    (home / "config.json").write_text(json.dumps({"_name_or_path": "sentence-transformers/all-MiniLM-L6-v2"}))
    for name in ("sentence-transformers/all-MiniLM-L6-v2", "all-minilm-l6-v2"):
        assert weights.folder(name, [str(tmp_path)]) == home
    with pytest.raises(Unavailable, match="encoder='bert-base-cased'"):
        weights.folder("bert-base-cased", [str(tmp_path)])
