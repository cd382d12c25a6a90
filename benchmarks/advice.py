"""Advice replayed on every result that says which family won: was it in the top 3, is the order right, the latency too.

    python benchmarks/advice.py [--results FOLDER] [--out FOLDER] [--show]

The rules were changed after looking at texts.csv (all families on one data set: order and latency) and contract.csv
(the winner under limits, on ten tables), so that their figures are those of the rules on what they know; those of
choices.csv (`choose` without limits on other tables) are of tables that no rule was written after (but for those of
SEEN), and so will be those of modalities.csv where there is one. place_by_rank is where the winner stands without any
rule; kind_in_top_3 also counts a family that is alike, such as another boosted ensemble. Under limits the winner of a
case is either the family that wins most cases of its table, or another one, which the limits made win: contract and
contract, limits decide. Writes advice.csv, one row a data set or case. The descriptions hold what a user knows
beforehand: rows, columns, classes, language, limits, budget; DATASETS and TABLES say them where the results do not.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import common

from rightfit.advice import catalogue, forecast, rules
from rightfit.advice.description import Description
from rightfit.advise import order

TOP = 3
# Training rows and classes as the scripts that wrote the results split them; imbalance where it is above 1.5.
DATASETS: Mapping[str, Mapping[str, Any]] = {
    "trec6": {"modality": "text", "problem": "multiclass", "rows": 5452, "classes": 6, "imbalance": 14.5, "length": 10,
              "language": "en"},
    "sms_spam": {"modality": "text", "problem": "binary", "rows": 4459, "imbalance": 6.5, "length": 16,
                 "language": "en"},
    "sst2": {"modality": "text", "problem": "binary", "rows": 6920, "length": 19, "language": "en"},
    "tweeteval_irony": {"modality": "text", "problem": "binary", "rows": 2862, "length": 14, "language": "en"},
    "tweeteval_emotion": {"modality": "text", "problem": "multiclass", "rows": 3257, "classes": 4, "imbalance": 4.8,
                          "length": 16, "language": "en"},
    "tweeteval_offensive": {"modality": "text", "problem": "binary", "rows": 11916, "imbalance": 2.0, "length": 22,
                            "language": "en"},
    "banking77": {"modality": "text", "problem": "multiclass", "rows": 10003, "classes": 77, "imbalance": 5.3,
                  "length": 12, "language": "en"},
    "thucnews_dev": {"modality": "text", "problem": "multiclass", "rows": 10000, "classes": 10, "length": 19,
                     "language": "zh"},
    "waimai_10k": {"modality": "text", "problem": "binary", "rows": 7669, "imbalance": 2.0, "length": 20,
                   "language": "zh"},
    "emobank_valence": {"modality": "text", "problem": "regression", "rows": 8062, "length": 16, "language": "en"},
    "cifar10": {"modality": "image", "problem": "multiclass", "rows": 50000, "classes": 10, "image_size": 32},
    "fashion_mnist": {"modality": "image", "problem": "multiclass", "rows": 60000, "classes": 10, "image_size": 28,
                      "natural": False},
    "trashnet": {"modality": "image", "problem": "multiclass", "rows": 2022, "classes": 6, "image_size": 512},
}
TABLES: Mapping[str, Mapping[str, Any]] = {
    "heartdisease": {"features": 9, "categorical": 0.33},
    "Telco-Customer-Churn": {"features": 19, "categorical": 0.79, "imbalance": 2.8},
    "Vehicle": {"features": 18, "classes": 4, "categorical": 0.0},
    "bank": {"features": 15, "categorical": 0.6, "imbalance": 7.5},
    "california_housing": {"features": 9, "categorical": 0.11}, "concrete": {"features": 8, "categorical": 0.0},
    "diamonds": {"features": 9, "categorical": 0.33}, "letterdata": {"features": 16, "classes": 26, "categorical": 0.0},
    "mpg": {"features": 8, "categorical": 0.25}, "segment": {"features": 18, "classes": 7, "categorical": 0.0}}
SEEN = ("german_credit",)  # of choices.csv, after which a rule was changed
LIMITS = {"latency_p95_ms": "latency_ms", "memory_mib": "memory_mib", "size_mib": "size_mib",
          "throughput_per_s": "throughput_per_s"}


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, 1 the greatest; ties share the mean of their places.

    >>> ranks([0.9, 0.5, 0.9])
    [1.5, 3.0, 1.5]
    """
    return [1 + sum(v > one for v in values) + (sum(v == one for v in values) - 1) / 2 for one in values]


def spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    """The rank correlation of two sequences (n,), None below three values or where one does not vary.

    >>> spearman([3.0, 2.0, 1.0], [30.0, 20.0, 10.0])
    1.0
    """
    if len(a) < 3:
        return None
    x, y = ranks(a), ranks(b)
    mx, my = sum(x) / len(x), sum(y) / len(y)
    top = sum((i - mx) * (j - my) for i, j in zip(x, y, strict=True))
    below = math.sqrt(sum((i - mx) ** 2 for i in x) * sum((j - my) ** 2 for j in y))
    return round(top / below, 4) if below else None


def by_rank(asked: Description, names: Iterable[str]) -> list[str]:
    """The families as their prior rank alone orders them: what the rules are measured against."""
    cards = catalogue.known(asked.modality)
    return sorted(names, key=lambda name: (cards[name].rank, name))


def process(times: int) -> Iterator[dict[str, Any]]:
    """How long `rightfit advise` takes as a process, in wall seconds: p50 and p95, with bytecode as once installed."""
    import os
    import subprocess
    import sys
    import tempfile
    import time

    words = [sys.executable, "-m", "rightfit", "advise", "--task", "image-classification", "--rows", "5000",
             "--classes", "10", "--max-latency", "20ms", "--device", "cpu"]
    spent = []
    with tempfile.TemporaryDirectory(prefix="rightfit-bench-") as folder:
        given = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        for _ in range(times + 1 if times else 0):
            started = time.monotonic()
            subprocess.run(words, check=True, capture_output=True, env=given)
            spent.append(time.monotonic() - started)
    spent = spent[1:]
    for share in (0.5, 0.95) if spent else ():
        value = sorted(spent)[min(int(share * len(spent)), len(spent) - 1)]
        yield {"source": "process", "case": f"rightfit advise p{share * 100:.0f}", "of": times,
               "seconds": round(value, 3)}


