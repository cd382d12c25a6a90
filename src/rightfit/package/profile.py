"""A package measured on a device, as a file that can be carried elsewhere: `rightfit measure`, `--device-profile`.

On another machine the profile is proof for exactly the package that was measured. For every other package it is only a
ratio of micro-benchmarks, and what follows from a ratio is a forecast.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rightfit import resources
from rightfit.errors import RightfitError, UsageError
from rightfit.package import probe, verify
from rightfit.records import asdict, frozen
from rightfit.resources import energy, measure, micro

FORMAT = 1
BOUND = ("latency_p50_ms", "latency_p95_ms", "latency_p95_high_ms", "latency_p99_ms", "memory_mib", "throughput_per_s")
"""What depends on the device that measures; the size of a package does not."""
WIDER = 1.25  # a ratio of micro-benchmarks is off by this much at least
MEMORY = 1.2  # the same interpreter and libraries built for another processor
ENERGY_CALLS = 200


@frozen
class Forecast:
    """A figure that was not measured, with the interval in which it is expected. It never satisfies a limit."""

    value: float
    low: float
    high: float
    kind: str = "forecast"


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a package's manifest, the same for a folder and for its zip. Raises PackageError."""
    with verify.opened(Path(path)) as folder:
        return hashlib.sha256((folder / verify.MANIFEST).read_bytes()).hexdigest()


def take(path: str | Path, *, records: Sequence[Mapping[str, Any]] | None = None,
         timeout: float = 600.0) -> dict[str, Any]:
    """Measure a package on this machine, in a fresh process with one thread; JSON values, as `read` wants them.

    records: raw rows to measure on; the package's own sample without. Raises PackageError.
    """
    found = probe.asked("rightfit.package.profile", [str(path)], records, timeout)
    return {"format": FORMAT, "rightfit": resources.versions().get("rightfit", ""),
            "created": datetime.now(UTC).isoformat(timespec="seconds"), "machine": resources.machine(),
            "versions": resources.versions(), "micro": micro.single(),
            "package": {"fingerprint": fingerprint(path), "path": str(path)}, **found}


