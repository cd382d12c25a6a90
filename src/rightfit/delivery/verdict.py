"""The Decision record, written down from what was measured; and kept in the ledger, so that a rerun returns it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from rightfit import decide, registry
from rightfit.advice import catalogue
from rightfit.decide import Contender
from rightfit.delivery import evidence
from rightfit.delivery.deliver import Bench, Delivery
from rightfit.delivery.prove import spread
from rightfit.metrics import interval
from rightfit.records import Decision, Finding, LimitCheck, asdict, revive
from rightfit.resources import afford
from rightfit.store import Store
from rightfit.tuning import forecast
from rightfit.tuning.board import Board, Entry
from rightfit.tuning.race import Race

DRAWN = 3e8  # rows x candidates x bootstrap samples, a few seconds
RIVALS = 20  # that could have been picked instead
SHOWN = ("latency_p95_ms", "memory_mib", "size_mib", "fit_s")
FORECAST = ("peak_mib", *(f"{name}_forecast{end}" for name in forecast.NAMES for end in ("", "_low", "_high")))


def verdict(question: Any, racing: Race, delivery: Delivery, bench: Bench, interrupted: bool) -> Decision:
    """Everything that decision.json and the report say."""
    board, task = racing.board, question.task
    chosen = delivery.chosen
    by_key = {c.key: c for c in delivery.contenders}
    best = decide.ranked([c for c in delivery.contenders if decide.feasible(task.limits, c)])
    tied = tuple(c.key for c in decide.ties(best[0], best)) if best and chosen else ()
    entry = delivery.entries[chosen.key] if chosen else None
    estimate = honest(board, entry, delivery, question.need.seed) if entry else {}
    near = None if chosen else decide.nearest(delivery.contenders, task.limits)
    extras = evidence.gather(question, racing, delivery, bench, estimate)
    return Decision(
        status="chosen" if chosen else "infeasible", task=task, chosen=_chosen(board, delivery),
        estimate=estimate, measured=_measured(delivery), limits=_limits(task, delivery, near), nearest=near,
        baseline=_row(board, racing.short.baseline.key, by_key, delivery, ()), ties=tied,
        front=decide.front(delivery.contenders), trials=_table(board, by_key, tied, delivery),
        rejected=_rejected(board, racing, delivery), findings=_effects(question.audit.findings, board, entry),
        what_would_change=decide.changes(delivery.contenders, task.limits, chosen, task.metric,
                                         board.metric.greater_is_better),
        spent={"wall_s": round(racing.clock.spent, 2), "budget_s": racing.clock.budget_s,
               "trials": float(len(board.trials))},
        seed=question.need.seed, why=_why(board, delivery, best, tied, interrupted, racing, extras.get("cost", {})),
        machine=evidence.machine(), versions=evidence.versions(), extras=extras)


def honest(board: Board, entry: Entry, delivery: Delivery, seed: int) -> dict[str, Any]:
    """The winner's metric, corrected for having been picked among all that could have been, with its interval."""
    data, task = board.stage.data, board.task
    groups = data.groups[entry.rows] if data.groups is not None else None
    ends = np.cumsum([len(board.stage.folds[fold][1]) for fold in entry.folds if fold < board.per_repeat])
    folds = np.split(np.arange(len(entry.rows)), ends[:-1])
    def corrected(stack: Mapping[str, Entry]) -> interval.Estimate:
        codes = {key: e.codes for key, e in stack.items()} if task.classifies else None
        return interval.bbc(data.y[entry.rows], {key: e.pred for key, e in stack.items()}, board.metric, task,
                            codes=codes, groups=groups, folds=folds, seed=seed,
                            n=int(np.clip(DRAWN / (len(entry.rows) * len(stack)), 100, 500)))

    top = decide.ranked([c for c in delivery.contenders if c.key in delivery.entries])[:RIVALS]
    keys = {c.key for c in top} | {entry.candidate.key}
    found = corrected({key: e for key, e in delivery.entries.items() if key in keys})
    if found.winner != entry.candidate.key:
        # A cheaper tied model was not picked for its score, so its own score carries no optimism of picking.
        found = corrected({entry.candidate.key: entry})
    return {"metric": task.metric, "value": found.value, "low": found.low, "high": found.high, "level": found.level,
            "n": found.n, "method": found.method, "bias": found.bias}


