"""Renders every table of benchmarks/results into README.md, between the two comments that mark the place.

    python benchmarks/figures.py [--check]     also draws the plots (see plots.py)

No figure is typed by hand: what is not in a CSV is not said. `--check` writes nothing and exits 1 if the page differs.
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent))

import plots

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "README.md"
OPEN, CLOSE = "<!-- figures -->", "<!-- /figures -->"
WHOLE = 16  # a table of more lines is summed up
Row = dict[str, str]


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table.

    >>> table(["a"], [["1"]])
    ['| a |', '| --- |', '| 1 |']
    """
    rows = [list(head), ["---"] * len(head), *(list(line) for line in lines)]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def number(text: str) -> float | None:
    """The text as a number, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def total(rows: list[Row], name: str) -> int:
    """The sum of a column of counts."""
    return sum(int(float(row[name] or 0)) for row in rows)


def constant(rows: list[Row]) -> dict[str, str]:
    """The columns that say the same on every row, such as machine and versions."""
    return {name: rows[0][name] for name in rows[0] if len({row[name] for row in rows}) == 1 and rows[0][name]}


def anything(rows: list[Row]) -> list[str]:
    """A table as it is when it is short; else for each numeric column its least, middle and greatest value."""
    same = constant(rows) if len(rows) > 1 else {}
    names = [name for name in rows[0] if name not in same and any(row[name] for row in rows)]
    said = [f"{name} {value}" for name, value in same.items()]
    note = ["", "Throughout: " + ", ".join(said) + "."] if said else []
    if len(rows) <= WHOLE:
        return [*table(names, [[row[name] for name in names] for row in rows]), *note]
    lines = []
    for name in names:
        values = sorted(v for row in rows if (v := number(row[name])) is not None)
        if values and len(values) == sum(1 for row in rows if row[name]):
            lines.append([name, *(f"{v:.4g}" for v in (values[0], values[len(values) // 2], values[-1]))])
    return [f"{len(rows)} lines.", "", *table(["column", "least", "middle", "greatest"], lines), *note]


def audit(rows: list[Row]) -> list[str]:
    """How many of the listed traps were found, and the false alarms."""
    traps, found = total(rows, "traps"), total(rows, "found")
    worst = max(int(float(row["false_alarms"] or 0)) for row in rows)
    share = f"{found / traps:.1%}" if traps else "none listed"
    lines = [["tables", str(len(rows))], ["listed traps", str(traps)], ["found", f"{found} ({share})"],
             ["false alarms, all tables", str(total(rows, "false_alarms"))], ["false alarms, worst table", str(worst)],
             ["questions that the list does not have", str(total(rows, "questions"))],
             ["problem understood as listed",
              f"{sum(row['problem'] == row['listed_problem'] for row in rows)} of {len(rows)}"],
             ["tables that could not be audited", str(sum(bool(row["error"]) for row in rows))]]
    return table(["", "figure"], lines)


def intervals(rows: list[Row]) -> list[str]:
    """Coverage and optimism of the corrected interval, beside the plain one."""
    names = ("setting", "metric", "replays", "naive_optimism", "bbc_optimism", "naive_coverage", "bbc_coverage")
    return table(names, [[row[name] for name in names] for row in rows])


def speed(rows: list[Row]) -> list[str]:
    """Each measured figure beside its limit, where there is one; `noisy` ones were measured beside other load."""
    lines = []
    for row in rows:
        value = number(row["value"])
        kept = {"1": "yes", "0": "no"}.get(row["kept"], "") if row["limit"] else ""
        lines.append([row["what"], row["value"] if value is None else f"{value:.3g} {row['unit']}",
                      row["limit"] and f"{row['limit']} {row['unit']}", kept, "yes" if row["noisy"] == "1" else ""])
    head = ("what", "value", "limit", "kept", "noisy")
    return [*table(head, lines), *throughout(rows, ("machine", "versions", "date"))]


def drift(rows: list[Row]) -> list[str]:
    """Every figure of a tool: the share of windows that alarmed, or the time."""
    names = ("tool", "what", "rows", "features", "windows", "alarmed", "seconds each", "load_1m")
    lines = []
    for row in rows:
        share = f"{int(row['hits']) / int(row['windows']):.1%}" if row["hits"] and row["windows"] else row["reason"]
        lines.append([f"{row['tool']} {row['tool_version']}".strip(), row["what"], row["rows"], row["features"],
                      row["windows"], share, f"{float(row['seconds']):.2f}" if row["seconds"] else "", row["load_1m"]])
    return table(names, lines)


def engineering(rows: list[Row]) -> list[str]:
    """Each figure beside its limit, and what was chosen."""
    def kept(row: Row) -> str:
        return "" if not row["limit"] else "yes" if float(row["value"]) <= float(row["limit"]) else "no"

    lines = table(["what", "value", "limit", "kept", "note"], [
        [r["what"], f"{float(r['value']):.4g} {r['unit']}".strip(),
         f"{float(r['limit']):.4g} {r['unit']}" if r["limit"] else "", kept(r), r["note"]] for r in rows])
    return [*lines, *throughout(rows, ("cores", "python", "versions"))]


def contract(rows: list[Row]) -> list[str]:
    """How many answers there were, and how many limits were broken when somebody else measured."""
    def said(name: str, value: str) -> int:
        return sum(row.get(name, "") == value for row in rows)

    def sums(name: str) -> str:
        return str(sum(int(number(row.get(name) or "0") or 0) for row in rows))

    lines = [["cases", str(len(rows))], ["tables", str(len({row["table"] for row in rows}))],
             ["chosen", str(said("status", "chosen"))], ["infeasible", str(said("status", "infeasible"))],
             ["errors", str(said("status", "error"))], ["limits measured again", sums("resource_limits")],
             ["of these violated", sums("violations")], ["metric floors looked at on held-out rows", sums("floors")],
             ["of these violated beyond their interval", sums("floors_violated")],
             ["infeasible: shown true", str(said("infeasible", "true"))],
             ["infeasible: shown false", str(said("infeasible", "false"))]]
    return [*table(["", "figure"], lines), *throughout(rows, ("machine", "versions", "date"))]


def coverage(rows: list[Row]) -> list[str]:
    """The mean share held by problem and level, how far parts scatter, and the mean size."""
    lines = []
    for problem, level in sorted({(r["problem"], r["level"]) for r in rows}):
        some = [r for r in rows if (r["problem"], r["level"]) == (problem, level)]
        shares = [float(r["coverage"]) for r in some]
        lines.append([problem, level, str(len({r["table"] for r in some})), str(len(some)),
                      f"{statistics.mean(shares):.3f}", f"{min(shares):.3f}", f"{max(shares):.3f}"])
    head = ("problem", "asked", "tables", "packages", "held, mean", "lowest", "highest")
    return [*table(head, lines), *throughout(rows, ("machine", "versions"))]


def honesty(rows: list[Row]) -> list[str]:
    """Promised against found on rows that the run never saw, by metric."""
    lines = []
    for name in dict.fromkeys(row["metric"] for row in rows if row.get("metric")):
        some = [row for row in rows if row["metric"] == name and number(row.get("test", "")) is not None]
        if some:
            shares = [sum(int(float(row[c])) for row in some) / len(some) for c in ("inside", "covered")]
            mean = sum(float(row["optimism"]) for row in some) / len(some)
            lines.append([name, str(len(some)), *(f"{share:.1%}" for share in shares), f"{mean:+.4f}"])
    head = ("metric", "runs", "test score inside the interval", "apart by no more than both errors", "mean optimism")
    return [*table(head, lines), *throughout(rows, ("machine", "versions", "date", "budget"))]


def advice(rows: list[Row]) -> list[str]:
    """How often the winner of a result is in the advice's top 3, with and without rules, and how long it takes."""
    lines = []
    for source in dict.fromkeys(row["source"] for row in rows):
        own = [row for row in rows if row["source"] == source]
        if own[0]["in_top_3"]:
            cells = [f"{total(own, name)} of {len(own)}" for name in ("in_top_3", "kind_in_top_3", "by_rank_in_top_3")]
            for name in ("rank_correlation", "latency_error"):
                values = [v for row in own if (v := number(row[name])) is not None]
                cells.append(f"{median(values):.3f}" if values else "")
            lines.append([source, *cells])
    head = ("results", "winner in top 3", "its kind", "by prior rank alone",
            "rank correlation (median)", "latency error (median)")
    spent = [f"{row['case']}: {row['seconds']} s" for row in rows if row["source"] == "process"]
    return [*table(head, lines), "", "; ".join(spent), *throughout(rows, ("machine", "versions", "date"))]


