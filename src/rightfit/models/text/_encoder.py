"""Pretrained encoders of texts (BERT and its kin): finding, checking, loading, and embedding once per text."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache as remembered
from pathlib import Path
from typing import Any

import numpy as np

from rightfit import cache
from rightfit.errors import Unavailable
from rightfit.models.text._net import FAR, mean, padded
from rightfit.models.text._tokens import LONGEST, Tokens
from rightfit.records import Need, Task

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"  # 22 M parameters: 250 short texts a second on one core
# Kinds of checkpoint that were exported and gave the same for a text alone and in a padded batch (tests/).
KINDS = ("albert", "bert", "camembert", "data2vec-text", "deberta", "deberta-v2", "distilbert", "electra", "ernie",
         "megatron-bert", "mobilebert", "modernbert", "mpnet", "nomic_bert", "rembert", "roberta", "roformer",
         "xlm-roberta", "xlm-roberta-xl")
FLAT_MASK = ("deberta", "deberta-v2")  # these make their masks themselves
BATCH, MOST = 16, 1024  # texts computed at a time, and kept at a time
FEWEST = 32  # texts that are embedded even after the deadline: a head needs some
FILES = ("config.json", "tokenizer.json", "model.safetensors")


class _Late(Exception):
    """Embedding ran into its deadline."""


def how_to_get(name: str) -> str:
    """What a user does to have an encoder here."""
    return f"name a folder that holds {', '.join(FILES)} with --weights, or get 'hf download {name}' while online"


def config(folder: str | Path) -> dict[str, Any]:
    """The checked config.json of a checkpoint. Raises Unavailable for what is no encoder that is known to work."""
    home = Path(folder)
    for file in FILES:
        if not (home / file).is_file():
            raise Unavailable(f"a checkpoint must hold {', '.join(FILES)}; got folder={str(home)!r} without {file}, "
                              "save it with save_pretrained(FOLDER, safe_serialization=True).")
    try:
        found = json.loads((home / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise Unavailable(f"config.json must be JSON; got folder={str(home)!r} ({error}), get it again.") from error
    kind = found.get("model_type") if isinstance(found, dict) else None
    if kind not in KINDS:
        raise Unavailable(f"a text encoder must be one of {', '.join(KINDS)}; got model_type={kind!r} in "
                          f"folder={str(home)!r}, name another checkpoint.")
    return dict(found)


def find(params: Mapping[str, Any], need: Need) -> Path:
    """The checkpoint's folder: a named one, an encoder in what the user named, a cache, the hub. Raises Unavailable."""
    from rightfit.models._nn import weights

    if params.get("checkpoint"):
        return Path(params["checkpoint"])
    wrong = None
    for home in (home for place in need.weights for home in weights.folders(_folder(place))):
        try:
            config(home)
            return home
        except Unavailable as error:
            wrong = wrong or error
    name = str(params.get("encoder") or ENCODER)
    try:
        return weights.folder(name, need.weights)
    except Unavailable:
        if wrong is not None:
            raise wrong from None
        raise Unavailable(f"a pretrained encoder must be here or within reach of the hub; got encoder={name!r}, "
                          f"{how_to_get(name)}.") from None


def _folder(place: str) -> Path:
    """A named folder, or that of a named file. Raises Unavailable for what is not there."""
    path = Path(place).expanduser()
    if not path.exists():
        raise Unavailable(f"weights must be files or folders that exist; got weights={place!r}, correct the path.")
    return path if path.is_dir() else path.parent


def prepare(params: Mapping[str, Any], task: Task, need: Need) -> dict[str, Any]:
    """Params completed by `checkpoint`, its folder, and `fingerprint`, its content. Raises Unavailable."""
    home = find(params, need).resolve()
    said = config(home)
    _fits(home, said)
    return {**params, "checkpoint": str(home), "fingerprint": fingerprint(str(home))}


