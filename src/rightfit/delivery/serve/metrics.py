"""What Prometheus reads: requests, durations, the queue, what was shed, predictions, breaches of the schema."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHARED = "PROMETHEUS_MULTIPROC_DIR"
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
DIFFERENCES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def forget_dead(folder: Path) -> None:
    """Drop the gauges of workers that ended without a word."""
    for path in folder.glob("gauge_live*_*.db"):
        pid = path.stem.rpartition("_")[2]
        if pid.isdigit() and not _alive(int(pid)):
            path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Metrics:
    """The server's figures; those of several workers are added up through the folder that SHARED names.

    `edges`: where the histogram of predicted values is cut, none for classes.
    """

    def __init__(self, edges: tuple[float, ...] = ()) -> None:
        import prometheus_client as prometheus

        self._registry: Any = prometheus.CollectorRegistry()
        counter, gauge, histogram = prometheus.Counter, prometheus.Gauge, prometheus.Histogram
        home: Any = {"registry": self._registry, "namespace": "rightfit"}
        level: Any = {**home, "multiprocess_mode": "livesum"}
        self.requests = counter("requests", "Requests answered", ("route", "status"), **home)
        self.duration = histogram("request_duration_seconds", "Seconds from first byte in to last byte out",
                                  ("route",), buckets=DURATIONS, **home)
        self.active = gauge("requests_in_progress", "Requests that are being answered", **level)
        self.depth = gauge("queue_depth", "Requests that wait for the model", **level)
        self.shed = counter("shed", "Requests refused or given up", ("reason",), **home)
        self._full = self.shed.labels("queue")
        self.batch = histogram("batch_rows", "Rows that were scored together", buckets=SIZES, **home)
        self.predictions = counter("predictions", "Predictions by label", ("label",), **home)
        self.values = histogram("prediction_probability", "Probability of the predicted label",
                                buckets=tuple(i / 10 for i in range(1, 11)), **home)
        self.amounts = histogram("prediction_value", "Predicted values", buckets=edges, **home) if edges else None
        self.schema = counter("schema_events", "Rows with missing, unseen, range, extra or invalid values",
                              ("what", "field"), **home)
        self.lost = counter("log_lost", "Requests that the request log could not hold", **home)
        self.switches = counter("model_switches", "Changes of the model while serving", ("result",), **home)
        self.shadow = counter("shadow_rows", "Rows that the challenger saw too: same or other prediction, failed, "
                              "dropped", ("result",), **home)
        self.difference = histogram("shadow_difference", "Greatest difference of a probability (regression: of the "
                                    "value, relative) between champion and challenger", buckets=DIFFERENCES, **home)
        self.routes: frozenset[str] = frozenset()
        self._known: dict[tuple[str, int], tuple[Any, Any]] = {}
        self._labels: dict[str, Any] = {}

    def route(self, path: str) -> str:
        """The label of a path; those that do not exist are one, or anybody could fill the memory with new ones."""
        if path in self.routes:
            return path
        return "/v2/models" if path.startswith("/v2/models/") else "other"

    def done(self, route: str, status: int, seconds: float) -> None:
        """Count one finished request."""
        requests, duration = self._of(route, status)
        requests.inc()
        duration.observe(seconds)

    def refused(self, route: str) -> None:
        """Count one request that found no place; its time would say nothing of those that are answered."""
        self._full.inc()
        self._of(route, 429)[0].inc()

    def _of(self, route: str, status: int) -> tuple[Any, Any]:
        found = self._known.get((route, status))
        if found is None:
            found = self._known[route, status] = (self.requests.labels(route, str(status)), self.duration.labels(route))
        return found

    def seen(self, events: Mapping[tuple[str, str], int]) -> None:
        """Count rows by (what, field)."""
        for (what, name), rows in events.items():
            self.schema.labels(what, name).inc(rows)

    def answered(self, answers: Any) -> None:
        """Count predictions by label, and how sure they were; predicted values by size."""
        for answer in answers:
            probabilities = answer.get("probabilities")
            label = answer["prediction"]
            if probabilities is None:
                self._predicted("value").inc()
                if self.amounts is not None:
                    for one in label if isinstance(label, list) else (label,):
                        self.amounts.observe(one)
                continue
            for one in label if isinstance(label, list) else (label,):
                self._predicted(str(one)).inc()
                self.values.observe(probabilities[one])

    def _predicted(self, label: str) -> Any:
        found = self._labels.get(label)
        if found is None:
            found = self._labels[label] = self.predictions.labels(label)
        return found

    def text(self) -> tuple[bytes, str]:
        """All figures in Prometheus's text form, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        registry = self._registry
        shared = os.environ.get(SHARED)
        if shared:
            from prometheus_client.multiprocess import MultiProcessCollector

            forget_dead(Path(shared))
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=shared)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST
