"""The plots of README.md, drawn from benchmarks/results into docs/plots; `python benchmarks/figures.py` calls this."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rightfit.report.pareto import Point, pareto

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "plots"
Row = Mapping[str, str]
STYLE = ("<style>svg{background:#fbfaf8;font-family:system-ui,sans-serif}.tick{font-size:11px;fill:#5b6570}"
         ".label{font-size:12px;fill:#5b6570}.grid{stroke:#edebe6}.axis{stroke:#8d97a1}.pin{font-size:12px;fill:#1d2228}"
         ".strong{font-weight:600}.bubble{fill:#8d97a1}.chosen{fill:#1f6f78}.ring{fill:none;stroke:#1f6f78}"
         ".front{fill:none;stroke:#1f6f78;stroke-dasharray:4 3}</style>")


def peers(rows: Sequence[Row]) -> str:
    """Mean rank of the systems against what a single row costs; empty before there are ranks."""
    ranked = [r for r in rows if r.get("mean_rank") and r.get("row_p99_ms_median")]
    points = [Point(name=r["system"], latency=float(r["row_p99_ms_median"]), quality=float(r["mean_rank"]),
                    size=float(r["size_mb_median"] or 0), chosen=r["system"].startswith("rightfit"),
                    tip=f"{r['system']}: mean rank {float(r['mean_rank']):.2f}, {float(r['row_p99_ms_median']):.3g} ms")
              for r in ranked]
    if len(points) < 2:
        return ""
    words = {"title": "Systems at their budgets", "x": "one row, p99, ms", "y": "mean rank, 1 is best",
             "desc": f"{ranked[0]['cases']} tables; the area of a circle is the size of what is delivered",
             "limit": "", "floor": ""}
    drawn = str(pareto(points, words, higher=False))
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(">", f">{STYLE}", 1) + "\n"


PLOTS: Mapping[str, Callable[[Sequence[Row]], str]] = {"peers_summary": peers}


def drawn(results: Path) -> dict[str, str]:
    """{name of the results file: SVG} of those that there is something to draw of."""
    found = {}
    for name, plot in PLOTS.items():
        path = results / f"{name}.csv"
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                found[name] = plot(list(csv.DictReader(file)))
    return {name: text for name, text in found.items() if text}
