"""False alarms, power and speed of the drift monitor, with Evidently and NannyML beside it.

    python benchmarks/drift.py                      writes benchmarks/results/drift.csv, a figure at a time, in minutes
    python benchmarks/drift.py --peers evidently nannyml        peers instead, in environments of their own, made by uv

What the file holds already is not measured again: remove it to start anew.

Windows of 50 independent features (normal, heavy-tailed, tied, categorical with rare values) that do not drift: the
share of windows in which any feature alarms. Then one feature of them shifted by 0.25 sd, 2,000 rows: the share in
which that one alarms. Then 400 columns of 20,000 rows against as many. Each window has a fresh reference of 10,000
rows. Peers are called as they come: an alarm is a column that they call drifted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drift_peer
import numpy as np
from common import HERE, append_csv, proportion, read_csv, show

from rightfit.delivery.monitor import compare, windows
from rightfit.registry import plugins

SIZES, FEATURES, LIMIT, LEVEL = (300, 1000, 5000, 20_000), 50, 2.0, 0.05
NEEDS = {"evidently": ("evidently", "pandas<3"), "nannyml": ("nannyml", "pandas<3", "statsmodels")}
NAMES = ("tool", "tool_version", "what", "rows", "features", "windows", "hits", "seconds", "limit", "reason", "seed")
QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}


def look(reference: Any, window: Any) -> set[str]:
    """The features that rightfit's monitor alarms on: the one place that calls it."""
    one, other = ({name: seen(side[name]) for name in side.columns} for side in (reference, window))
    return {feature.name for feature in compare.compare(one, other)[0] if feature.alarm}


def seen(column: Any) -> Any:
    """A column as `reference.see` gives it to the monitor."""
    return column.to_numpy(float) if column.dtype.kind == "f" else column.to_numpy(object)


def bare(reference: Any, window: Any) -> set[str]:
    """The tests and the adjustment alone, without the effect floor: what the size rests on."""
    tests, rng = plugins("rightfit.delivery.monitor.drift"), np.random.default_rng(0)
    names = [("ks" if reference[n].dtype.kind == "f" else "chi_square", n) for n in reference.columns]
    p = [tests[test].run(reference[n].to_numpy(), window[n].to_numpy(), rng)[0] for test, n in names]
    return {n for (_, n), adjusted in zip(names, windows.adjust(p), strict=True) if adjusted <= LEVEL}


def ours(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every figure of rightfit."""
    for tool, alarms in (("rightfit", look), ("rightfit without the floor", bare)):
        lines = drift_peer.trials(alarms, given.sizes, FEATURES, given.windows, given.seconds, given.seed, known(tool))
        yield from ({"tool": tool, **line} for line in lines)
        if ("time", given.rows) not in known(tool):
            yield {"tool": tool, "limit": LIMIT, **drift_peer.speed(alarms, given.columns, given.rows, 3, given.seed)}


def known(tool: str) -> set[tuple[str, int]]:
    """The figures of a tool that an earlier run has measured."""
    return {(line["what"], int(line["rows"])) for line in read_csv("drift") if line["tool"] == tool and line["rows"]}


def peer(name: str, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Every figure of a peer in an environment of its own; one line with the reason where it cannot be had."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        try:
            for command in (["uv", "venv", "-q", "--clear", folder],
                            ["uv", "pip", "install", "-q", "-p", str(python), *NEEDS[name]]):
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=given.install_seconds)
            version = subprocess.run([python, "-c", f"import importlib.metadata as m; print(m.version({name!r}))"],
                                     check=True, capture_output=True, text=True).stdout.strip()
            shown = subprocess.run([python, HERE / "drift_peer.py", name, "--sizes", *map(str, given.sizes),
                                    "--windows", str(given.peer_windows), "--seconds", str(given.peer_seconds),
                                    "--columns", str(given.columns), "--rows", str(given.rows),
                                    "--seed", str(given.seed)], check=True, capture_output=True, text=True,
                                   env={**os.environ, **QUIET}, timeout=given.run_seconds).stdout
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            return [{"tool": name, "what": "skipped", "reason": said[:200]}]
    return [{"tool": name, "tool_version": version, **json.loads(line)} for line in shown.splitlines()
            if line.startswith("{")]


def summary(found: list[dict[str, str]]) -> list[str]:
    """One sentence for each figure."""
    said = []
    for line in found:
        if line["what"] == "skipped":
            said.append(f"{line['tool']}: skipped, {line['reason']}")
        elif line["what"] == "time":
            said.append(f"{line['tool']}: {line['features']} columns of {line['rows']} rows in "
                        f"{float(line['seconds']):.2f} s")
        else:
            share = proportion(int(line["hits"]), int(line["windows"]))
            said.append(f"{line['tool']}: {line['what']} at {line['rows']} rows in {share}")
    return said


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="*", choices=NEEDS, default=[])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--windows", type=int, default=400, help="of each size, without drift and with")
    parser.add_argument("--seconds", type=float, default=40.0, help="at most for each figure of rightfit")
    parser.add_argument("--peer-windows", type=int, default=100)
    parser.add_argument("--peer-seconds", type=float, default=20.0, help="at most for each figure of a peer")
    parser.add_argument("--install-seconds", type=float, default=180.0)
    parser.add_argument("--run-seconds", type=float, default=900.0, help="at most for all figures of a peer")
    parser.add_argument("--columns", type=int, default=400)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    lines = (line for name in given.peers for line in peer(name, given)) if given.peers else ours(given)
    for line in lines:
        here = {"seed": given.seed, **line}
        append_csv("drift", {name: here.get(name, "") for name in NAMES})
        show(here)
    print("\n".join(summary(read_csv("drift"))))


if __name__ == "__main__":
    main()
