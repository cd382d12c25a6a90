"""Texts through `choose`, on the official splits: what was promised, what the delivered package reaches on the test.

    RIGHTFIT_DATA=../shared/data python benchmarks/texts_choose.py [--weights FOLDER] [case ...]

A case is data set, way and budget in seconds, such as banking77:bags:120. Ways: `bags` allows only families over bags
of n-grams; `all` every family that needs no weights from elsewhere; `encoder` needs --weights with a pretrained
encoder. The test part is scored once, by the delivered package. Cases that results/texts_choose.csv holds are left out
unless they are named. `goal` is what the project set itself, `published` what others report on the same test part;
fastText itself on the same rows is in results/text_peers.csv.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import common
import texts

import rightfit as rf
from rightfit.records import Need, frozen

BAGS = ("tfidf_svm", "tfidf_linear", "tfidf_nb", "fasttext", "text_blend")


@frozen
class Known:
    """What is asked of a data set: its metric, the goal, and figures of others on the same test part."""

    metric: str
    goal: str
    published: str


TWEETS = "{}: fastText {}, LSTM {}, SVM {}, RoBERTa {} (Barbieri et al. 2020, TweetEval)"
KNOWN: Mapping[str, Known] = {
    "banking77": Known(metric="accuracy", goal="0.90 bags, 0.93 encoder", published="frozen sentence encoder 0.931, "
                       "fine-tuned 0.940"),
    "sst2": Known(metric="accuracy", goal="fastText", published="CNN 0.827 without, 0.872 with word2vec (Kim 2014)"),
    "trec6": Known(metric="accuracy", goal="fastText", published="CNN 0.912 without, 0.936 with word2vec (Kim 2014)"),
    "sms_spam": Known(metric="accuracy", goal="fastText", published="0.98 to 0.99 on other splits"),
    "tweeteval_emotion": Known(metric="f1_macro", goal="0.652",
                               published=TWEETS.format("macro F1", 65.2, 66.0, 64.7, 76.1)),
    "tweeteval_irony": Known(metric="f1", goal="0.631", published=TWEETS.format("F1 of irony", 63.1, 62.8, 61.7, 59.7)),
    "tweeteval_offensive": Known(metric="f1_macro", goal="0.734",
                                 published=TWEETS.format("macro F1", 73.4, 71.7, 52.3, 79.5)),
    "waimai_10k": Known(metric="accuracy", goal="0.88", published="0.88 to 0.91 on other splits"),
    "thucnews_dev": Known(metric="accuracy", goal="0.90", published="TextCNN 0.912, BERT 0.948, both with 18 times the "
                          "training rows"),
    "emobank_valence": Known(metric="r2", goal="ridge on TF-IDF", published=""),
}
CASES = ("banking77:bags:120", "banking77:encoder:300", "sst2:all:120", "trec6:all:90", "sms_spam:all:90",
         "tweeteval_emotion:all:90", "tweeteval_irony:all:90", "tweeteval_offensive:all:120", "waimai_10k:all:120",
         "thucnews_dev:all:120", "emobank_valence:all:120", "sst2:encoder:300", "emobank_valence:encoder:240")


def frame(part: texts.Part) -> Any:
    """A part as the table that a user would have."""
    import pandas as pd

    return pd.DataFrame({"text": pd.Series(list(part[0]), dtype=object), "label": part[1]})


def ridge(given: texts.Texts) -> float:
    """R2 on the test part of ridge regression on TF-IDF of words and pairs, its strength by cross-validation."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True), Ridge())
    search = GridSearchCV(model, {"ridge__alpha": [0.3, 1.0, 3.0, 10.0]}, scoring="r2", cv=5)
    return float(search.fit(list(given.train[0]), given.train[1]).score(list(given.test[0]), given.test[1]))


def measured(case: str, weights: tuple[str, ...]) -> dict[str, Any]:
    """One row of the result."""
    name, way, seconds = case.split(":")
    known, given = KNOWN[name], texts.SETS[name]()
    need = Need(target="label", metric=known.metric, budget=f"{seconds}s", families=BAGS if way == "bags" else (),
                weights=weights if way == "encoder" else (), modality="text")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rightfit-bench-") as place:
        choice = rf.choose(frame(given.train), need, out=Path(place) / "run", test=frame(given.test))
        wall, done = time.monotonic() - started, choice.decision
    chosen, final = done.chosen or {}, done.extras.get("test") or {}
    tried = sorted({t["family"] for t in done.trials if t["state"] == "ok"})
    other = f"ridge on TF-IDF {ridge(given):.4f}" if known.metric == "r2" else known.published
    return {"case": case, "rows": len(given.train[0]), "test_rows": len(given.test[0]), "metric": known.metric,
            "promised": done.estimate.get("value"), "low": done.estimate.get("low"), "high": done.estimate.get("high"),
            "test": final.get("value"), "inside": final.get("inside", ""), "goal": known.goal, "published": other,
            "family": chosen.get("family", ""), "steps": " ".join(s["name"] for s in chosen.get("steps", ())),
            "latency_p95_ms": done.measured.get("latency_p95_ms"), "size_mib": done.measured.get("size_mib"),
            "wall_s": wall, "trials": len(done.trials), "tried": " ".join(tried)}


def main() -> None:
    """Run the cases, and keep each row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="case", help=", ".join(CASES))
    parser.add_argument("--weights", action="append", default=[], metavar="FOLDER")
    given = parser.parse_args()
    known = {row["case"] for row in common.read_csv("texts_choose")}
    for case in given.cases or [case for case in CASES if case not in known]:
        if ":encoder:" in case and not given.weights:
            print(f"{case} is left out: it needs --weights", flush=True)
            continue
        row = measured(case, tuple(given.weights))
        common.write_csv("texts_choose", [*(r for r in common.read_csv("texts_choose") if r["case"] != case), row])
        common.show(row)


if __name__ == "__main__":
    main()
