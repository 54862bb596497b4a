"""How long a lab takes from a control to its picture, and what importing costs.

    python benchmarks/labs.py

The handlers are called directly, as a browser would have them called; what the browser
adds is not in the figures. Beside each lab stands the floor, a bare forward and backward
pass of the same network in the same run.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from course_utils import load_model, load_samples, preprocess
from course_utils.labs.base import Lab
from course_utils.labs.batch_maps import BatchMapsLab

RESULTS = Path(__file__).with_name("labs.json")


def bare_pass(model, images) -> float:
    """Seconds of one forward and backward pass to the pixels."""
    start = time.perf_counter()
    pixels = images.clone().requires_grad_()
    model(pixels).amax(dim=1).sum().backward()
    return time.perf_counter() - start


def batch_maps() -> tuple[Lab, list[float]]:
    """Lesson 03's lab: photographs, classes and every way of drawing."""
    lab = BatchMapsLab()
    seconds = []
    for photo in load_samples(8).names:
        lab.controls["photo"].value = photo
        seconds.append(lab.seconds)
        for word in ("zebra", "giant panda"):
            lab.controls["target"].search.value = word
            seconds.append(lab.seconds)
        for name in ("channels", "scale", "cmap"):
            lab.controls[name].index = 1 - lab.controls[name].index
            seconds.append(lab.seconds)
        lab.controls["overlaid"].value = not lab.controls["overlaid"].value
        seconds.append(lab.seconds)
    return lab, seconds


def import_seconds(statement: str) -> float:
    """Best of five: seconds that a fresh Python takes for an import, less starting up."""

    def run(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    return min(run(statement) for _ in range(5)) - min(run("pass") for _ in range(5))


def main() -> None:
    """Measure, print a table and write it beside this file."""
    model, images = load_model(), preprocess(load_samples(1).images)
    bare_pass(model, images)
    lab, seconds = batch_maps()
    floor = min(bare_pass(model, images) for _ in range(20))
    every = "from course_utils import vanilla_saliency, load_model, load_samples"
    torch_alone, course = import_seconds("import torch"), import_seconds(every)
    result = {
        "threads": torch.get_num_threads(),
        "bare forward and backward (s)": round(floor, 4),
        "lesson 03's lab, median (s)": round(statistics.median(seconds), 3),
        "lesson 03's lab, 95th percentile (s)": round(sorted(seconds)[-len(seconds) // 20], 3),
        "import torch (s)": round(torch_alone, 2),
        "import of the course, with torch (s)": round(course, 2),
    }
    for name, value in result.items():
        print(f"{name:40} {value}")
    assert not lab.failed
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
