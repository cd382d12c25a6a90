#!/usr/bin/env python3
"""Make the bundled tables of src/rightfit/resources/prices from a folder of dated public extracts.

Usage: scripts/bundle_prices.py FOLDER. FOLDER holds aws_us-east-1.csv, aws_cn-north-1.csv, gcp.csv, alibaba.csv,
carbon_by_country.csv and carbon_by_cloud_region.csv, as rightfit/resources/prices/README.md describes them.
"""

import csv
import sys
from pathlib import Path

HOME = Path(__file__).parent.parent / "src" / "rightfit" / "resources" / "prices"
PRICES = ("provider", "region", "instance_type", "vcpu", "vcpu_is", "architecture", "mem_gib", "gpu", "gpu_count",
          "gpu_mem_gib", "currency", "on_demand_per_hour", "spot_per_hour", "asof", "spot_asof", "source", "licence")
CARBON = ("provider", "region", "gco2e_per_kwh", "asof", "source", "licence")
MOST_VCPU = 32  # of machines without a GPU: larger ones cost the same per vCPU and are never needed by one worker
BURSTABLE = ("t3.", "e2-micro", "e2-small", "e2-medium")  # their vCPUs are shares of one, which their size hides
ARM = ("m7g.", "ecs.c8y.", "ecs.g8y.", "ecs.r8y.")
WHOLE_CORES = (*ARM, "t2d-")  # one vCPU is one core, not one of its two threads
AWS_SOURCE = "aws/karpenter-provider-aws pkg/providers/pricing/zz_generated.pricing_aws{}.go @1d927085"
SPOT_SOURCE = "; spot estimated from alexei-led/spotinfo spot-advisor-data.json @05e93313"
CARBON_SOURCE = "mlco2/codecarbon codecarbon/data {} @b05965e4"
OWID = " (Our World in Data, CC BY)"
COUNTRY = {("aws", "us-east-1"): "USA", ("aws", "cn-north-1"): "CHN",
           **{("alibaba", f"cn-{city}"): "CHN" for city in ("beijing", "hangzhou", "shanghai", "shenzhen")},
           ("alibaba", "cn-hongkong"): "HKG", ("alibaba", "ap-southeast-1"): "SGP", ("alibaba", "us-east-1"): "USA"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def price(provider: str, raw: dict[str, str]) -> dict[str, str] | None:
    """One extract's row in the bundle's columns; None for what is not needed."""
    kind, gpu = raw["instance_type"], raw["gpu"]
    if kind.startswith(BURSTABLE) or not raw["vcpu"] or (not gpu and float(raw["vcpu"]) > MOST_VCPU):
        return None
    spot = raw.get("spot_per_hour") or raw.get("spot_per_hour_est") or ""
    china = "_cn" if raw["region"].startswith("cn-") else ""
    source = raw.get("source") or AWS_SOURCE.format(china) + (SPOT_SOURCE if spot else "")
    asof = (raw.get("asof") or raw["on_demand_asof"])[:10]
    spot_asof = "" if not spot else "2025-06-28" if provider == "aws" else asof
    return {"provider": provider, "region": raw["region"], "instance_type": kind, "vcpu": raw["vcpu"],
            "vcpu_is": "core" if kind.startswith(WHOLE_CORES) else "thread",
            "architecture": "arm" if kind.startswith(ARM) else "x86",
            "mem_gib": raw["mem_gib"] and f"{float(raw['mem_gib']):g}",
            "gpu": gpu, "gpu_count": raw["gpu_count"], "gpu_mem_gib": raw["gpu_mem_gib"], "currency": raw["currency"],
            "on_demand_per_hour": f"{float(raw['on_demand_per_hour']):.6g}",
            "spot_per_hour": f"{float(spot):.6g}" if spot else "", "asof": asof, "spot_asof": spot_asof,
            "source": source.strip(), "licence": "Apache-2.0"}


def carbon(folder: Path, regions: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Grid intensity of each region that has a price: of the cloud's own region where known, else of the country."""
    own = {(r["provider"], r["region"]): r for r in rows(folder / "carbon_by_cloud_region.csv")}
    country = {r["iso3"]: r for r in rows(folder / "carbon_by_country.csv")}
    found = []
    for provider, region in regions:
        if (provider, region) in own:
            value, asof = own[provider, region]["impact"], "2024"
            source = CARBON_SOURCE.format("cloud/impact.csv") + " from " + own[provider, region]["source"]
        else:
            entry = country[COUNTRY[provider, region]]
            value, asof = entry["gco2e_per_kwh"], entry["year"]
            source = CARBON_SOURCE.format("by country") + f", {entry['country']}" + OWID
        found.append({"provider": provider, "region": region, "gco2e_per_kwh": value, "asof": asof, "source": source,
                      "licence": "MIT"})
    return found


def write(name: str, columns: tuple[str, ...], table: list[dict[str, str]]) -> None:
    with (HOME / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def main() -> None:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    extracts = (("aws", "aws_us-east-1"), ("aws", "aws_cn-north-1"), ("gcp", "gcp"), ("alibaba", "alibaba"))
    found = [p for provider, name in extracts for raw in rows(folder / f"{name}.csv")
             if (p := price(provider, raw)) is not None]
    found.sort(key=lambda r: (r["provider"], r["region"], r["gpu"], float(r["vcpu"]), r["instance_type"]))
    write("prices.csv", PRICES, found)
    write("carbon.csv", CARBON, carbon(folder, sorted({(r["provider"], r["region"]) for r in found})))


if __name__ == "__main__":
    main()
