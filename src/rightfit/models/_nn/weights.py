"""Pretrained weights: where they lie, how they are read, and whether they fit.

The order is: what the user named (files and folders), the local caches, the hub when it can be reached. Files are read
as safetensors, or by torch with weights_only; nothing in them is ever run.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rightfit.errors import Unavailable
from rightfit.resources import hub

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
DEPTH = 4  # folders below a place that are looked into
_SKIPPED = ("optimizer", "training_args", "scheduler", "rng_state")


def own_cache() -> Path:
    """The folder of rightfit's own copies: RIGHTFIT_WEIGHTS, else ~/.cache/rightfit/weights."""
    said = os.environ.get("RIGHTFIT_WEIGHTS")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(said) if said else home / "rightfit" / "weights"


def find(name: str, places: Sequence[str] = (), *, repo: str = "", file: str = "model.safetensors",
         url: str = "") -> Path:
    """The weights file of a network called `name`.

    A file answers to the name in the JSON beside it ("model"), else to its own, up to what follows a dot or a word
    boundary: resnet18.a1_in1k.safetensors is resnet18's, resnet18d.pth is not. `repo` and `file` say where the hub has
    it, `url` under which name torch keeps it. Raises Unavailable, which says how to get it.
    """
    for place in places:
        for path in files(place):
            if answers(path, name):
                return path
    for path in (*files(own_cache()), *_cached(repo, file, url)):
        if path in _cached(repo, file, url) or answers(path, name):
            return path
    found, why = _download(repo, file) if repo else (None, "it has no known address")
    if found is not None:
        return found
    where = f"'hf download {repo}'" if repo else "a copy"
    raise Unavailable(f"pretrained weights must be here or within reach; got network={name!r}, weights="
                      f"{list(map(str, places))} and {why}, name a file with --weights or get {where} while online.")


def folder(name: str, places: Sequence[str] = (), *, repo: str = "") -> Path:
    """The folder of a transformers checkpoint (config.json, model.safetensors, tokenizer.json) called `name`.

    A folder answers to its own name, to "_name_or_path" in its config, and to the folder around it. Raises Unavailable.
    """
    for place in [*places, str(own_cache())]:
        for found in folders(place):
            config = _json(found / "config.json")
            names = {found.name, found.parent.name, Path(str(config.get("_name_or_path", ""))).name}
            if name.rpartition("/")[2].lower() in {n.lower().replace("_", "-") for n in names} | names:
                return found
    repo = repo or (name if "/" in name else "")
    cached = _cached(repo, "config.json", "")
    if cached and _has_weights(cached[0].parent):
        return cached[0].parent
    got = None
    why = "it has no known address"
    for file in ("config.json", "tokenizer.json", "model.safetensors") if repo else ():
        got, why = _download(repo, file)
        if got is None:
            break
    if got is not None:
        return got.parent
    raise Unavailable(f"a pretrained encoder must be here or within reach; got encoder={name!r}, weights="
                      f"{list(map(str, places))} and {why}, name its folder with --weights or get "
                      f"'hf download {repo or name}' while online.")


def folders(place: str | Path) -> Iterator[Path]:
    """The folders at or below a place that hold a config.json and weights."""
    for path in _below(Path(place).expanduser()):
        if path.name == "config.json" and _has_weights(path.parent):
            yield path.parent


def _has_weights(home: Path) -> bool:
    return any((home / name).is_file() for name in ("model.safetensors", "pytorch_model.bin"))


def files(place: str | Path) -> Iterator[Path]:
    """The weights files at or below a place. Raises Unavailable for a named place that is not there."""
    path = Path(place).expanduser()
    if not path.exists():
        if path == own_cache():
            return
        raise Unavailable(f"weights must be files or folders that exist; got weights={str(place)!r}, correct the path.")
    for found in _below(path):
        if found.suffix in SUFFIXES and not found.name.startswith(_SKIPPED):
            yield found


def _below(path: Path, depth: int = DEPTH) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir() and depth >= 0:
        for entry in sorted(path.iterdir()):
            if not entry.name.startswith("."):
                yield from _below(entry, depth - 1)


def answers(path: Path, name: str) -> bool:
    """Whether a weights file says, or is named, that it is of this network.

    >>> answers(Path("resnet18.a1_in1k.safetensors"), "resnet18"), answers(Path("resnet18d.pth"), "resnet18")
    (True, False)
    >>> answers(Path("resnet18-f37072fd.pth"), "resnet18"), answers(Path("resnet18.x.pth"), "resnet18.x")
    (True, True)
    """
    said = described(path)
    if overlay_of(path):
        return False
    model = said.get("model") or said.get("architecture")
    if isinstance(model, str):
        return name in (model, model.partition(".")[0]) or model == name.partition(".")[0]
    stem = path.stem if path.stem not in ("model", "pytorch_model") else path.parent.name
    if stem == name or stem.startswith((name + ".", name + "-")):
        return True
    base, _, tag = name.partition(".")
    return bool(tag) and stem == base


def overlay_of(path: Path) -> bool:
    """Whether a file is an overlay on another one beside it, not weights of its own."""
    return any(_json(other).get("bn_overlay") == path.name for other in path.parent.glob("*.json")) \
        if path.parent.is_dir() else False


def described(path: Path) -> Mapping[str, Any]:
    """What the JSON beside a weights file says of it, such as model, mean, std, input_size, timm_kwargs, bn_overlay.

    A config.json of timm's layout in the same folder counts for model.safetensors. An empty mapping without one.
    """
    said = _json(path.with_suffix(".json"))
    if not said and path.stem in ("model", "pytorch_model"):
        config = _json(path.parent / "config.json")
        inner = config.get("pretrained_cfg")
        said = {**(inner if isinstance(inner, dict) else {}), "model": config["architecture"]} \
            if "architecture" in config else {}
    return said