def _fits(home: Path, said: Mapping[str, Any]) -> None:
    """A look at the names and shapes of the tensors, before any library loads them."""
    from rightfit.models._nn import weights

    found = weights.shapes(home / "model.safetensors")
    words = said.get("vocab_size")
    if words is not None and not any(shape and shape[0] == words for shape in found.values()):
        raise Unavailable(f"weights must be of the architecture that config.json states; got folder={str(home)!r} with "
                          f"vocab_size={words} and no tensor of that height, get the whole checkpoint again.")


@remembered
def fingerprint(folder: str) -> str:
    """A short hash of the checkpoint's content."""
    found = hashlib.sha256()
    for file in FILES:
        with (Path(folder) / file).open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()[:16]


def tokens(texts: Sequence[str], params: Mapping[str, Any]) -> Tokens:
    """The checkpoint's tokenizer, cut where 95 % of the texts have ended and no later than the encoder reads."""
    said = config(params["checkpoint"])
    reads = int(said.get("max_position_embeddings") or 512)
    # Kinds that count positions from behind the padding id have two that no token gets.
    reads = max(reads - 2 if reads % 2 == 0 and reads % 64 == 2 else reads, 8)
    found = Tokens.fit(texts, {**params, "max_length": min(int(params.get("max_length") or LONGEST), reads)})
    if len(found) - 1 > int(said.get("vocab_size") or 1e9):
        raise Unavailable(f"a tokenizer must be its encoder's own; got {len(found) - 1} tokens for vocab_size="
                          f"{said['vocab_size']} in folder={params['checkpoint']!r}, get the whole checkpoint again.")
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it, transformers neither warns nor draws bars."""
    import transformers.utils

    logging: Any = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def load(folder: str | Path, *, random: bool = False) -> Any:
    """The transformers network of a local checkpoint, float32, in eval mode; `random`: weights drawn anew.

    Nothing is fetched and no code of the checkpoint is run. Raises Unavailable when the weights are of another network.
    """
    said = config(folder)
    import torch
    import transformers

    hub: Any = transformers
    safe = {"local_files_only": True, "trust_remote_code": False}
    with quiet():
        try:
            settings = hub.AutoConfig.from_pretrained(folder, **safe)
            if random:
                return hub.AutoModel.from_config(settings, attn_implementation="eager").float().eval()
            net, info = hub.AutoModel.from_pretrained(folder, config=settings, use_safetensors=True,
                                                      dtype=torch.float32, attn_implementation="eager",
                                                      output_loading_info=True, **safe)
        except Exception as error:  # transformers raises classes of several libraries for damaged files
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            if "mismatched_sizes" in reason:
                reason = "its weights have other shapes than config.json states"
            raise Unavailable(f"a checkpoint must be whole and of one architecture; got folder={str(folder)!r} "
                              f"({reason}), get it again.") from error
    lost = sorted(name for name in info["missing_keys"] if "pooler" not in name and "position_ids" not in name)
    if lost or info.get("mismatched_keys"):
        raise Unavailable(f"weights must be of the architecture that config.json states ({said['model_type']}); got "
                          f"folder={str(folder)!r} without {(lost or ['equal shapes'])[0]}, name another checkpoint.")
    return net.eval()


def module(net: Any, params: Mapping[str, Any]) -> Any:
    """A torch module from ids int64 (n, length), 0 padding, to features float32 (n, width).

    Each feature is the mean over the words of hidden states: with `join` of the last layer and of the average of the
    last `layers` of them side by side, else of that average alone; layers 0 is all, the embedding layer among them.
    """
    import torch

    settings = net.config
    padding, flat = int(getattr(settings, "pad_token_id", None) or 0), settings.model_type in FLAT_MASK
    layers, join = int(params.get("layers", 0)), bool(params.get("join", True))

    class Encoder(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        """The transformers network with its masks, and the average over layers and words."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, X: Any) -> Any:
            mask = (X > 0).float()[:, :, None]
            ids = torch.where(X > 0, X - 1, torch.full_like(X, padding))
            away = mask[:, :, 0].long() if flat else (mask.transpose(1, 2)[:, None] - 1) * FAR
            out = self.net(input_ids=ids, attention_mask=away, output_hidden_states=layers != 1)
            last = mean(out.last_hidden_state, mask)
            if layers == 1:
                return last
            average = mean(torch.stack(out.hidden_states[-layers:]).mean(dim=0), mask)
            return torch.cat([last, average], dim=1) if join else average

    return Encoder()