def _figures(path: str, records: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """What this process, which must have done nothing else before, measures."""
    model, rows, load_s = probe.warmed(path, records)
    one = measure.latency(model.predict_one, rows)
    by_size = measure.throughput(model.predict, rows)

    def some() -> None:
        for i in range(ENERGY_CALLS):
            model.predict_one(rows[i % len(rows)])

    spent = energy.energy(some)
    measured = {"latency_p50_ms": one.p50_ms, "latency_p95_ms": one.p95_ms, "latency_p95_high_ms": one.bound_ms,
                "latency_p99_ms": one.p99_ms, "throughput_per_s": max(by_size.values()), "load_s": load_s,
                "memory_mib": measure.peak_memory_mib(), "size_mib": measure.size_mib(path)}
    return {"measured": measured, "latency": asdict(one), "throughput": {str(n): rate for n, rate in by_size.items()},
            "intervals": {"latency_p95_ms": [one.low_ms, one.high_ms]}, "noisy": one.noisy,
            "energy": {"joules_per_row": spent.joules / ENERGY_CALLS, "source": spent.source, "watts": spent.watts}}


def write(profile: Mapping[str, Any], out: str | Path) -> Path:
    """Write a profile as JSON, whole or not at all."""
    out = Path(out)
    if not out.parent.is_dir():
        raise UsageError(f"the output must lie in a folder that exists; got out={str(out)!r}, make it.")
    part = out.with_name(f".{out.name}.part-{secrets.token_hex(4)}")
    try:
        part.write_text(json.dumps(profile, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return out


def read(path: str | Path) -> dict[str, Any]:
    """A profile that `rightfit measure` wrote. Raises UsageError for what is none, incomplete, or another version's."""
    again = "measure the package again with rightfit measure"
    try:
        found = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no JSON"
        raise UsageError(f"a device profile must be a readable JSON file; got device_profile={str(path)!r} "
                         f"({reason}), {again}.") from None
    for name, kind in (("format", int), ("rightfit", str), ("machine", Mapping), ("micro", Mapping),
                       ("package", Mapping), ("measured", Mapping)):
        if not isinstance(found, Mapping) or not isinstance(found.get(name), kind):
            raise UsageError(f"a device profile must hold {name}; got device_profile={str(path)!r} without it, "
                             f"{again}.")
    ours = resources.versions().get("rightfit", "")
    if found["format"] != FORMAT or _series(found["rightfit"]) != _series(ours):
        raise UsageError(f"a device profile must come from rightfit {_series(ours)}.x; got "
                         f"rightfit={found['rightfit']!r}, format={found['format']}, install the same version on both "
                         "machines.")
    needed = [("micro", name) for name in micro.NAMES]
    needed += [("measured", name) for name in (*BOUND, "size_mib")]
    for part, name in needed:
        value = found[part].get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise UsageError(f"{name} of a device profile must be a number above 0; got {name}={value!r}, {again}.")
    if not isinstance(found["package"].get("fingerprint"), str):
        raise UsageError(f"a device profile must name its package; got fingerprint="
                         f"{found['package'].get('fingerprint')!r}, {again}.")
    return dict(found)


def _series(version: str) -> str:
    """The part of a version within which figures mean the same: before 1.0 every minor version is another one.

    >>> _series("0.3.1"), _series("2.4.0")
    ('0.3', '2')
    """
    parts = version.split(".")
    return ".".join(parts[:2 if parts[0] == "0" else 1])


def ratios(profile: Mapping[str, Any], here: Mapping[str, float]) -> Forecast:
    """How many times longer the device takes than this machine: the middle of three micro-benchmarks, and their range.

    here: this machine's figures, from `micro.single`.

    >>> there = {"gemm_gflops": 10, "memory_gb_per_s": 5, "interpreter_us": 200}
    >>> ratios({"micro": there}, {"gemm_gflops": 40, "memory_gb_per_s": 20, "interpreter_us": 50})
    Forecast(value=4.0, low=3.2, high=5.0, kind='forecast')
    """
    there = profile["micro"]
    each = [there[name] / here[name] if name.endswith("_us") else here[name] / there[name] for name in micro.NAMES]
    middle = math.prod(each) ** (1 / len(each))
    return Forecast(value=round(middle, 6), low=min(each) / WIDER, high=max(each) * WIDER)


def forecast(measured: Mapping[str, float], ratio: Forecast) -> dict[str, Forecast]:
    """What figures measured here would be on the device: {name: Forecast}, for those that depend on it."""
    found = {}
    for name in BOUND:
        value = measured.get(name)
        if value is None:
            continue
        if name == "memory_mib":
            found[name] = Forecast(value=value, low=value / MEMORY, high=value * MEMORY)
        elif name == "throughput_per_s":
            found[name] = Forecast(value=value / ratio.value, low=value / ratio.high, high=value / ratio.low)
        else:
            found[name] = Forecast(value=value * ratio.value, low=value * ratio.low, high=value * ratio.high)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a package in this process, on records from standard input (null: its sample); print one JSON line."""
    path, = sys.argv[1:] if arguments is None else arguments
    try:
        found = _figures(path, json.load(sys.stdin))
    except RightfitError as error:
        print(json.dumps({"error": str(error)}))
        return error.exit_code
    print(json.dumps(found))
    return 0


def text(profile: Mapping[str, Any]) -> str:
    """A profile as lines for people."""
    figures, one, micro_ = profile["measured"], profile["latency"], profile["micro"]
    low, high = profile["intervals"]["latency_p95_ms"]
    sizes = ", ".join(f"{rate:,.0f}/s by {size}" for size, rate in profile["throughput"].items())
    power = profile["energy"]
    box = profile["machine"]
    assumed = f", {power['watts']:g} W assumed for a busy core" if power["source"] == "estimate" else ""
    rows = [("device", f"{box['cpu']}, {box['cores']} cores, {box['memory_mib']:,.0f} MiB"),
            ("micro-benchmarks", f"{micro_['gemm_gflops']:.3g} GFLOP/s product, {micro_['memory_gb_per_s']:.3g} GB/s "
                                 f"memory, {micro_['interpreter_us']:.3g} us interpreter (one thread)"),
            ("package", f"{profile['package']['fingerprint'][:16]} ({figures['size_mib']:.3g} MiB)"),
            ("latency", f"p50 {figures['latency_p50_ms']:.3g} ms, p95 {figures['latency_p95_ms']:.3g} ms "
                        f"[{low:.3g}, {high:.3g}], p99 {figures['latency_p99_ms']:.3g} ms over {one['n']} rows"),
            ("throughput", sizes), ("memory", f"{figures['memory_mib']:.0f} MiB peak"),
            ("energy", f"{power['joules_per_row'] * 1e3:.3g} mJ a row ({power['source']}{assumed})")]
    if profile["noisy"]:
        rows.append(("noisy", "the machine was not quiet: measure again when it is"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


__all__ = ["BOUND", "Forecast", "fingerprint", "forecast", "ratios", "read", "take", "text", "write"]

if __name__ == "__main__":
    raise SystemExit(main())
