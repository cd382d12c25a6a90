"""Renders every table of benchmarks/results into README.md, between the two comments that mark the place.

    python benchmarks/figures.py [--check]

No figure is typed by hand: what is not in a CSV is not said. `--check` writes nothing and exits 1 if the page differs.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median

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
            cells = [f"{total(own, name)} of {len(own)}" for name in ("in_top_3", "by_rank_in_top_3")]
            for name in ("rank_correlation", "latency_error"):
                values = [v for row in own if (v := number(row[name])) is not None]
                cells.append(f"{median(values):.3f}" if values else "")
            lines.append([source, *cells])
    head = ("results", "winner in top 3", "by prior rank alone", "rank correlation (median)", "latency error (median)")
    spent = [f"{row['case']}: {row['seconds']} s" for row in rows if row["source"] == "process"]
    return [*table(head, lines), "", "; ".join(spent), *throughout(rows, ("machine", "versions", "date"))]


def peers(rows: list[Row]) -> list[str]:
    """Every system on every table and split, as it was run."""
    names = ("table", "metric", "way", "budget_s", "neighbour", "score", "wall_s", "row_p50_ms", "row_p99_ms",
             "size_mb", "load_1m")
    lines = sorted([row["table"], row["metric"], f"{row['way']} {row['version']}",
                    *(row.get(name, "") for name in names[3:])] for row in rows)
    failed = [f"{row['way']} on {row['table']}: {row['error']}" for row in rows if row.get("error")]
    return [*table(names, lines), *(["", "Without a model: " + "; ".join(failed) + "."] if failed else []),
            *throughout(rows, ("machine",))]


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


def throughout(rows: list[Row], names: Sequence[str]) -> list[str]:
    """A closing line with what was the same on every row."""
    same = constant(rows)
    said = [same[name] for name in names if name in same]
    return ["", "Measured on: " + "; ".join(said) + "."] if said else []


SPECIAL: dict[str, Callable[[list[Row]], list[str]]] = {
    "audit": audit, "intervals": intervals, "speed": speed, "contract": contract, "honesty": honesty,
    "advice": advice, "peers": peers, "replay": replay, "replay_honesty": replay_honesty}


def section(path: Path) -> list[str]:
    """One results file as Markdown."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    body = SPECIAL.get(path.stem, anything)(rows) if rows else ["No line yet."]
    programs = (path.stem + ".py", path.stem, path.stem.partition("_")[0])
    program = next((name for name in programs if (ROOT / "benchmarks" / name).exists()), "")
    origin = f", written by `benchmarks/{program}`" if program else ""
    return [f"### {path.stem.replace('_', ' ')}", "", f"`benchmarks/results/{path.name}`{origin}.", "", *body]


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
    if "--check" in arguments:
        print("README.md holds the figures as they are." if new == old else
              "README.md differs from benchmarks/results; run python benchmarks/figures.py")
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