FORECASTS = {"latency_ms": 0.20, "memory_mib": 0.15, "size_mib": 0.05, "training_s": 0.30}


def forecast(rows: list[Row]) -> list[str]:
    """Which share of the forecasts lies within the tolerance, on networks it was fitted on or not, and every error."""
    lines = []
    for name, tolerance in FORECASTS.items():
        for which, some in (("all", rows), ("not fitted on", [row for row in rows if row["fitted"] == "0"])):
            known = [row for row in some if row.get(f"{name}_error")]
            if known:
                near = sum(abs(float(row[f"{name}_error"])) <= tolerance for row in known)
                worst = max(known, key=lambda row: abs(float(row[f"{name}_error"])))
                lines.append([name, which, f"{near} of {len(known)} within {tolerance:.0%}",
                              f"{total(known, f'{name}_inside')} of {len(known)}",
                              f"{worst['network']} {float(worst[f'{name}_error']):+.0%}"])
    each = [[row["network"], f"{float(row['latency_ms_measured']):.3g}",
             *(f"{float(row[f'{name}_error']):+.0%}" if row.get(f"{name}_error") else "" for name in FORECASTS)]
            for row in rows]
    return [*table(("figure", "networks", "error", "inside the interval", "worst"), lines), "",
            *table(("network", "ms", *FORECASTS), each), *throughout(rows, ("machine", "versions", "date"))]


