"""Limits that hold for another device: a profile measured there proves its own package, and nothing else.

Without that proof a figure for the device is a forecast, which orders the contenders but never satisfies a limit: the
best one is left in the run folder as `unproven`, with what to run on the device.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rightfit import decide
from rightfit.decide import Contender
from rightfit.delivery import deliver as delivering
from rightfit.delivery import prove
from rightfit.delivery.deliver import Bench, Delivery
from rightfit.package import profile as profiles
from rightfit.package import write
from rightfit.package.probe import probe
from rightfit.package.profile import BOUND, Forecast
from rightfit.records import Candidate, Decision, Limit, Need, asdict, frozen, revive
from rightfit.resources import micro
from rightfit.tuning import settle

FOLDER = "unproven"
KEPT = "unproven"  # the ledger's note on the package that lies there


@frozen
class Target:
    """A device that limits are meant for: its profile, and how many times longer it takes than this machine."""

    profile: Mapping[str, Any]
    ratio: Forecast

    @property
    def name(self) -> str:
        """The device in words."""
        return str(self.profile["machine"].get("cpu") or "the device")


def load(need: Need, limits: Sequence[Limit]) -> Target | None:
    """The device of a need; None without a profile, or where no limit depends on a device. Raises UsageError."""
    if need.device_profile is None:
        return None
    profile = profiles.read(need.device_profile)
    if not any(limit.name in BOUND for limit in limits):
        return None
    return Target(profile=profile, ratio=profiles.ratios(profile, micro.single()))


def digest(need: Need) -> str | None:
    """What a finished run must share to be returned again: the content of the profile."""
    if need.device_profile is None:
        return None
    return hashlib.sha256(json.dumps(profiles.read(need.device_profile), sort_keys=True).encode()).hexdigest()


def here(limits: Sequence[Limit], target: Target) -> tuple[Limit, ...]:
    """The limits as they would read on this machine, by the forecast: for the race, which rejects by a wide margin."""
    ratio = target.ratio.value
    scale = {"throughput_per_s": ratio, "memory_mib": 1.0}
    return tuple(dataclasses.replace(limit, limit=limit.limit * scale.get(limit.name, 1 / ratio))
                 if limit.name in BOUND else limit for limit in limits)


def deliver(bench: Bench, target: Target) -> Delivery:
    """As `deliver.deliver`, for limits that hold on the target: deliver what its profile proves, else leave the best
    by forecast as `unproven` and choose nothing."""
    known: dict[str, Mapping[str, float]] = {}
    entries = prove.finalists(bench.board, bench.baseline)
    contenders = delivering._gather(bench, known, entries)
    found = Delivery(contenders=[_stripped(c) for c in contenders], entries=entries, probed=known)
    note = bench.board.store.meta(KEPT)
    if note and _proves(bench, target, note) and _deliver_proven(bench, target, note, found):
        return found
    limits = bench.board.task.limits
    ahead = [c for c in decide.order([_forecast(c, target) for c in contenders], limits)
             if c.key not in found.rejected and not c.baseline]
    for contender in ahead[:delivering.ATTEMPTS]:
        if _leave(bench, target, contender, found):
            return found
    found.notes.append(f"By forecast no model that was tried meets every limit on {target.name}.")
    return found


def _stripped(contender: Contender) -> Contender:
    """Without what was measured here but is asked of the device."""
    return dataclasses.replace(contender, measured={n: v for n, v in contender.measured.items() if n not in BOUND})


def _forecast(contender: Contender, target: Target) -> Contender:
    seen = {name: f.value for name, f in profiles.forecast(contender.measured, target.ratio).items()}
    return dataclasses.replace(contender, measured={**contender.measured, **seen})


def _place(bench: Bench) -> Path:
    return bench.package.parent / FOLDER


def _proves(bench: Bench, target: Target, note: Mapping[str, Any]) -> bool:
    """Whether the profile was measured for exactly the package that was left to be measured."""
    same = target.profile["package"]["fingerprint"] == note["fingerprint"]
    return same and _place(bench).is_dir() and profiles.fingerprint(_place(bench)) == note["fingerprint"]


def _deliver_proven(bench: Bench, target: Target, note: Mapping[str, Any], found: Delivery) -> bool:
    """Install the package if the device's own figures meet every limit."""
    contender = next((c for c in found.contenders if c.key == note["key"]), None)
    if contender is None:
        return False
    there = {name: float(target.profile["measured"][name]) for name in BOUND}
    measured = {**contender.measured, **note["measured"], **there}
    checks = decide.check(bench.board.task.limits, measured)
    if not all(item.met for item in checks):
        broken = ", ".join(f"{c.name}={decide.show(c.name, c.value)}" if c.value is not None else c.name
                           for c in checks if not c.met)
        found.rejected[contender.key] = f"measured on {target.name} it did not meet every limit: {broken}"
        found.contenders = [dataclasses.replace(c, measured=measured) if c.key == contender.key else c
                            for c in found.contenders]
        return False
    write.install(_place(bench), bench.package)
    found.chosen, found.checks, found.measured = dataclasses.replace(contender, measured=measured), checks, measured
    found.contenders = [found.chosen if c.key == contender.key else c for c in found.contenders]
    found.refitted, found.candidate = bool(note["refitted"]), revive(Candidate, note["candidate"])
    found.notes.append(f"Latency, memory and throughput are those of {target.name}, measured there on exactly this "
                       "package.")
    return True


