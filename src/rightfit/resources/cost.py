"""What serving a model costs: pure arithmetic from measured latency and memory to machines and money by the month.

A machine runs as many workers as it has cores (and memory), each answering one row at a time. Requests arrive at
random (Poisson) at rate r; a worker answers m in a second. The machine is an M/G/c queue, whose waiting time W has
    P(W > t) = C exp(-2 (c m - r) t / (1 + v)),
with C the Erlang C probability of waiting and v the squared coefficient of variation of service: exact for M/M/c
(v = 1), the Allen-Cunneen approximation otherwise (Allen, Probability, Statistics and Queueing Theory, 1990). The most
that a machine can take is the largest r at which the p95 of W plus the measured p95 of the model stays within the
latency limit and no worker is busier than `utilisation_max`.

Figures on another machine than the one that measured are forecasts: speed by `core_ratio`, vCPUs by `thread_share`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

from rightfit.errors import UsageError
from rightfit.records import frozen
from rightfit.resources.tables import Carbon, Price, Rate, convert
from rightfit.units import HOURS_PER_MONTH, SECONDS_PER_MONTH

Values = Mapping[str, float]


@frozen
class Service:
    """One worker answering one row: mean and p95 in ms on the machine that measured, memory of its process in MiB."""

    mean_ms: float
    p95_ms: float
    memory_mib: float = 0.0


@frozen
class Load:
    """What has to be served: mean and peak rows per second, and the limit on p95 in ms (None: none)."""

    traffic_per_s: float
    peak_per_s: float
    limit_ms: float | None = None


@frozen
class Plan:
    """Machines of one type that serve a load. Money in USD by the month; latency, utilisation forecast at the peak."""

    provider: str
    region: str
    instance_type: str
    how: str
    instances: int
    workers: int
    usd_per_month: float
    usd_per_1k: float
    machine_per_s: float
    utilisation: float
    latency_p95_ms: float
    kgco2e_per_month: float | None
    vcpu: float
    asof: str
    source: str


def service(measured: Mapping[str, float]) -> Service:
    """Of a package's measured figures; the upper bound of the p95 is taken where there is one. Raises UsageError.

    The mean is at most half the median plus half the p95, but for the slowest 5 %; that is taken for it.

    >>> service({"latency_p50_ms": 1.0, "latency_p95_ms": 3.0, "memory_mib": 100.0})
    Service(mean_ms=2.0, p95_ms=3.0, memory_mib=100.0)
    """
    p95 = measured.get("latency_p95_high_ms") or measured.get("latency_p95_ms")
    if not p95:
        raise UsageError("costs need a measured latency; got latency_p95_ms=None, measure the package first.")
    p50 = measured.get("latency_p50_ms") or p95
    return Service(mean_ms=(p50 + p95) / 2, p95_ms=p95, memory_mib=measured.get("memory_mib") or 0.0)


def load(traffic_per_s: float, peak_per_s: float | None = None, limit_ms: float | None = None) -> Load:
    """A load; without a peak it is the mean. Raises UsageError for figures that contradict each other."""
    peak = traffic_per_s if peak_per_s is None else peak_per_s
    for name, value in (("traffic", traffic_per_s), ("peak", peak)):
        if not 0 < value < math.inf:
            raise UsageError(f"{name} must be above zero and finite; got {name}={value:g}/s.")
    if peak < traffic_per_s:
        raise UsageError(f"the peak must not be below the mean traffic; got peak={peak:g}/s and "
                         f"traffic={traffic_per_s:g}/s, change one of them.")
    return Load(traffic_per_s=traffic_per_s, peak_per_s=peak, limit_ms=limit_ms)


def waiting(servers: int, load: float) -> float:
    """Erlang C: the probability that a request waits, for `load` = arrivals x service time below `servers`.

    >>> round(waiting(1, 0.5), 6), round(waiting(2, 1.0), 6)
    (0.5, 0.333333)
    """
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def wait_p95_ms(rate: float, service_ms: float, servers: int, scv: float) -> float:
    """The p95 of waiting in ms at `rate` requests per second; infinite where the workers cannot keep up.

    >>> round(wait_p95_ms(50, 10.0, 1, 1.0), 3), wait_p95_ms(100, 10.0, 1, 1.0)
    (46.052, inf)
    """
    offered = rate * service_ms / 1e3
    if offered >= servers:
        return math.inf
    chance = waiting(servers, offered)
    spare_per_ms = (servers - offered) / service_ms
    return max(0.0, (1 + scv) / 2 * math.log(chance / 0.05) / spare_per_ms) if chance > 0.05 else 0.0


@functools.lru_cache(maxsize=4096)
def capacity(busy_ms: float, p95_ms: float, workers: int, limit_ms: float | None, busiest: float, scv: float) -> float:
    """The most rows per second for one machine; 0 where even an idle one is over the limit.

    busy_ms: what a row takes of a worker. p95_ms: of the model alone. limit_ms holds for waiting plus p95_ms.

    >>> capacity(10.0, 10.0, 2, None, 0.7, 1.0)
    140.0
    """
    most = busiest * workers * 1e3 / busy_ms
    if limit_ms is None or p95_ms + wait_p95_ms(most, busy_ms, workers, scv) <= limit_ms:
        return most
    if p95_ms > limit_ms:
        return 0.0
    low, high = 0.0, most
    for _ in range(50):
        middle = (low + high) / 2
        if p95_ms + wait_p95_ms(middle, busy_ms, workers, scv) <= limit_ms:
            low = middle
        else:
            high = middle
    return low


def workers_of(cores: float, mem_gib: float, memory_mib: float, system_mib: float) -> int:
    """Workers that a machine has whole cores and memory for, 0 where not even one fits.

    >>> workers_of(4.4, 16, 1000, 768), workers_of(8, 4, 1600, 768), workers_of(2, 2, 1600, 768)
    (4, 2, 0)
    """
    most, room = max(1, math.floor(cores)), mem_gib * 1024 - system_mib
    return 0 if room <= 0 else most if most * memory_mib <= room else math.floor(room / memory_mib)


def needed(of: Service, asked: Load, cores: float, mem_gib: float, speed: float,
           a: Values) -> tuple[int, int, float] | None:
    """(machines, workers in each, rows per second that each can take), or None where the model does not fit.

    speed: of a core, over one of the machine that measured; less than one whole core runs one worker more slowly.
    """
    workers = workers_of(cores, mem_gib, of.memory_mib, a["system_mib"])
    if not workers:
        return None
    speed *= min(1.0, cores)
    most = capacity((of.mean_ms + a["overhead_ms"]) / speed, of.p95_ms / speed, workers, asked.limit_ms,
                    a["utilisation_max"], a["service_scv"])
    if most <= 0:
        return None
    # A share of a request above a whole number of machines is rounding, not load.
    return max(math.ceil(a["instances_min"]), math.ceil(asked.peak_per_s / most - 1e-9)), workers, most


def power_kwh(vcpus: float, utilisation: float, pue: float, a: Values) -> float:
    """Energy of rented vCPUs by the month, linear between idle and busy (Cloud Carbon Footprint's model)."""
    watts = vcpus * (a["vcpu_idle_w"] + (a["vcpu_busy_w"] - a["vcpu_idle_w"]) * utilisation)
    return watts * pue * HOURS_PER_MONTH / 1e3


def plan(price: Price, of: Service, asked: Load, a: Values, rates: Mapping[str, Rate],
         grid: Mapping[tuple[str, str], Carbon], spot: bool = False) -> Plan | None:
    """A load on machines of one type, or None where it does not fit or has no such price."""
    hourly = price.spot_per_hour if spot else price.on_demand_per_hour
    if hourly is None or price.gpu or not price.mem_gib:
        return None
    cores = price.vcpu * (a["thread_share"] if price.vcpu_is == "thread" else 1.0)
    found = needed(of, asked, cores, price.mem_gib, a["core_ratio"], a)
    if found is None:
        return None
    machines, workers, most = found
    speed = a["core_ratio"] * min(1.0, cores)
    busy_ms = (of.mean_ms + a["overhead_ms"]) / speed
    each = asked.peak_per_s / machines
    used = asked.traffic_per_s * busy_ms / 1e3 / (machines * workers)
    usd = machines * convert(hourly, price.currency, "USD", rates) * HOURS_PER_MONTH
    here = grid.get((price.provider, price.region))
    pue = a.get(f"pue_{price.provider}", a["pue_other"])
    kg = None if here is None else power_kwh(machines * price.vcpu, used, pue, a) * here.gco2e_per_kwh / 1e3
    return Plan(provider=price.provider, region=price.region, instance_type=price.instance_type,
                how="spot" if spot else "on demand", instances=machines, workers=workers, usd_per_month=usd,
                usd_per_1k=per_1k(usd, asked), machine_per_s=most, utilisation=each * busy_ms / 1e3 / workers,
                latency_p95_ms=of.p95_ms / speed + wait_p95_ms(each, busy_ms, workers, a["service_scv"]),
                kgco2e_per_month=kg, vcpu=price.vcpu, asof=price.spot_asof if spot else price.asof, source=price.source)


def per_1k(usd_per_month: float, asked: Load) -> float:
    """Money for a thousand predictions at the mean traffic.

    >>> round(per_1k(52.56, load(20)), 9)
    0.001
    """
    return usd_per_month / (asked.traffic_per_s * SECONDS_PER_MONTH / 1e3)


def plans(prices: Sequence[Price], of: Service, asked: Load, a: Values, rates: Mapping[str, Rate],
          grid: Mapping[tuple[str, str], Carbon], *, spot: bool = False) -> list[Plan]:
    """Every machine type that fits, cheapest first."""
    found = [one for price in prices if (one := plan(price, of, asked, a, rates, grid, spot)) is not None]
    return sorted(found, key=lambda p: (p.usd_per_month, p.instances, p.provider, p.region, p.instance_type))


def bought(of: Service, asked: Load, a: Values) -> Plan | None:
    """The load on machines of one's own: their price over their years, power at the wall, staff; None where unfit.

    Staff hours are for all machines together; power is linear between idle and busy.
    """
    found = needed(of, asked, a["machine_cores"], a["machine_mem_gib"], a["local_core_ratio"], a)
    if found is None:
        return None
    machines, workers, most = found
    speed = a["local_core_ratio"] * min(1.0, a["machine_cores"])
    busy_ms = (of.mean_ms + a["overhead_ms"]) / speed
    used = asked.traffic_per_s * busy_ms / 1e3 / (machines * a["machine_cores"])
    watts = a["machine_idle_w"] + (a["machine_busy_w"] - a["machine_idle_w"]) * min(1.0, used)
    kwh = machines * watts * HOURS_PER_MONTH / 1e3
    usd = (machines * a["machine_usd"] / (12 * a["machine_years"]) + kwh * a["electricity_usd_per_kwh"]
           + a["staff_hours_per_month"] * a["staff_usd_per_hour"])
    each = asked.peak_per_s / machines
    return Plan(provider="own", region="local", instance_type=f"{a['machine_cores']:g} cores", how="bought",
                instances=machines, workers=workers, usd_per_month=usd, usd_per_1k=per_1k(usd, asked),
                machine_per_s=most, utilisation=each * busy_ms / 1e3 / workers,
                latency_p95_ms=of.p95_ms / speed + wait_p95_ms(each, busy_ms, workers, a["service_scv"]),
                kgco2e_per_month=kwh * a["local_gco2e_per_kwh"] / 1e3, vcpu=a["machine_cores"], asof="",
                source="assumptions")


def serverless(of: Service, asked: Load, a: Values) -> float | None:
    """USD by the month where nothing is paid at rest, or None without prices; memory is rented by 128 MiB."""
    if a["serverless_usd_per_million"] <= 0 and a["serverless_usd_per_gib_s"] <= 0:
        return None
    rows = asked.traffic_per_s * SECONDS_PER_MONTH
    gib = max(1, math.ceil(of.memory_mib / 128)) / 8
    seconds = (of.mean_ms + a["overhead_ms"]) / a["core_ratio"] / 1e3
    return rows / 1e6 * a["serverless_usd_per_million"] + rows * seconds * gib * a["serverless_usd_per_gib_s"]


def training_usd(seconds: float, cores: float, memory_mib: float, prices: Sequence[Price], a: Values,
                 rates: Mapping[str, Rate]) -> tuple[Price, float] | None:
    """The cheapest machine on demand with as many cores and as much memory as the one that trained, and its price."""
    def worth(price: Price) -> float:
        return price.vcpu * (a["thread_share"] if price.vcpu_is == "thread" else 1.0) * a["core_ratio"]

    fit = [p for p in prices if not p.gpu and worth(p) >= cores and p.mem_gib * 1024 >= memory_mib]
    usd = {p.instance_type + p.provider + p.region: convert(p.on_demand_per_hour, p.currency, "USD", rates)
           for p in fit}
    if not fit:
        return None
    best = min(fit, key=lambda p: (usd[p.instance_type + p.provider + p.region], p.instance_type))
    return best, usd[best.instance_type + best.provider + best.region] * seconds / 3600