def repeat(rows: list[Row]) -> list[str]:
    """Pairs of probes that agree on a quiet machine, and whether a busy neighbour is told of."""
    quiet = [row for row in rows if row["how"] == "quiet" and row["family"] != "doctor"]
    busy = [row for row in rows if row["how"] == "busy" and row["family"] != "doctor"]
    lines = [[f"quiet: two probes apart by at most 5 %, {name}",
              f"{sum(float(row[f'{name}_apart']) <= 0.05 for row in quiet)} of {len(quiet)} pairs"]
             for name in ("latency_p50_ms", "latency_p95_ms")]
    lines += [["quiet: called noisy", f"{total(quiet, 'noisy')} of {2 * len(quiet)} probes"],
              ["busy neighbours: called noisy", f"{total(busy, 'noisy')} of {2 * len(busy)} probes"]]
    lines += [[f"rightfit doctor, {how}: slowest", f"{max(float(row['seconds']) for row in some):.2f} s"]
              for how in ("quiet", "busy")
              if (some := [row for row in rows if row["how"] == how and row["family"] == "doctor"])]
    return [*table(("", "figure"), lines), *throughout(rows, ("machine", "versions", "date"))]


def choices(rows: list[Row]) -> list[str]:
    """What fits of a run were forecast to take before they began, and who won."""
    lines = []
    for which in ("first", "later"):
        for name, tolerance in (("fit_s", 0.30), ("peak_mib", 0.15)):
            n, near, inside = (sum(int(row.get(f"{which}_{name}_{part}") or 0) for row in rows)
                               for part in ("n", "within", "inside"))
            lines.append([f"{which} fits of a family", name, f"{near} of {n} within {tolerance:.0%}",
                          f"{inside} of {n}"])
    won = [[row["table"], row["problem"], row["rows"], row["winner"], row["order"].partition(" ")[0], row["ties"]]
           for row in rows]
    return [*table(("forecast before the trial", "figure", "error", "inside the interval"), lines), "",
            *table(("table", "problem", "rows", "chosen", "best score", "tied"), won),
            *throughout(rows, ("machine", "versions", "date", "budget"))]


def texts_choose(rows: list[Row]) -> list[str]:
    """Promise and test score of each case, beside fastText on the same rows and what others published."""
    known = {}
    if (peers := RESULTS / "text_peers.csv").exists():
        with peers.open(encoding="utf-8", newline="") as file:
            known = {row["dataset"]: row["test"] for row in csv.DictReader(file) if row["peer"] == "fasttext"}
    lines = []
    for row in sorted(rows, key=lambda row: row["case"]):
        low, value, high, test = (f"{number(row[name]) or 0:.3f}" for name in ("low", "promised", "high", "test"))
        peer = number(known.get(row["case"].split(":")[0]) or "")
        lines.append([row["case"], row["metric"], f"{value} [{low}, {high}]", test, row["inside"], row["goal"],
                      "" if peer is None else f"{peer:.3f}", row["published"], row["family"]])
    head = ("case: data, way, seconds", "metric", "promised", "test", "inside", "goal", "fastText here", "published",
            "family")
    return [*table(head, lines), *throughout(rows, ("machine", "versions"))]