@cache
def _json(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


# --- caches and the hub -----------------------------------------------------------------------------------------------

def _cached(repo: str, file: str, url: str) -> list[Path]:
    """Where the hub's library and torch keep what they once downloaded."""
    found = []
    if repo:
        try:
            from huggingface_hub import try_to_load_from_cache
        except ImportError:
            pass
        else:
            kept = try_to_load_from_cache(repo, file)
            found += [Path(kept)] if isinstance(kept, str) else []
    if url:
        home = Path(os.environ.get("TORCH_HOME") or Path.home() / ".cache" / "torch")
        found.append(home / "hub" / "checkpoints" / url.rpartition("/")[2])
    return [path for path in found if path.is_file()]


@cache
def _download(repo: str, file: str) -> tuple[Path | None, str]:
    """(the file from the hub, "") after its size was printed, or (None, why not)."""
    if not hub.reachable():
        return None, "the hub cannot be reached"
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    try:
        size = get_hf_file_metadata(hf_hub_url(repo, file), timeout=hub.SECONDS).size
        print(f"downloading {repo}/{file}: {(size or 0) / 1e6:.1f} MB", file=sys.stderr, flush=True)
        return Path(hf_hub_download(repo, file)), ""
    except Exception as error:  # the library's errors come from several others beneath it
        return None, f"the hub did not give {repo}/{file} ({type(error).__name__})"


# --- reading ----------------------------------------------------------------------------------------------------------

def load_state(path: str | Path) -> dict[str, Any]:
    """The tensors of a weights file by name, floats as float32, with the overlay that its JSON names laid on top.

    Wrappers ("state_dict", "model") and the prefix "module." are taken off. Raises Unavailable for a damaged file and
    for one that holds more than tensors; nothing in it is run.
    """
    path = Path(path)
    state = _read(path)
    overlay = described(path).get("bn_overlay")
    if isinstance(overlay, str) and (path.parent / Path(overlay).name).is_file():
        state.update(_read(path.parent / Path(overlay).name))
    return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def _read(path: Path) -> dict[str, Any]:
    import torch

    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise Unavailable(f"weights must be readable; got file={str(path)!r} ({error.strerror}).") from error
    tensors: Any
    if head[8:9] == b"{":
        from safetensors.torch import load_file

        tensors = _tried(path, lambda: load_file(path))
    elif path.suffix == ".safetensors":
        what = "a pickle" if head[:1] == b"\x80" else "a zip or torch file" if head[:2] == b"PK" else "something else"
        raise Unavailable(f"a .safetensors file must hold safetensors; got file={str(path)!r}, which is {what}, "
                          "nothing in it was run, get the file again from its publisher.")
    else:
        tensors = _tried(path, lambda: torch.load(path, map_location="cpu", weights_only=True))
    for key in ("state_dict_ema", "state_dict", "model_ema", "model"):
        if isinstance(tensors, Mapping) and isinstance(tensors.get(key), Mapping):
            tensors = tensors[key]
    if not isinstance(tensors, Mapping) or not all(isinstance(v, torch.Tensor) for v in tensors.values()):
        raise Unavailable(f"weights must be named tensors; got file={str(path)!r} with {type(tensors).__name__}, "
                          "save a state dict, best as safetensors.")
    return {str(name).removeprefix("module."): value for name, value in tensors.items()}


def _tried(path: Path, read: Callable[[], Any]) -> Any:
    import pickle

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except pickle.UnpicklingError:
        raise Unavailable(f"weights must be tensors only; got file={str(path)!r}, which is damaged or asks for code to "
                          "be run, nothing in it was run, convert it to safetensors where it is trusted.") from None
    except Exception as error:  # the readers raise classes of their own for every kind of damage
        reason = " ".join(str(error).split())[:120]
        raise Unavailable(f"weights must be whole; got file={str(path)!r} ({type(error).__name__}: {reason}), "
                          "get it again.") from None


def shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """{tensor: shape} of a weights file; of safetensors only the header is read. Raises Unavailable."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise Unavailable(f"weights must be readable; got file={str(path)!r} ({error.strerror}).") from error
    if head[8:9] == b"{":
        from safetensors import safe_open

        with _tried(path, lambda: safe_open(path, framework="np")) as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    return {name: tuple(value.shape) for name, value in _read(path).items()}


def put(net: Any, state: Mapping[str, Any], head: Sequence[str], source: str) -> None:
    """Load a state into a net, the tensors below the `head` prefixes only where they fit.

    Raises Unavailable when the rest does not fit: a checkpoint of another architecture.
    """
    wanted = net.state_dict()

    def loose(name: str) -> bool:
        return any(name == prefix or name.startswith(prefix + ".") for prefix in head)

    def counts(name: str) -> bool:
        return not name.endswith("num_batches_tracked")

    fits = {n: v for n, v in state.items() if n in wanted and tuple(v.shape) == tuple(wanted[n].shape)}
    lacks = [n for n in wanted if n not in fits and not loose(n) and counts(n)]
    extra = [n for n in state if n not in fits and not loose(n) and counts(n)]
    if lacks or extra:
        body = sum(not loose(n) for n in wanted)
        raise Unavailable(f"weights must be of the same architecture; got file={source!r} with "
                          f"{body - len(lacks)} of the network's {body} tensors (first difference: "
                          f"{(lacks or extra)[0]}), name the file of this network or another network.")
    net.load_state_dict(fits, strict=False)
