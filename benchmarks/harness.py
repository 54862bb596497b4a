"""What all benchmarks share: fair timing, a description of the machine, and the table.

A benchmark is a module with a `measure(quick)` that gives rows, each a dict from column to
value. Run by itself it prints them; `run.py` runs all of them and writes them down.
"""

import argparse
import importlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

Job = Callable[[], object]
Row = dict[str, object]

LONG = 2.0  # seconds; a longer job is tried only once
PACKAGES = ("torch", "torchvision", "captum", "grad-cam", "saliency")


class Seconds(NamedTuple):
    """What a job took: by the clock, and in processor time."""

    wall: float
    cpu: float


# -- timing ------------------------------------------------------------------------------


def timed(job: Job) -> Seconds:
    """Run a job once."""
    wall, cpu = time.perf_counter(), time.process_time()
    job()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def alternate(jobs: dict[str, Job], rounds: int) -> dict[str, Seconds]:
    """The best of several rounds of each job, interleaved.

    Whatever else the machine does then disturbs all of them equally, and the best round of
    each is the least disturbed. Wall and processor time are each the smallest seen.
    """
    times = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            times[name].append(timed(job))
    return {
        name: Seconds(*map(min, zip(*seen, strict=True))) for name, seen in times.items()
    }


def fastest(settings: dict[str, Job], most: int) -> list[str]:
    """The `most` fastest settings, by one try each, or a second if short."""
    found = {}
    for name, job in settings.items():
        found[name] = timed(job)
        if found[name].wall < LONG:
            found[name] = timed(job)
    return sorted(found, key=found.get)[:most]


def compare(
    ours: Job, settings: dict[str, Job], rounds: int
) -> tuple[Seconds, str, Seconds]:
    """Ours and a peer at its fastest setting: our time, that setting's name, its time.

    Every setting is tried; the two fastest go into the rounds with ours.
    """
    ours()
    best = fastest(settings, most=2)
    times = alternate({"ours": ours, **{name: settings[name] for name in best}}, rounds)
    name = min(best, key=times.get)
    return times["ours"], name, times[name]


def with_threads(settings: dict[str, Job]) -> dict[str, Job]:
    """Each setting with one thread, and with as many as PyTorch takes by default."""
    import torch

    usual = torch.get_num_threads()

    def limited(job: Job, threads: int) -> Job:
        def run():
            torch.set_num_threads(threads)
            try:
                return job()
            finally:
                torch.set_num_threads(usual)

        return run

    return {
        f"{name}, {count} thread{'s' * (count > 1)}": limited(job, count)
        for name, job in settings.items()
        for count in sorted({1, usual})
    }


def giga_multiply_adds(job: Job) -> float:
    """By PyTorch's own counter, which counts a multiply-add as two operations."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        job()
    return counter.get_total_flops() / 2e9


# -- rows --------------------------------------------------------------------------------


def peer(module: str) -> ModuleType | None:
    """A peer's module; None where it, or a library that it needs, is not installed."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError):
        return None


def ratio_row(what: str, ours: Seconds, peer: str, theirs: Seconds, **more: object) -> Row:
    """Ratio first: how many times as long the peer takes."""
    return {
        "times as fast": significant(theirs.wall / ours.wall),
        "by processor time": significant(theirs.cpu / max(ours.cpu, 1e-9)),
        "what": what,
        "the course (s)": significant(ours.wall),
        "peer": peer,
        "peer (s)": significant(theirs.wall),
        **more,
    }


def missing_row(what: str, peer: str) -> Row:
    """For a comparison that could not be made."""
    return {"times as fast": "not installed", "what": what, "peer": peer}


def significant(value: float, digits: int = 3) -> float:
    """A number as it is written down."""
    return float(f"{value:.{digits}g}")


# -- machine and table -------------------------------------------------------------------


def machine() -> dict[str, object]:
    """The processor, the system and the versions; nothing that identifies the machine."""
    import torch

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except ImportError:
            versions[package] = "not installed"
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads of PyTorch": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()}, {platform.machine()}",
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table; columns in the order of their first appearance."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[_written(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]

    def line(texts: Sequence[str]) -> str:
        return f"| {' | '.join(t.ljust(w) for t, w in zip(texts, widths, strict=True))} |"

    return "\n".join([line(columns), line(["-" * w for w in widths]), *map(line, cells)])


def _written(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# -- a single benchmark ------------------------------------------------------------------


def main(measure: Callable[[bool], list[Row]], about: str) -> None:
    """The command line of one benchmark: measure, print; for `run.py` also write."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="run once, on less work")
    parser.add_argument("--to", type=Path, help="also write the rows to this JSON file")
    options = parser.parse_args()
    rows = measure(options.quick)
    print(table(rows))
    if options.to:
        options.to.write_text(json.dumps(rows), encoding="utf-8")