def images(rows: list[Row]) -> list[str]:
    """Scores with their intervals beside the goals and what peers have published; what the runs took."""
    lines, runs = [], []
    for row in rows:
        value, goal = float(row["value"]), number(row["goal"])
        ends = f" [{float(row['low']):.3f}, {float(row['high']):.3f}]" if row["low"] and row["high"] else ""
        reached = "" if goal is None else "yes" if value >= goal else "no"
        lines.append([row["case"], row["what"] if row["what"] != "chosen" else f"chosen: {row['family']}",
                      row["metric"], f"{value:.3f}{ends}", row["on"], row["goal"], reached, row["peers"]])
        if row["what"] == "chosen":
            runs.append([row["case"], row["budget_s"], f"{float(row['wall_s']):.0f}", f"{float(row['cpu_s']):.0f}",
                         *(row[f"{stage}_s"] for stage in ("untrained", "look", "folds")), row["load_1m"]])
    head = ("case", "what", "metric", "score, 95 % interval", "on", "goal", "reached", "peers, published")
    spent = ("case", "budget, s", "wall, s", "processor seconds", "untrained, s", "looks, s", "folds, s", "load")
    took = ["", *table(spent, runs)] if runs else []
    return [*table(head, lines), *took, *throughout(rows, ("machine", "versions", "date"))]


def delivered_latency(rows: list[Row]) -> list[str]:
    """Eager torch against the delivered network, one input at a time, and what was lost."""
    def least(row: Row, *names: str) -> str:
        told = [value for name in names if (value := number(row[name])) is not None]
        return f"{min(told):.2f} ms" if told else ""

    lines = [[row["network"], row["weights"], row["steps"], least(row, "eager_1_ms", "eager_all_ms"),
              least(row, "delivered_ms", "delivered_all_ms"), f"{float(row['times_faster']):.2f}",
              f"{float(row['times_faster_1']):.2f}", f"{100 * float(row['loss']):.2f}", row["peers"]] for row in rows]
    head = ("network", "weights", "steps", "eager p50", "delivered p50", "times faster", "on one thread each",
            "points lost", "peers, by hand")
    return [*table(head, lines), *throughout(rows, ("machine", "versions", "date"))]


def each_family(rows: list[Row]) -> list[str]:
    """What each family of pictures and texts reached alone, beside the most frequent class."""
    lines = [[row["name"], row["data"], row["network"].rpartition("/")[2], row["weights"],
              f"{float(row['value']):.3f} [{float(row['low']):.3f}, {float(row['high']):.3f}]",
              f"{float(row['baseline']):.3f}", f"{float(row['p50_ms']):.2f}", f"{float(row['size_mib']):.1f}",
              f"{float(row['alike']):.0%}", row["libraries"] or "none"] for row in rows
             if not row.get("error") and not row["chosen"].endswith("_baseline")]
    lost = [f"{row['name']}: {row['error']}" for row in rows if row.get("error")]
    same = [f"{row['name']} ({row['budget_s']} s)" for row in rows if row["chosen"].endswith("_baseline")]
    return [*table(["family", "data", "network", "weights", "score, 95 % interval", "baseline", "p50, ms", "MiB",
                    "answers alike elsewhere", "training libraries then loaded"], lines),
            *(["", f"Nothing was better than the most frequent class: {', '.join(same)}."] if same else []),
            *(["", "Failed: " + "; ".join(lost)] if lost else [])]


def screening(rows: list[Row]) -> list[str]:
    """What a run's pick is behind the best of all trained in full, and what screening cost of that."""
    def share(text: str) -> str:
        return f"{float(text):.1%}" if text else ""

    lines = [[row["set"], str(int(float(row["candidates"]))), f"{float(row['best_value']):.4f}", row["family"],
              f"{100 * float(row['behind']):.2f} [{100 * float(row['behind_low']):.2f}, "
              f"{100 * float(row['behind_high']):.2f}]" if row["behind"] else "",
              f"{100 * float(row['kept_behind']):.2f}" if row["kept_behind"] else "", share(row["share"]),
              share(row["race_share"]), {"True": "yes", "False": "no"}.get(row["reached"], "")]
             for row in rows if row["what"] == "summary"]
    cut = sum(row.get("cut") == "yes" for row in rows)
    return [*table(["set", "candidates", "best of all", "picked", "points behind", "best that passed, behind",
                    "screening's share", "race's share", "reached"], lines),
            "", f"Candidates that were stopped at the cap: {cut}."]