def _chosen(board: Board, delivery: Delivery) -> dict[str, Any] | None:
    if delivery.chosen is None or delivery.candidate is None:
        return None
    plain = asdict(delivery.candidate)
    return {"name": delivery.chosen.key, "family": plain["family"], "params": plain["params"], "steps": plain["steps"]}


def _measured(delivery: Delivery) -> dict[str, float]:
    costs = tuple(name for name in delivery.measured if afford.currency_of(name))
    names = (*costs, "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "memory_mib", "size_mib", "throughput_per_s",
             "load_s", "fit_s")
    return {name: delivery.measured[name] for name in names if name in delivery.measured}


def _limits(task: Any, delivery: Delivery, near: Mapping[str, Any] | None) -> tuple[LimitCheck, ...]:
    if delivery.chosen is not None:
        return delivery.checks
    return decide.check(task.limits, near["measured"] if near else {})


def _row(board: Board, key: str, by_key: Mapping[str, Contender], delivery: Delivery,
         tied: tuple[str, ...]) -> dict[str, Any]:
    """One line of the leaderboard."""
    candidate, failed = board.candidates[key], board.failed.get(key)
    entry = delivery.entries.get(key) or board.entry(key)
    front = decide.front(delivery.contenders)
    row: dict[str, Any] = {"name": key, "family": candidate.family, "params": dict(candidate.params),
                           "steps": asdict(candidate.steps), "state": "ok", "error": "", "metric": None,
                           "folds_done": 0, "tied": key in tied, "on_front": key in front}
    if failed is not None:
        row |= {"state": failed.state, "error": failed.error or failed.state}
    elif key not in by_key:
        row |= {"state": "pruned", "error": board.out.get(key, "fewer folds than the finalists when time was up")}
    screened = board.trials.get((key, -1, 0.0))
    if screened is not None:
        row |= {name: screened.measured.get(name) for name in SHOWN}
    if entry is not None:
        measured = {**entry.measured, **(by_key[key].measured if key in by_key else {})}
        row |= {name: measured.get(name) for name in SHOWN}
        row |= {name: measured[name] for name in FORECAST if name in measured}
        # An entry that was not run on the finalists' folds is shown as if its folds had been of average difficulty.
        shift = 0.0 if key in delivery.entries else board.level(entry) - entry.utility
        row |= {"metric": spread(board, entry, shift), "folds_done": len(entry.folds),
                "ablation": key in board.ablations}
    return row


def _table(board: Board, by_key: Mapping[str, Contender], tied: tuple[str, ...],
           delivery: Delivery) -> tuple[dict[str, Any], ...]:
    rows = [_row(board, key, by_key, delivery, tied) for key in board.candidates
            if key in board.failed or any(k == key for k, _, _ in board.trials)]
    rows = [row for row in rows if not row.get("ablation")]
    sign = 1.0 if board.metric.greater_is_better else -1.0
    first = delivery.chosen.key if delivery.chosen else ""
    rows.sort(key=lambda r: (r["name"] != first, r["state"] not in ("ok",), r["metric"] is None,
                             -sign * r["metric"]["value"] if r["metric"] else 0.0, r["name"]))
    return tuple(rows)


