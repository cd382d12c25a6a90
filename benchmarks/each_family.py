"""Each family of pictures and texts alone: trained, exported, proven and chosen by `choose` on real data.

    python benchmarks/each_family.py [family ...] [--budget 90] [--weights FOLDER] [--workers 1]

One run of `choose` for each family, or model brought by name, which has only the baseline beside it. `value` is the
delivered package's score on the official test part (texts: TREC, 500 questions), or the estimate by two folds
where there is none (pictures: trashnet, 360 of 6 classes); `baseline` that of the most frequent class. `alike`: the
share of rows that the package loaded anew, without the training library, answers as the run did. keras_net needs an
environment with TensorFlow. Rows of the same family are replaced. Writes benchmarks/results/each_family.csv.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import texts
import texts_choose

import rightfit as rf
from rightfit.errors import RightfitError
from rightfit.records import Need

IMAGES = ("hog", "frozen", "cnn", "vgg", "resnet", "mobilenet", "efficientnet", "convnext", "vit", "keras_net",
          "timm:mobilenetv3_small_100?pretrained=false", "timm:mobilenetv4_conv_small?pretrained=false",
          "timm:efficientnet_b0?pretrained=false")
TEXTS = ("tfidf_linear", "tfidf_svm", "tfidf_nb", "fasttext", "textcnn", "lstm", "text_transformer", "frozen_encoder",
         "bert")
ALONE = """import json, sys
import rightfit as rf
model = rf.load(sys.argv[1])
rows = json.load(sys.stdin)
said = [model.predict_one(row)["prediction"] for row in rows]
print(json.dumps([said, sorted({"torch", "tensorflow", "keras", "transformers", "sklearn"} & set(sys.modules))]))"""


def measured(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """One row of the result."""
    brought = ":" in name
    need = Need(target="label" if name in TEXTS else None, metric="accuracy", budget=f"{given.budget:g}s", folds=2,
                families=("image_baseline",) if brought else (name,), bring=(name,) if brought else (), proposals=0,
                workers=given.workers, weights=tuple(given.weights), modality="text" if name in TEXTS else "image")
    test, source = None, str(common.data_folder() / "images" / "trashnet_60perclass.zip")
    if name in TEXTS:
        sets = texts.SETS["trec6"]()
        source, test = texts_choose.frame(sets.train), texts_choose.frame(sets.test)
    row: dict[str, Any] = {"name": name, "data": "trec6" if name in TEXTS else "trashnet", "budget_s": given.budget}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rightfit-family-") as place:
        try:
            choice = rf.choose(source, need, out=Path(place) / "run", test=test)
        except RightfitError as error:
            return {**row, "error": str(error)[:200]}
        wall, done = time.monotonic() - begun, choice.decision
        chosen, final = done.chosen or {}, done.extras.get("test") or done.estimate
        params = dict(chosen.get("params") or {})
        alike, libraries = alone(choice)
    scores = {t["family"]: t["metric"]["value"] for t in done.trials if t["state"] == "ok" and t["metric"]}
    base = next((value for family, value in scores.items() if family.endswith("baseline")), "")
    return {**row, "chosen": chosen.get("family", ""), "steps": " ".join(s["name"] for s in chosen.get("steps", ())),
            "network": params.get("network") or params.get("source") or "",
            "weights": "pretrained" if params.get("weights") or params.get("checkpoint") else "from nothing",
            "value": final.get("value"), "low": final.get("low"), "high": final.get("high"), "baseline": base,
            "p50_ms": done.measured.get("latency_p50_ms"), "size_mib": done.measured.get("size_mib"), "wall_s": wall,
            "alike": alike, "libraries": " ".join(libraries),
            "error": "" if done.status == "chosen" else "; ".join(done.why)[:200]}


def alone(choice: Any) -> tuple[Any, list[str]]:
    """(share of the package's sample answered as by the choice's own model, training libraries loaded) elsewhere."""
    if choice.package is None:
        return "", []
    rows = list(choice.model.sample)[:20]
    told = [choice.model.predict_one(record)["prediction"] for record in rows]
    done = subprocess.run([sys.executable, "-c", ALONE, str(choice.package)], input=json.dumps(rows, default=str),
                          capture_output=True, text=True, check=True)
    said, libraries = json.loads(done.stdout.splitlines()[-1])
    return sum(a == b for a, b in zip(told, said, strict=True)) / max(len(rows), 1), libraries


def main(arguments: list[str] | None = None) -> None:
    """Run the families that are named, or all; each row is kept at once."""
    words = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    words.add_argument("names", nargs="*", metavar="family", help=", ".join([*IMAGES, *TEXTS]))
    words.add_argument("--budget", type=float, default=90.0, help="seconds of each run")
    words.add_argument("--weights", action="append", default=[], help="a folder of pretrained weights")
    words.add_argument("--workers", type=int, default=1)
    words.add_argument("--out", type=Path, default=common.RESULTS)
    given = words.parse_args(arguments)
    unknown = set(given.names) - {*IMAGES, *TEXTS}
    if unknown:
        words.error(f"family must be one of {', '.join([*IMAGES, *TEXTS])}; got family={min(unknown)!r}")
    for name in given.names or [*IMAGES, *TEXTS]:
        row = measured(name, given)
        common.show(row)
        kept = [r for r in common.read_csv("each_family", given.out) if r["name"] != name]
        common.write_csv("each_family", [*kept, row], given.out)


if __name__ == "__main__":
    main()