def peers(rows: list[Row]) -> list[str]:
    """The score of every system on every table and split, the best of each in bold."""
    last = {(r["table"], r["split"], f"{r['way']} {r['version']}, {r['budget_s']} s"
             + (", busy neighbour" if r["neighbour"] == "busy" else "")): r for r in rows}
    shown = {key: row for key, row in last.items() if _newest(key, last)}
    ways = list(dict.fromkeys(way for _, _, way in shown))
    lines = []
    for name, split in dict.fromkeys((name, split) for name, split, _ in shown):
        known = {way: shown[name, split, way] for way in ways if (name, split, way) in shown}
        scores = {way: float(row["score"]) for way, row in known.items() if row["score"]}
        one = next(iter(known.values()))
        best = (max if one["metric"] == "roc_auc" else min)(scores.values(), default=None)
        cells = ["" if way not in known else "no model" if way not in scores else
                 f"**{scores[way]:.4g}**" if scores[way] == best else f"{scores[way]:.4g}" for way in ways]
        lines.append([name, split, one["metric"], *cells])
    failed = [f"{row['way']} on {row['table']}: {row['error']}" for row in shown.values() if row.get("error")]
    return [*table(("table", "split", "metric", *ways), lines),
            *(["", "Without a model: " + "; ".join(failed) + "."] if failed else []),
            "", "Cores given to each: " + ", ".join(sorted({r["cores"] for r in shown.values()})) + ".",
            *throughout(rows, ("machine",))]


def _newest(key: tuple[str, str, str], last: dict[tuple[str, str, str], Row]) -> bool:
    """Whether no later line is about the same system in another version; lines stand in the order of measuring."""
    def same(row: Row) -> tuple[str, ...]:
        return tuple(row[n] for n in ("table", "split", "way", "budget_s", "neighbour"))

    return [other for other, row in last.items() if same(row) == same(last[key])][-1] == key


def replay(rows: list[Row]) -> list[str]:
    """Each selection rule: excess regret over full cross-validation with its upper 95 % bound, and its cost."""
    names = ("auc_points_excess", "auc_points_excess_high", "loss_percent_excess", "loss_percent_excess_high",
             "cost_share")
    lines = [[row["rule"], *(f"{v:.3f}" if (v := number(row[name])) is not None else "" for name in names)]
             for row in rows]
    counts = f"{rows[0]['auc_points_cases']} cases by ROC AUC, {rows[0]['loss_percent_cases']} by log loss or RMSE"
    return [*table(("rule", *names), lines), "", f"Over {rows[0]['tables']} tables: {counts}.",
            *throughout(rows, ("machine", "versions", "date"))]


def replay_honesty(rows: list[Row]) -> list[str]:
    """What full cross-validation of every candidate promises, beside the held-out rows."""
    lines = []
    for what, some in (("ROC AUC, points", [r for r in rows if r["metric"] == "roc_auc"]),
                       ("log loss or RMSE, percent", [r for r in rows if r["metric"] != "roc_auc"])):
        if some:
            means = [sum(float(r[n]) for r in some) / len(some) for n in ("naive_optimism", "optimism")]
            told = [r["default_better"] for r in some if r["default_better"] != ""]
            lines.append([what, str(len(some)), *(f"{m:+.2f}" for m in means), str(total(some, "covered")),
                          f"{sum(float(t) > 0 for t in told)} of {len(told)}"])
    head = ("metric", "cases", "optimism of the winner's own score", "optimism of the promise", "covered",
            "the default is better beyond chance")
    return [*table(head, lines), *throughout(rows, ("machine", "versions", "date"))]


