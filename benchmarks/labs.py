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

import ipywidgets as widgets
import torch

from course_utils import load_model, load_samples, preprocess
from course_utils.labs.base import Lab
from course_utils.labs.batch_maps import BatchMapsLab
from course_utils.labs.guided_backprop import GuidedBackpropLab
from course_utils.labs.theory import TheoryLab
from course_utils.labs.vanilla_saliency import VanillaSaliencyLab

RESULTS = Path(__file__).with_name("labs.json")
LABS = {
    "01": TheoryLab,
    "02": VanillaSaliencyLab,
    "03": BatchMapsLab,
    "05": GuidedBackpropLab,
}


def bare_pass(model, images) -> float:
    """Seconds of one forward and backward pass to the pixels."""
    start = time.perf_counter()
    pixels = images.clone().requires_grad_()
    model(pixels).amax(dim=1).sum().backward()
    return time.perf_counter() - start


def touch(lab: Lab) -> list[float]:
    """Seconds for each picture as every list, slider and box is moved once.

    The network stays: another one would first have to be downloaded.
    """
    seconds = []
    for name, control in lab.controls.items():
        before = control.value
        if name == "network":
            continue
        if isinstance(control, widgets.Dropdown) and control.index is not None:
            control.index = (control.index + 1) % len(control.options)
        elif isinstance(control, widgets.Checkbox):
            control.value = not before
        elif isinstance(control, widgets.IntSlider | widgets.FloatSlider):
            step = control.step if before < control.max else -control.step
            control.value = before + step
        if control.value != before:
            assert not lab.failed, lab.status.value
            seconds.append(lab.seconds)
    return seconds


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
    floor = min(bare_pass(model, images) for _ in range(20))
    every = "from course_utils import vanilla_saliency, load_model, load_samples"
    torch_alone, course = import_seconds("import torch"), import_seconds(every)
    result = {
        "threads": torch.get_num_threads(),
        "bare forward and backward": round(floor, 3),
        "import torch": round(torch_alone, 2),
        "import of the course, torch included": round(course, 2),
    }
    for lesson, lab_class in LABS.items():
        lab = lab_class()
        seconds = sorted(touch(lab) + touch(lab))
        result[f"lab {lesson}, median"] = round(statistics.median(seconds), 3)
        result[f"lab {lesson}, 95th percentile"] = round(
            seconds[-1 - len(seconds) // 20], 3
        )
    for name, value in result.items():
        print(f"{name:40} {value}")
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
