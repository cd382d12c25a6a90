"""Text families with their defaults on real texts: fitted on the training part, scored once on the test part.

    RIGHTFIT_DATA=../shared/data python benchmarks/texts.py [--families tfidf_svm,fasttext] [data set ...]

Official test parts where there are any; SMS spam and waimai_10k are split 80/20 with copies of a text on one side.
THUCNews is trained on its 10,000 dev titles only. Results go to results/texts.csv, one row a metric; those of the same
data set, family and params are replaced. row_us is the median of single rows through the saved model, as served.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import common
import numpy as np

from rightfit.package.runtimes import text as runtime
from rightfit.records import Column, Dataset, Need, Schema, Task, frozen
from rightfit.registry import plugin

BAGS = ("text_baseline", "tfidf_svm", "tfidf_linear", "tfidf_nb", "fasttext")
FIT_S = 300.0
TIMED = 400
SCHEMA = Schema(columns=(Column(name="text", kind="text"),))
Part = tuple[Sequence[str], Any]


@frozen
class Texts:
    """A data set: its training and test part as (texts, labels or values), and the metrics that are usual for it."""

    train: Part
    test: Part
    metrics: tuple[str, ...] = ("accuracy",)


def _content(name: str, encoding: str = "utf-8") -> str:
    path = common.data_folder() / "text" / name
    packed = path.with_name(f"{path.name}.gz")
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return raw.decode(encoding)


def _lines(name: str, encoding: str = "utf-8") -> list[str]:
    return [line for line in _content(name, encoding).split("\n") if line]


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_content(name))))


def _table(text: str, label: str, name: str) -> Part:
    rows = _rows(name)
    return [row[text] for row in rows], np.array([row[label] for row in rows])


def _first(name: str, encoding: str = "utf-8") -> Part:
    pairs = [line.split(" ", 1) for line in _lines(name, encoding)]
    return [text for _, text in pairs], np.array([label.split(":")[0] for label, _ in pairs])


def _thucnews(name: str) -> Part:
    pairs = [line.rsplit("\t", 1) for line in _lines(name)]
    return [text for text, _ in pairs], np.array([label for _, label in pairs])


def _tweets(task: str, part: str) -> Part:
    labels = np.array(_content(f"tweeteval/{task}/{part}_labels.txt").split())
    return _content(f"tweeteval/{task}/{part}_text.txt").split("\n")[:len(labels)], labels


def _parted(text: str, label: str, name: str) -> Texts:
    """80/20, the copies of a text on one side, classes spread evenly."""
    import pandas as pd

    texts, labels = _table(text, label, name)
    frame = pd.DataFrame({"text": texts, "y": labels})
    train, test = common.outer(frame, Need(target="y"), True, 0.2, 0)
    return Texts(train=([texts[i] for i in train], labels[train]), test=([texts[i] for i in test], labels[test]))


def _emobank() -> Texts:
    rows = _rows("emobank.csv")

    def part(names: tuple[str, ...]) -> Part:
        chosen = [row for row in rows if row["split"] in names]
        return [row["text"] for row in chosen], np.array([float(row["V"]) for row in chosen])

    return Texts(train=part(("train", "dev")), test=part(("test",)), metrics=("r2",))


def _official(train: Part, test: Part, *metrics: str) -> Texts:
    return Texts(train=train, test=test, metrics=("accuracy", *metrics))


SETS: Mapping[str, Callable[[], Texts]] = {
    "banking77": lambda: _official(_table("text", "category", "banking77/train.csv"),
                                   _table("text", "category", "banking77/test.csv")),
    "sst2": lambda: _official(_first("sst2/stsa.binary.train"), _first("sst2/stsa.binary.test")),
    "trec6": lambda: _official(_first("trec/TREC.train", "latin-1"), _first("trec/TREC.test", "latin-1")),
    "sms_spam": lambda: _parted("text", "type", "sms_spam.csv"),
    "tweeteval_emotion": lambda: _official(_tweets("emotion", "train"), _tweets("emotion", "test"), "macro_f1"),
    "tweeteval_irony": lambda: _official(_tweets("irony", "train"), _tweets("irony", "test"), "f1_of_1"),
    "tweeteval_offensive": lambda: _official(_tweets("offensive", "train"), _tweets("offensive", "test"), "macro_f1"),
    "waimai_10k": lambda: _parted("review", "label", "zh/waimai_10k.csv"),
    "thucnews_dev": lambda: _official(_thucnews("zh/THUCNews_dev.txt"), _thucnews("zh/THUCNews_test.txt")),
    "emobank_valence": _emobank,
}


def dataset(texts: Texts) -> tuple[Dataset, Dataset, Task]:
    """The two parts as rows, and their task."""
    import pandas as pd

    def rows(part: Part) -> Dataset:
        y = part[1] if values else np.array([place[label] for label in part[1]], dtype=np.int64)
        return Dataset(X=pd.DataFrame({"text": pd.Series(list(part[0]), dtype=object)}), y=y, schema=SCHEMA)

    values = texts.metrics == ("r2",)
    classes = () if values else tuple(sorted(set(texts.train[1].tolist())))
    place = {name: code for code, name in enumerate(classes)}
    task = Task(modality="text", problem="regression" if values else "binary" if len(classes) == 2 else "multiclass",
                target=("y",), metric="", classes=classes, rows=len(texts.train[0]), features=1)
    return rows(texts.train), rows(texts.test), task


def score(name: str, y: Any, predicted: Any) -> float:
    """One metric of class codes and probabilities (n, k), or of values (n,)."""
    from sklearn.metrics import accuracy_score, f1_score, r2_score

    if name == "r2":
        return float(r2_score(y, predicted))
    codes = predicted.argmax(axis=1)
    if name == "accuracy":
        return float(accuracy_score(y, codes))
    return float(f1_score(y, codes, average="macro") if name == "macro_f1" else f1_score(y, codes))


def served(model: Any, X: Any) -> tuple[float, float]:
    """(median microseconds of a single row, MiB of the files) of the saved model."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        scorer = runtime.load(folder, model.save(folder))
        size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        spent = []
        for record in X.iloc[:TIMED].to_dict("records"):
            start = time.perf_counter()
            scorer.row(record)
            spent.append(time.perf_counter() - start)
    return float(np.median(spent)) * 1e6, size


def main() -> None:
    """Run, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(SETS), metavar="data set", help=", ".join(SETS))
    parser.add_argument("--families", default=",".join(BAGS))
    parser.add_argument("--params", type=json.loads, default={}, help="JSON, over the defaults")
    given = parser.parse_args()
    for name in given.names:
        texts = SETS[name]()
        train, test, task = dataset(texts)
        for family in given.families.split(","):
            spec = plugin("rightfit.models", family, "family")
            if task.problem not in spec.problems:
                continue
            model = spec.build({**spec.defaults, **given.params}, task)
            start = time.monotonic()
            model.fit(train, seed=0, deadline=start + FIT_S)
            fit_s = time.monotonic() - start
            predicted, (row_us, size_mib) = model.predict(test.X), served(model, test.X)
            params = json.dumps({**given.params, **model.learned}, sort_keys=True)
            rows = [{"dataset": name, "family": family, "params": params, "metric": metric,
                     "value": score(metric, test.y, predicted), "fit_s": fit_s, "row_us": row_us, "size_mib": size_mib}
                    for metric in texts.metrics]
            kept = [row for row in common.read_csv("texts")
                    if (row["dataset"], row["family"], row["params"]) != (name, family, params)]
            common.write_csv("texts", [*kept, *rows])
            for row in rows:
                common.show(row)


if __name__ == "__main__":
    main()
