"""Other libraries on texts; runs in an environment of theirs, without rightfit.

    python text_peer.py fasttext FOLDER --seconds 60        FOLDER holds train.csv and test.csv (text,label)

Writes FOLDER/pred.json, the predicted labels of the test part, and prints one JSON line with what was spent.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

csv.field_size_limit(1 << 26)


def rows(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a file."""
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [row["text"] for row in found], [row["label"] for row in found]


def fasttext(home: Path, seconds: float, weights: str) -> tuple[list[str], str]:
    """fastText's supervised mode with the settings that its own tutorial ends with: rate 1.0, 25 epochs, word pairs."""
    import fasttext as library

    def line(text: str) -> str:
        return " ".join(text.lower().split())

    texts, labels = rows(home / "train.csv")
    names = {label: f"__label__{at}" for at, label in enumerate(sorted(set(labels)))}
    back = {name: label for label, name in names.items()}
    (home / "train.txt").write_text("".join(f"{names[label]} {line(text)}\n" for text, label in
                                            zip(texts, labels, strict=True)), encoding="utf-8")
    model = library.train_supervised(str(home / "train.txt"), lr=1.0, epoch=25, wordNgrams=2, minn=2, maxn=5,
                                     bucket=200_000, thread=2, verbose=0)
    found = [model.f.predict(f"{line(text)}\n", 1, 0.0, "strict") for text in rows(home / "test.csv")[0]]
    return [back[one[0][1]] for one in found], "fasttext, rate 1.0, 25 epochs, word pairs, runs of 2 to 5 characters"


def autogluon(home: Path, seconds: float, weights: str) -> tuple[list[str], str]:
    """AutoGluon MultiModal fine-tuning the encoder in `weights`."""
    import autogluon.multimodal as library
    import pandas as pd

    train, test = (pd.read_csv(home / f"{part}.csv", keep_default_na=False, dtype=str) for part in ("train", "test"))
    model = library.MultiModalPredictor(label="label", path=str(home / "model"), verbosity=1)
    model.fit(train, time_limit=seconds, presets="medium_quality",
              hyperparameters={"model.names": ["hf_text"], "model.hf_text.checkpoint_name": weights,
                               "env.num_gpus": 0, "env.num_workers": 0, "env.num_workers_inference": 0})
    return [str(label) for label in model.predict(test[["text"]])], f"autogluon.multimodal {library.__version__}"


def ludwig(home: Path, seconds: float, weights: str) -> tuple[list[str], str]:
    """Ludwig's default text encoder from nothing, for 30 epochs or until the time is over; nothing is fetched."""
    import ludwig as library
    import pandas as pd
    from ludwig.api import LudwigModel
    from ludwig.callbacks import Callback

    until = time.monotonic() + seconds

    class Clock(Callback):  # type: ignore[misc, unused-ignore]
        """Ludwig's trainer knows no time limit: it asks this after each evaluation."""

        def should_early_stop(self, trainer: Any, progress_tracker: Any, is_coordinator: bool) -> bool:
            return time.monotonic() >= until

    train, test = (pd.read_csv(home / f"{part}.csv", keep_default_na=False, dtype=str) for part in ("train", "test"))
    config = {"input_features": [{"name": "text", "type": "text", "encoder": {"type": "parallel_cnn"}}],
              "output_features": [{"name": "label", "type": "category"}],
              "trainer": {"epochs": 30, "early_stop": 3, "train_steps": None}, "backend": {"type": "local"}}
    model = LudwigModel(config, logging_level=40, callbacks=[Clock()])
    model.train(dataset=train, output_directory=str(home / "out"), skip_save_processed_input=True)
    found = model.predict(dataset=test[["text"]], output_directory=str(home / "out"))[0]
    return [str(label) for label in found["label_predictions"]], f"ludwig {library.__version__}, parallel_cnn"


PEERS: dict[str, Callable[[Path, float, str], tuple[list[str], str]]] = {
    "fasttext": fasttext, "autogluon": autogluon, "ludwig": ludwig}


def main() -> None:
    """Train, predict, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--weights", default="")
    given = parser.parse_args()
    began = time.monotonic()
    labels, what = PEERS[given.peer](given.folder, given.seconds, given.weights)
    (given.folder / "pred.json").write_text(json.dumps(labels), encoding="utf-8")
    told: dict[str, Any] = {"what": what, "wall_s": time.monotonic() - began}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
