"""What a person sees while it runs: one bar on a terminal, quiet anywhere else; everything goes to stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any


class Watch:
    """Hears what happens; draws on a terminal, else writes only what matters."""

    def __init__(self, budget_s: float, console: Any, bar: Any) -> None:
        self.console, self.bar, self.interrupted, self.trials = console, bar, False, 0
        self.task = bar.add_task("reading", total=budget_s) if bar else None

    def __call__(self, kind: str, fields: Mapping[str, Any]) -> None:
        """One event of the run."""
        if kind == "interrupted":
            self.interrupted = True
        line = getattr(self, f"_{kind}", lambda fields: None)(fields)
        if line and self.bar is not None:
            self.bar.update(self.task, description=line)

    def tick(self, spent: float) -> None:
        """Move the bar to the seconds spent."""
        if self.bar is not None:
            self.bar.update(self.task, completed=spent)

    @property
    def consent(self) -> Any:
        """A function that asks the person at the terminal; None where there is nobody to ask."""
        import sys

        return self._ask if self.bar is not None and sys.stdin.isatty() else None

    def _ask(self, columns: tuple[str, ...]) -> bool:
        self.bar.stop()
        self.console.print(f"! {', '.join(columns)}: known only after the fact, as it seems. Without them the score "
                           "will be lower, and honest.", highlight=False, markup=False)
        answer = self.console.input("Leave them out? [Y/n] ").strip().lower()
        self.bar.start()
        return answer in ("", "y", "yes")

    def _read(self, fields: Mapping[str, Any]) -> str:
        task = fields["task"]
        self.console.print(f"{fields['rows']} rows, {fields['columns']} features; {task.problem}, "
                           f"target {', '.join(task.target)}, metric {task.metric}", highlight=False, markup=False)
        for question in task.questions:
            self.console.print(f"? {question}", highlight=False, markup=False)
        return "auditing"

    def _audited(self, fields: Mapping[str, Any]) -> str:
        for finding in fields["audit"].findings:
            if finding.severity in ("severe", "ask"):
                mark = "!" if finding.severity == "severe" else "?"
                self.console.print(f"{mark} {finding.column or 'rows'}: {finding.evidence} {finding.consequence}",
                                   highlight=False, markup=False)
        return "baseline"

    def _baseline(self, fields: Mapping[str, Any]) -> str:
        return "racing"

    def _resumed(self, fields: Mapping[str, Any]) -> str:
        self.console.print("this run is finished already; its decision is shown again", highlight=False, markup=False)
        return "done"

    def _finished(self, fields: Mapping[str, Any]) -> str:
        self.trials += 1
        return f"{self.trials} trials, best so far {fields['leader']}, {fields['left']:.0f} s left to race"

    def _deciding(self, fields: Mapping[str, Any]) -> str:
        return "measuring the best packages, alone"

    def _refitting(self, fields: Mapping[str, Any]) -> str:
        return f"training {fields['candidate'].family} on all rows"

    def _proving(self, fields: Mapping[str, Any]) -> str:
        return "proving the package against every limit"

    def _reporting(self, fields: Mapping[str, Any]) -> str:
        return "writing the report"


@contextlib.contextmanager
def watching(budget_s: float) -> Iterator[Watch]:
    """A watch whose bar runs with the clock while the context is open."""
    import threading
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Watch(budget_s, console, None)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn(),
               TextColumn("of at most"), TimeRemainingColumn())
    started, over = time.monotonic(), threading.Event()
    with Progress(*columns, console=console, transient=True) as bar:
        watch = Watch(budget_s, console, bar)

        def run() -> None:
            while not over.wait(0.5):
                watch.tick(time.monotonic() - started)

        ticking = threading.Thread(target=run, daemon=True)
        ticking.start()
        try:
            yield watch
        finally:
            over.set()
            ticking.join()


def show_audit(task: Any, audit: Any) -> None:
    """The audit as a table on stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"{audit.rows} rows, {audit.columns} columns; {task.problem}, metric {task.metric}",
                  highlight=False, markup=False)
    for name, reason in task.reasons.items():
        console.print(f"  {name}: {reason}", highlight=False, markup=False)
    table = Table("severity", "finding", "column", "evidence", "consequence")
    order = ("severe", "warning", "ask", "info")
    for finding in sorted(audit.findings, key=lambda f: order.index(f.severity)):
        table.add_row(finding.severity, finding.code, finding.column or "", finding.evidence, finding.consequence)
    console.print(table, markup=False)
    for question in task.questions:
        console.print(f"? {question}", highlight=False, markup=False)
