"""schemathesis against a running server: does it ever fail, and does it do what its own /openapi.json says?

    python benchmarks/serve_fuzz.py --peer-python /path/to/python             of an environment with schemathesis
    python benchmarks/serve_fuzz.py --peer-python ... runs/titanic runs/bike  these runs or packages

Without packages it takes the one of benchmarks/serve.py. Every check of schemathesis is on; what no schema can say (a
tensor whose data do not fill its shape, a table without a column, a text that is no picture) may be refused with 400 or
422. Writes benchmarks/results/serve_fuzz.csv and ends with 1 when anything was found.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import common
from serve_harness import Row, packages, serving

from rightfit.package import load

CROSSED = ("POST /v2/models/{model}/infer", "POST /invocations")
PICTURES = "POST /predict"
REFUSED = '["2xx", "3xx", "401", "403", "404", "409", "429", "5xx", "400", "422"]'


def fuzz(source: Path, python: Path, examples: int) -> Row:
    """What schemathesis finds at a server of one package."""
    with tempfile.TemporaryDirectory() as place, serving(source) as server:
        pictures = (PICTURES,) if load(source if (source / "schema.json").exists() else source / "package"
                                       ).task.modality == "image" else ()
        rules = [f'[[operations]]\ninclude-name = "{name}"\n'
                 f'checks.positive_data_acceptance.expected-statuses = {REFUSED}\n' for name in (*CROSSED, *pictures)]
        (Path(place) / "schemathesis.toml").write_text("\n".join(rules), encoding="utf-8")
        done = subprocess.run(
            [str(python.parent / "st"), "run", f"http://127.0.0.1:{server.port}/openapi.json", "--max-examples",
             str(examples), "--seed", "1", "--report", "ndjson", "--report-dir", place],
            cwd=place, capture_output=True, text=True)
        heard = "".join(path.read_text(encoding="utf-8") for path in Path(place).glob("*.ndjson"))
    statuses = Counter(re.findall(r'"status_code":(\d{3})', heard))
    operations = re.search(r"Tested: (\d+)", done.stdout)
    found = re.findall(r"^- ([A-Z]+\d+ .+)$", done.stdout, re.M)
    if not statuses or operations is None:
        raise SystemExit(f"schemathesis must run; got exit={done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    if found or done.returncode:
        print(done.stdout)
    return {"package": source.name, "operations": int(operations[1]), "answers": sum(statuses.values()),
            "statuses": " ".join(f"{code}:{count}" for code, count in sorted(statuses.items())),
            "5xx": sum(count for code, count in statuses.items() if code.startswith("5")),
            "failed_checks": max(len(found), int(done.returncode != 0))}


def main() -> None:
    """Run schemathesis against every package."""
    parser = argparse.ArgumentParser(description="The server against its own description.")
    parser.add_argument("packages", nargs="*", type=Path)
    parser.add_argument("--peer-python", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        rows = []
        for source in given.packages or packages(Path(home), 1):
            rows.append(fuzz(source, given.peer_python, given.examples))
            common.show(rows[-1])
            common.write_csv("serve_fuzz", rows)
    raise SystemExit(any(row["5xx"] or row["failed_checks"] for row in rows))


if __name__ == "__main__":
    main()
