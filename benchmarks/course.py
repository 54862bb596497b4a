"""The course executed: time, processor time and peak memory of each lesson's kernel.

Each lesson runs in a kernel of its own, as `make lessons` runs it; nothing is saved. The
time holds the start of the kernel and the import of torch.
"""

import json
import sys
import time
from pathlib import Path

import nbformat
from harness import Row, main, significant

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from lessons import execute, lesson_paths, read_lesson

# The kernel reports what it took. `VmHWM` is this process's own peak; `ru_maxrss`, which
# other systems have, may be inherited from the parent process.
REPORT = """
import json, re, resource, sys, time
from pathlib import Path

if Path("/proc/self/status").exists():
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak /= 1024**2 if sys.platform == "darwin" else 1024
print(json.dumps({"peak": peak, "cpu": time.process_time()}))
"""


def measure(quick: bool) -> list[Row]:
    """A row per lesson, and their sum; only the shortest lesson when it must be quick."""
    rows = []
    for path in lesson_paths(["00"] if quick else None):
        lesson = read_lesson(path)
        lesson.cells.append(nbformat.v4.new_code_cell(REPORT, id="report"))
        start = time.perf_counter()
        try:
            execute(lesson, path)
        except SystemExit as error:  # names the cell that failed
            rows.append({"lesson": path.stem, "failed": str(error).splitlines()[0]})
            continue
        seconds = time.perf_counter() - start
        told = json.loads(lesson.cells[-1].outputs[0].text)
        rows.append(_row(path.stem, seconds, told["cpu"], told["peak"]))
    done = [row for row in rows if "failed" not in row]
    total = {key: sum(row[key] for row in done) for key in ("seconds", "processor (s)")}
    peak = max((row["peak memory (MB)"] for row in done), default=0)
    return [*rows, _row(f"{len(done)} of {len(rows)} together", *total.values(), peak)]


def _row(lesson: str, seconds: float, cpu: float, peak: float) -> Row:
    return {
        "lesson": lesson,
        "seconds": significant(seconds),
        "processor (s)": significant(cpu),
        "peak memory (MB)": round(peak),
    }


if __name__ == "__main__":
    main(measure, __doc__)