def replay_many_summary(rows: list[Row]) -> list[str]:
    """Promises over many splits, beside what they would be without the correction."""
    def spread(row: Row, name: str) -> str:
        return f"{float(row[name]):+.2f} [{float(row[name + '_low']):+.2f}, {float(row[name + '_high']):+.2f}]" \
            if row[name] else ""

    names = {"roc_auc": "ROC AUC, points", "log_loss": "log loss, percent", "rmse": "RMSE, percent"}
    lines = [[names.get(row["metric"], row["metric"]), row["cases"], row["tables"],
              f"{float(row['configurations']):.0f}", spread(row, "naive_optimism"), spread(row, "optimism"),
              f"{float(row['covered']):.1%}", f"{float(row['default_better']):.1%}",
              f"{float(row['quick_share']):.1%}", spread(row, "excess")] for row in rows]
    head = ("metric", "cases", "tables", "configurations", "optimism of the winner's own score",
            "optimism of the promise", "covered", "the default is better beyond chance", "share of the time",
            "and what is lost with it")
    return [*table(head, lines), *throughout(rows, ("machine", "versions", "date"))]


def mixed(rows: list[Row]) -> list[str]:
    """Texts beside other columns: what they add, and what an encoder of them adds."""
    lines = [[row["set"], row["way"], row["train"], row["test"],
              f"{float(row['r2']):.3f} [{float(row['low']):.3f}, {float(row['high']):.3f}]",
              f"{float(row['promised']):.3f}", row["chosen"], row["members"],
              f"{float(row['best_mixed']):.3f}" if row["best_mixed"] else ""] for row in rows]
    head = ("set", "way", "rows", "test", "R2 on the test part", "promised", "chosen", "of",
            "best of `mixed`, promised")
    return [*table(head, lines), *throughout(rows, ("budget_s", "machine", "versions", "date"))]


def throughout(rows: list[Row], names: Sequence[str]) -> list[str]:
    """A closing line with what was the same on every row."""
    same = constant(rows)
    said = [same[name] for name in names if name in same]
    return ["", "Measured on: " + "; ".join(said) + "."] if said else []


# A results file whose own function is named otherwise than the file.
SPECIAL: dict[str, Callable[[list[Row]], list[str]]] = {"serve": speed}


def section(path: Path) -> list[str]:
    """One results file as Markdown."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    shown = SPECIAL.get(path.stem) or globals().get(path.stem, anything)
    body = shown(rows) if rows else ["No line yet."]
    programs = (path.stem + ".py", path.stem, path.stem.partition("_")[0])
    program = next((name for name in programs if (ROOT / "benchmarks" / name).exists()), "")
    origin = f", written by `benchmarks/{program}`" if program else ""
    image = [f"![{path.stem.replace('_', ' ')}](docs/plots/{path.stem}.svg)", ""] \
        if path.stem in plots.drawn(path.parent) else []
    return [f"### {path.stem.replace('_', ' ')}", "", f"`benchmarks/results/{path.name}`{origin}.", "", *image, *body]


def render(results: Path = RESULTS) -> str:
    """All results files, in alphabetical order."""
    parts = ["\n".join(section(path)) for path in sorted(results.glob("*.csv"))]
    return "\n\n".join(parts) if parts else "Nothing has been measured yet."


def placed(page: str, figures: str) -> str:
    """The page with the figures between its two comments. Raises ValueError where it does not have both.

    >>> placed(f"a {OPEN} old {CLOSE} b", "new") == f"a {OPEN}\\nnew\\n{CLOSE} b"
    True
    """
    before, opened, rest = page.partition(OPEN)
    _, closed, after = rest.partition(CLOSE)
    if not opened or not closed:
        raise ValueError(f"the page must hold {OPEN} and, after it, {CLOSE}.")
    return f"{before}{OPEN}\n{figures}\n{CLOSE}{after}"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with --check compare it."""
    old = PAGE.read_text(encoding="utf-8")
    new = placed(old, render())
    images = plots.drawn(RESULTS)
    if "--check" in arguments:
        print("README.md holds the figures as they are." if new == old else
              "README.md differs from benchmarks/results; run python benchmarks/figures.py")
        stale = [name for name, text in images.items() if not (plots.FOLDER / f"{name}.svg").exists()
                 or (plots.FOLDER / f"{name}.svg").read_text(encoding="utf-8") != text]
        return int(new != old or bool(stale))
    PAGE.write_text(new, encoding="utf-8")
    for name, text in images.items():
        plots.FOLDER.mkdir(exist_ok=True)
        (plots.FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