def _rejected(board: Board, racing: Race, delivery: Delivery) -> tuple[dict[str, str], ...]:
    found = {name: reason for name, reason in racing.short.rejected.items()}
    tried = {key for key, _, _ in board.trials}
    found |= {c.key: "not tried: there was no time left for its folds" for c in racing.short.candidates
              if c.key not in tried}
    found |= {key: f"{trial.state}: {trial.error}" for key, trial in board.failed.items()}
    found |= {key: reason for key, reason in board.out.items()
              if key not in board.failed and key not in board.ablations and key not in board.pruned}
    for contender in delivery.contenders:
        missed = [item for item in decide.check(board.task.limits, contender.measured) if not item.met]
        if missed and contender.key not in delivery.rejected:
            found[contender.key] = "; ".join(
                f"{m.name}={decide.show(m.name, m.value) if m.value is not None else 'not measured'} against a limit "
                f"of {decide.show(m.name, m.limit)}" for m in missed)
    found |= delivery.rejected
    return tuple({"name": name, "reason": reason} for name, reason in found.items())


def _effects(findings: tuple[Finding, ...], board: Board, entry: Entry | None) -> tuple[Finding, ...]:
    """Findings with the measured effect of the treatment that they called for, where one was tried."""
    if entry is None:
        return findings
    effects: dict[str, list[str]] = {}
    for name, effect in evidence.treatments(board).items():
        treated = registry.plugin("rightfit.data.treatments", name, "treatment").handles
        effects.setdefault(treated, []).append(effect)
    return tuple(dataclasses.replace(f, effect="; ".join(effects.get(f.code, []))) for f in findings)


def _why(board: Board, delivery: Delivery, best: list[Contender], tied: tuple[str, ...], interrupted: bool,
         racing: Race, told: Mapping[str, Any]) -> tuple[str, ...]:
    """Plain sentences: what decided."""
    metric, chosen = board.task.metric, delivery.chosen
    tried = sum(1 for key in board.candidates if key not in board.ablations)
    said = [f"{tried} candidates were tried, on up to {len(board.stage.folds)} folds; each was scored only on rows "
            "that it had not seen."]
    if chosen is None:
        said.append("No model that has skill met every limit with a margin for the noise of measuring.")
    elif best and best[0].key != chosen.key and chosen.key in tied:
        said.append(f"{chosen.key} is tied with {best[0].key}, which scored best: the difference in {metric} is less "
                    f"than one corrected standard error; it was taken because it costs "
                    f"{best[0].cost / chosen.cost:.1f} times less in latency, size and training time.")
    elif best and best[0].key == chosen.key:
        alone = ", and no tied model is clearly cheaper." if len(tied) > 1 else ", and no other is tied with it."
        said.append(f"{chosen.key} has the best {metric} of all that meet the limits{alone}")
    others = any(not c.baseline for c in delivery.contenders)
    if chosen is not None and chosen.baseline and not others:
        said.append("No model but the baseline was finished in time: give more time (--budget).")
    elif chosen is not None and chosen.baseline:
        said.append("No model was better than the baseline beyond doubt: the data, as they are, hold no signal that "
                    "these models can use.")
    if told:
        said.append(afford.sentence(told))
    said += delivery.notes
    if chosen is not None and not delivery.refitted and not delivery.notes:
        said.append("There was no time to train on all rows: the package was trained on one fold's training rows.")
    if interrupted:
        said.append("The run was interrupted; the best so far was delivered. The same command resumes.")
    if not racing.board.folds(chosen.key if chosen else "")[1:] and len(board.stage.folds) > 1 and chosen:
        said.append("Time allowed one fold only, so the estimate rests on that fold.")
    return tuple(said)


def keep(store: Store, decision: Decision) -> None:
    """Keep the decision in the ledger; only then is the run finished, and its package told of in `rightfit models`."""
    store.set_meta("decision", evidence.plain(asdict(decision)))
    if decision.chosen and "device" not in decision.extras:
        catalogue.remember(decision.chosen["family"], {name: decision.measured[name] for name in catalogue.KEPT
                                                       if name in decision.measured})


def stored(store: Store, budget_s: float) -> Decision | None:
    """The decision of a run that was finished with at least this budget, or None: more time goes on racing."""
    value = store.meta("decision")
    if not value or value["spent"]["budget_s"] < budget_s:
        return None
    return revive(Decision, value)
