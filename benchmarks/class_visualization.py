"""What a step of `visualize_class` costs beside a bare forward and backward pass.

    python benchmarks/class_visualization.py

Both in the same run, turn about, so that whatever else the machine does hits both; the
best of several rounds of each.
"""

import json
import time
from pathlib import Path

import torch

from course_utils import load_model, load_samples, preprocess, visualize_class
from course_utils.class_visualization import CS231N

RESULTS = Path(__file__).with_name("class_visualization.json")
ROUNDS, STEPS, CLASS = 8, 12, 483
RECIPES = {"default": {}, "CS231n": CS231N}


def bare(model, images) -> None:
    """STEPS forward and backward passes to the pixels, and nothing else."""
    for _ in range(STEPS):
        pixels = images.clone().requires_grad_()
        model(pixels)[0, CLASS].backward()


def seconds(work) -> float:
    """Seconds a step of `work`."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / STEPS


def main() -> None:
    """Measure, print a table and write it beside this file."""
    model, images = load_model(), preprocess(load_samples(1).images)
    fast = images.contiguous(memory_format=torch.channels_last)
    jobs = {
        "bare pass": lambda: bare(model, images),
        "bare pass, channels last": lambda: bare(model, fast),
    }
    for name, recipe in RECIPES.items():
        jobs[f"step, {name}"] = lambda recipe=recipe: visualize_class(
            model, CLASS, steps=STEPS, **recipe
        )
    times = {name: [] for name in jobs}
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            times[name].append(seconds(job))
    best = {name: min(several) for name, several in times.items()}
    result = {"threads": torch.get_num_threads(), "size": 224}
    result |= {f"{name} (ms)": round(1000 * value, 1) for name, value in best.items()}
    for name in RECIPES:
        ratio = best[f"step, {name}"] / best["bare pass"]
        result[f"step, {name}, to a bare pass"] = round(ratio, 2)
    for name, value in result.items():
        print(f"{name:36} {value}")
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