def width(params: Mapping[str, Any]) -> int:
    """How many features `module` gives."""
    said = config(params["checkpoint"])
    size = int(said.get("hidden_size") or said["dim"])
    return 2 * size if params.get("join", True) and int(params.get("layers", 0)) != 1 else size


def runner(encoder: Callable[[], Any]) -> Callable[[Any], Any]:
    """The function ids (n, length) -> features (n, width) on this machine: CUDA, else ONNX Runtime on `threads()`."""
    import torch

    from rightfit.models._nn import device, export

    where = device.device()
    if where.type == "cuda":
        net = encoder().to(where)

        def on_cuda(X: Any) -> Any:
            with torch.inference_mode():
                return net(torch.from_numpy(X).to(where)).float().cpu().numpy()

        return on_cuda
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = device.threads(), 1
    options.log_severity_level = 3
    content = export.to_onnx(encoder(), (torch.tensor([[1, 2, 3], [1, 2, 0]]),))
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda X: session.run(["Y"], {"X": X})[0]


def embed(ids: Sequence[Any], params: Mapping[str, Any], encoder: Callable[[], Any],
          deadline: float = float("inf")) -> tuple[Any, Any]:
    """(features float32 (m, width), positions (m,) of the texts that they are of): all, or those done by the deadline.

    ids: one int64 array for each text. `encoder()` gives the module, asked for only when something is not in the cache;
    features are kept by the checkpoint's fingerprint, the choice of layers, and the ids.
    """
    keys = [hashlib.sha256(row.tobytes()).hexdigest()[:32] for row in ids]
    name = f"embed-{params.get('fingerprint') or fingerprint(params['checkpoint'])}-" \
           f"{int(params.get('layers', 0))}-{bool(params.get('join', True))}"
    run: list[Callable[[Any], Any]] = []
    done: list[int] = []
    made: dict[int, Any] = {}  # what is kept nowhere else

    def compute(some: Sequence[int]) -> Any:
        if not run:
            run.append(runner(encoder))
        order = sorted(range(len(some)), key=lambda at: len(ids[some[at]]))
        out: Any = None
        for start in range(0, len(order), BATCH):
            if time.monotonic() >= deadline and len(done) >= FEWEST:
                raise _Late
            part = order[start:start + BATCH]
            found = run[0](padded([ids[some[at]] for at in part]))
            out = np.empty((len(some), found.shape[1]), np.float32) if out is None else out
            out[part] = found
            done.extend(some[at] for at in part)
            if cache.place() is None and deadline < float("inf"):
                made.update((some[at], row) for at, row in zip(part, found, strict=True))
        return out

    def table(at: Any, least: int) -> Any:
        return cache.rows(name, [keys[p] for p in at], lambda some: compute([at[p] for p in some]), most=least).take(
            np.arange(len(at)))

    every = list(range(len(ids)))
    try:
        return table(every, MOST), np.arange(len(ids))
    except _Late:
        if made:
            few = np.sort(np.fromiter(made, np.int64))
            return np.stack([made[at] for at in few]), few
        known = np.flatnonzero(cache.known(name, keys))
        few = known if len(known) >= min(FEWEST, len(ids)) else np.arange(min(FEWEST, len(ids)))
        done.clear()
        return table(few.tolist(), FEWEST), few
