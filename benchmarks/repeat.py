"""Does latency measured twice agree, and is a busy neighbour told of? Packages, each in two fresh processes in turn.

    python benchmarks/repeat.py [--pairs 5] [--neighbours 3]        about four minutes, on a machine that is quiet

quiet: two probes of a package, nothing else running; busy: the same beside as many endless loops as there are cores,
and one more. A pair agrees when its medians (and p95) differ by at most 5 %; a probe is honest when it agrees with
the quiet ones within 5 % or says noisy. Besides, how long `rightfit doctor` takes, and what it says of either.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import row_latency
from common import RESULTS, proportion, show, write_csv

from rightfit.data.assemble import assemble
from rightfit.data.schema import infer
from rightfit.package import write
from rightfit.package.probe import probe
from rightfit.records import Candidate, Need, Rule
from rightfit.registry import plugin
from rightfit.resources.machine import usable_cores
from rightfit.task.understand import understand

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "linear": {}, "lightgbm": {"n_estimators": 200, "early_stopping": False}, "random_forest": {}, "mlp": {}}
AGREE = 0.05
FIGURES = ("latency_p50_ms", "latency_p95_ms")


def package(name: str, folder: Path) -> Path:
    """The package of a family fitted on a small table."""
    table = row_latency.frame()
    need = Need(target="y")
    schema, _ = infer(table, need)
    task = understand(table, schema, need, "tabular")
    family = plugin("rightfit.models", name, "family")
    params = {**family.defaults, **FAMILIES[name]}
    model = family.build(params, task).fit(assemble(table, schema, task), seed=0, deadline=time.monotonic() + 60)
    write.write(model, folder / name, task=task, schema=schema, rule=Rule(),
                candidate=Candidate(family=name, params=params), sample=table.drop(columns="y").head(64))
    return folder / name


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Endless loops beside what is measured."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def doctor() -> dict[str, Any]:
    """Seconds of `rightfit doctor` as a process, and the noise that it hears."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "rightfit", "doctor", "--json"], check=True, capture_output=True)
    return {"seconds": time.monotonic() - started, "noise": json.loads(done.stdout)["noise"]}


def apart(one: float, other: float) -> float:
    """By which share of the smaller two figures differ."""
    return abs(one - other) / min(one, other)


def measured(folders: Sequence[Path], pairs: int, how: str) -> Iterator[dict[str, Any]]:
    """One row for each pair of probes."""
    for pair in range(pairs):
        for folder in folders:
            first, second = probe(folder), probe(folder)
            row: dict[str, Any] = {"how": how, "family": folder.name, "pair": pair,
                                   "noisy": int(first["noisy"]) + int(second["noisy"])}
            for name in FIGURES:
                row |= {f"{name}_1": first[name], f"{name}_2": second[name], f"{name}_apart": apart(first[name],
                                                                                                 second[name])}
            yield row | {"noisy_1": int(first["noisy"]), "noisy_2": int(second["noisy"])}
    for _ in range(pairs):
        yield {"how": how, "family": "doctor", **doctor()}


def summed(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Which pairs agree, which probes are honest, and how long the doctor takes."""
    quiet = [row for row in rows if row["how"] == "quiet" and row["family"] != "doctor"]
    for name in FIGURES:
        for which, some in (("all", quiet), ("of those not called noisy", [r for r in quiet if not r["noisy"]])):
            yield (f"quiet, {name}, {which}: pairs within {AGREE:.0%} "
                   f"{proportion(sum(r[f'{name}_apart'] <= AGREE for r in some), len(some))}")
    usual = {name: sorted(r["latency_p50_ms_1"] for r in quiet if r["family"] == name) for name in FAMILIES}
    busy = [(row["family"], row[f"noisy_{i}"], row[f"latency_p50_ms_{i}"]) for row in rows
            if row["how"] == "busy" and row["family"] != "doctor" for i in (1, 2)]
    called = sum(noisy for _, noisy, _ in busy)
    honest = sum(1 for name, noisy, value in busy
                 if noisy or apart(value, usual[name][len(usual[name]) // 2]) <= AGREE)
    yield f"busy: called noisy {proportion(called, len(busy))}; noisy or within {AGREE:.0%} of quiet " \
          f"{proportion(honest, len(busy))}"
    for how in ("quiet", "busy"):
        some = [row for row in rows if row["how"] == how and row["family"] == "doctor"]
        yield (f"doctor, {how}: at most {max(r['seconds'] for r in some):.2f} s, noise "
               f"{min(r['noise'] for r in some):.3f} to {max(r['noise'] for r in some):.3f}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--neighbours", type=int, default=usable_cores() + 1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = [package(name, Path(scratch)) for name in FAMILIES]
        for how, beside in (("quiet", 0), ("busy", given.neighbours)):
            with neighbours(beside):
                for row in measured(folders, given.pairs, how):
                    rows.append(row)
                    show(row)
                    write_csv("repeat", rows, given.out)
    print("\n".join(summed(rows)))


if __name__ == "__main__":
    main()