def _leave(bench: Bench, target: Target, contender: Contender, found: Delivery) -> bool:
    """Refit, and leave the package to be measured on the device, unless it breaks a limit that needs no device."""
    entry = found.entries[contender.key]
    candidate = settle.settled(entry.candidate, entry.learned)
    outcome, path = delivering._refit(bench, entry, candidate)
    refitted = outcome is not None and outcome.state == "ok" and outcome.result is not None
    if not refitted:
        path, candidate = bench.stage / "models" / contender.key, entry.candidate
        if not (path / "manifest.json").exists():
            return False
        write.restamp(path, rule=entry.rule)
    local = prove.figures(probe(path))
    measured = {**_stripped(contender).measured, **{n: v for n, v in local.items() if n not in BOUND}, **entry.floors}
    limits = bench.board.task.limits
    if not all(item.met for item in decide.check([lim for lim in limits if lim.name not in BOUND], measured)):
        found.rejected[contender.key] = "its package did not meet a limit that needs no device"
        return False
    write.install(path, _place(bench))
    print_ = profiles.fingerprint(_place(bench))
    expected = profiles.forecast(local, target.ratio)
    bench.board.store.set_meta(KEPT, {
        "key": contender.key, "fingerprint": print_, "measured": measured, "refitted": refitted,
        "candidate": asdict(candidate), "forecast": {name: asdict(f) for name, f in expected.items()}})
    found.rejected[contender.key] = f"not measured on {target.name} yet"
    return True


def told(decision: Decision, bench: Bench, target: Target, delivery: Delivery) -> Decision:
    """The decision with what was said of the device: forecasts with their intervals, and what to run there."""
    note = bench.board.store.meta(KEPT)
    extras = {**decision.extras, "device": {"machine": dict(target.profile["machine"]), "ratio": asdict(target.ratio)}}
    open_ = delivery.chosen is None and note and delivery.rejected.get(note["key"], "").startswith("not measured")
    if not open_:
        return dataclasses.replace(decision, extras=extras)
    extras["device"] |= {"forecast": note["forecast"], "package": FOLDER}
    asked = [limit for limit in bench.board.task.limits if limit.name in BOUND]
    run = (f"copy {_place(bench)} to the device, run `rightfit measure {FOLDER} -o device.json` there, and repeat this "
           "command with --device-profile device.json")
    near = {**(decision.nearest or {}), "name": note["key"], "family": note["candidate"]["family"],
            "binding": [limit.name for limit in asked], "would_take": f"a proof: {run}.",
            "measured": note["measured"]}
    expected = "; ".join(
        f"{lim.name} {decide.show(lim.name, f['value'])} [{decide.show(lim.name, f['low'])}, "
        f"{decide.show(lim.name, f['high'])}] against {decide.show(lim.name, lim.limit)}"
        for lim in asked if (f := note["forecast"].get(lim.name)))
    why = (*decision.why, f"Forecast for {target.name}, not measured: {expected}. A forecast satisfies no limit, so "
                          "nothing is chosen yet.")
    return dataclasses.replace(decision, nearest=near, why=why, extras=extras,
                               limits=decide.check(bench.board.task.limits, note["measured"]),
                               what_would_change=(f"To prove {note['key']}: {run}.",))