def of_texts(rows: Iterable[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """One row a data set on which all families were scored: place of the best, correlation of the orders, latency."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    first: dict[str, str] = {}
    for row in rows:
        if row["dataset"] not in DATASETS or first.setdefault(row["dataset"], row["metric"]) != row["metric"]:
            continue
        score = (float(row["value"]), float(row["row_us"]) / 1e3)
        known = found.setdefault(row["dataset"], {})
        known[row["family"]] = max(known.get(row["family"], score), score)
    for name, scores in found.items():
        asked = Description(**DATASETS[name])
        cards = catalogue.known(asked.modality)
        there = {f: s for f, s in scores.items() if f in cards and not cards[f].baseline}
        advised = order(asked)
        winner = max(there, key=lambda f: there[f][0])
        raced = [f for f in advised if f in there]
        errors = []
        for family, (_, latency) in there.items():
            told = forecast.forecast(cards[family], asked).latency_ms
            if told is not None:
                errors.append(told.value / latency - 1)
        yield {"source": "texts", "case": name, "winner": winner, "advised": " ".join(raced[:TOP]), "of": len(raced),
               "place": raced.index(winner) + 1, "place_by_rank": by_rank(asked, raced).index(winner) + 1,
               "rank_correlation": spearman([-raced.index(f) for f in raced], [there[f][0] for f in raced]),
               "latency_error": middle([abs(e) for e in errors])}


def middle(values: Sequence[float]) -> float | None:
    """The median, None of nothing.

    >>> middle([3.0, 1.0, 2.0])
    2.0
    """
    ordered = sorted(values)
    half = len(ordered) // 2
    return None if not ordered else ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def of_contract(rows: Iterable[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """One row a case that ended with a model: its family's place in the advice under the same limits."""
    cases = [(row, row["chosen"].rpartition("-")[0]) for row in rows
             if row["status"] == "chosen" and row["baseline_chosen"] != "1" and row["chosen"]]
    won: dict[str, list[str]] = {}
    for row, family in cases:
        won.setdefault(row["table"], []).append(family)
    usual = {table: max(sorted(set(names)), key=names.count) for table, names in won.items()}
    for row, family in cases:
        limits = {LIMITS[name]: float(value) for name, value in re.findall(r"(\w+)[<>]=([\d.e+-]+)", row["limits"])
                  if name in LIMITS}
        asked = Description(modality="tabular", problem=row["problem"],  # type: ignore[arg-type]
                            rows=int(row["rows"]), **limits, **TABLES.get(row["table"], {}))
        advised = order(asked)
        measured = dict(re.findall(r"(\w+)=([\d.e+-]+)", row["measured"]))
        latency = float(measured["latency_p95_ms"]) if "latency_p95_ms" in measured else None
        told = forecast.forecast(catalogue.known("tabular")[family], asked).latency_ms
        error = None if latency is None or told is None else abs(told.value / latency - 1)
        yield {"source": "contract" if family == usual[row["table"]] else "contract, limits decide",
               "case": f"{row['table']} {row['case']}", "winner": family,
               "advised": " ".join(advised[:TOP]), "of": len(advised), "place": advised.index(family) + 1,
               "place_by_rank": by_rank(asked, advised).index(family) + 1, "latency_error": error}


def of_choices(rows: Iterable[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """One row a run of `choose` on pictures or texts, where the result names the family."""
    for row in rows:
        name, family = row.get("dataset") or row.get("data", ""), row.get("family", "")
        if name not in DATASETS or not family:
            continue
        asked = Description(**DATASETS[name], weights=row.get("weights", "").lower() in ("1", "true"))
        advised = order(asked)
        if family in advised:
            yield {"source": "modalities", "case": name, "winner": family, "advised": " ".join(advised[:TOP]),
                   "of": len(advised), "place": advised.index(family) + 1,
                   "place_by_rank": by_rank(asked, advised).index(family) + 1}


def of_tables(rows: Iterable[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    """One row a table on which `choose` ran without limits: the winner's place, and the order of all families."""
    for row in rows:
        said: dict[str, Any] = {name: float(row[name]) for name in ("imbalance", "categorical") if row.get(name)}
        said |= {name: int(row[name]) for name in ("rows", "features", "classes") if row.get(name)}
        if row["problem"] == "binary":
            said.pop("classes", None)
        asked = Description(modality="tabular", problem=row["problem"], **said)  # type: ignore[arg-type]
        advised, found = order(asked), row["order"].split()
        raced = [family for family in advised if family in found]
        if row["winner"] in raced:
            yield {"source": "choices, seen" if row["table"] in SEEN else "choices", "case": row["table"],
                   "winner": row["winner"], "advised": " ".join(raced[:TOP]), "of": len(raced),
                   "place": raced.index(row["winner"]) + 1,
                   "place_by_rank": by_rank(asked, raced).index(row["winner"]) + 1, "best": found[0],
                   "best_in_top_3": int(found[0] in raced[:TOP]),
                   "rank_correlation": spearman([-raced.index(f) for f in raced], [-found.index(f) for f in raced])}


def kinds(name: str) -> set[str]:
    """What families are alike by, of which the advice puts one ahead of the others; its own name where by nothing."""
    card = catalogue.find(name)
    alike = {target for rule in rules.rules() if rule.effect == "alike" for target in rule.targets}
    return {target for target in alike if target.removeprefix("tag:") in card.tags} or {name}


def replay(results: Path) -> list[dict[str, Any]]:
    """Every result in a folder, replayed."""
    rows = [*of_texts(common.read_csv("texts", results)), *of_contract(common.read_csv("contract", results)),
            *of_tables(common.read_csv("choices", results)),
            *of_choices(common.read_csv("modalities", results))]
    return [{**row, "kind_in_top_3": int(any(kinds(row["winner"]) & kinds(name) for name in row["advised"].split())),
             "in_top_3": int(row["place"] <= TOP), "by_rank_in_top_3": int(row["place_by_rank"] <= TOP)}
            for row in rows]


def summed(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the rows say, one sentence a source."""
    for source in dict.fromkeys(str(row["source"]) for row in rows):
        own = [row for row in rows if row["source"] == source]
        line = (f"{source}: winner in top {TOP} in {sum(row['in_top_3'] for row in own)} of {len(own)}, its kind in "
                f"{sum(row['kind_in_top_3'] for row in own)}, by prior rank alone in "
                f"{sum(row['by_rank_in_top_3'] for row in own)}")
        for key, said in (("rank_correlation", "rank correlation"), ("latency_error", "latency error")):
            values = [row[key] for row in own if row.get(key) is not None]
            line += f"; median {said} {middle(values):.3f} ({len(values)})" if values else ""
        yield line


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=common.RESULTS, help="folder of results to replay")
    parser.add_argument("--out", type=Path, default=common.RESULTS, help="folder for advice.csv")
    parser.add_argument("--show", action="store_true", help="print every row, write nothing")
    parser.add_argument("--processes", type=int, default=20, help="processes of rightfit advise to time")
    given = parser.parse_args()
    rows = replay(given.results)
    if given.show:
        for row in rows:
            print(row)
    else:
        print(common.write_csv("advice", [*rows, *process(given.processes)], given.out))
    print("\n".join(summed(rows)))


if __name__ == "__main__":
    main()
