"""Run the benchmarks, print one table, and write it down.

    python benchmarks/run.py                    all; writes results.json and README.md
    python benchmarks/run.py --only occlusion   one of them (or several); writes nothing
    python benchmarks/run.py --quick            each once, on less work; writes nothing

Each benchmark runs in its own process, so that none occupies another's memory. The table
reports one that fails or takes far too long; the others still run.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from harness import Row, machine, table

HERE = Path(__file__).parent
RESULTS, README = HERE / "results.json", HERE / "README.md"
MARKERS = "<!-- results: written by run.py -->", "<!-- end of results -->"
TIMEOUT = 600  # seconds for one benchmark

BENCHMARKS = {
    "gradients": "Gradient maps",
    "occlusion": "Occlusion",
    "class_visualization": "Class visualization",
    "labs": "Labs, from a control to its picture",
    "touch": "Hands, from a move to its answer",
    "imports": "Importing",
    "localization_time": "Weak localization",
    "course": "The course executed",
}


def run(name: str, quick: bool) -> list[Row]:
    """The rows of one benchmark, or one row that says why it failed."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, str(HERE / f"{name}.py"), "--to", str(rows)]
        try:
            ended = subprocess.run(
                command + ["--quick"] * quick,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=TIMEOUT,
                env={"OMP_WAIT_POLICY": "passive", **os.environ},
            )
            return json.loads(rows.read_text(encoding="utf-8"))
        except subprocess.TimeoutExpired:
            return [{"failed": f"{name} took longer than {TIMEOUT} seconds"}]
        except OSError:
            reason = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
            return [{"failed": f"{name}: {reason}"}]


def as_markdown(results: dict) -> str:
    """The machine in one sentence, then a table per benchmark."""
    told = "; ".join(f"{key}: {value}" for key, value in results["machine"].items())
    parts = [f"Measured on {results['date']}. {told[0].upper()}{told[1:]}."]
    parts += [f"### {BENCHMARKS[k]}\n\n{table(v)}" for k, v in results["rows"].items()]
    return "\n\n".join(parts)


def write(results: dict) -> None:
    """The machine-readable file, and the table between the markers of README.md."""
    RESULTS.write_text(
        json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    begin, end = MARKERS
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    text = f"{begin}\n\n{as_markdown(results)}\n\n{end}"
    readme = README.read_text(encoding="utf-8")
    README.write_text(pattern.sub(lambda _: text, readme), encoding="utf-8")


def main() -> None:
    """Read the command line; measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    results = {"date": date.today().isoformat(), "machine": machine(), "rows": {}}
    for name in options.only or BENCHMARKS:
        print(f"{BENCHMARKS[name]} …", file=sys.stderr, flush=True)
        results["rows"][name] = run(name, options.quick)
    print(as_markdown(results))
    if not (options.only or options.quick):
        write(results)
    if any("failed" in row for rows in results["rows"].values() for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
