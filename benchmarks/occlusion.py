"""One occlusion map by `occlusion` and by Captum's fastest setting, turn about.

    python benchmarks/occlusion.py

Window 32, stride 8: the same 25 × 25 windows of one photograph for both. Captum gets the
model and the picture in the memory format that suits it, channels last, and the number of
windows in one pass with which it is fastest here, tried in the same run. The best of
several rounds counts, and the multiply-adds of both stand beside it.
"""

import json
import time
from pathlib import Path

import torch
from captum.attr import Occlusion
from torch.utils.flop_counter import FlopCounterMode

from course_utils import load_model, load_samples, occlusion, preprocess

RESULTS = Path(__file__).with_suffix(".json")
ROUNDS, WINDOW, STRIDE = 3, 32, 8
AT_ONCE = (8, 16, 32)


def by_captum(model, image, target, at_once: int):
    """(H, W): Captum's map."""
    with torch.no_grad():
        maps = Occlusion(model).attribute(
            image,
            (3, WINDOW, WINDOW),
            (3, STRIDE, STRIDE),
            target=target,
            perturbations_per_eval=at_once,
        )
    return maps[0, 0]


def timed(work) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def million_multiply_adds(work) -> float:
    """By PyTorch's own counter, which counts a multiply-add as two operations."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2 / 1e6


def jobs(model, image, target: int) -> dict:
    """Name → work: Captum in every setting that is tried, and `occlusion`."""
    found = {"captum, default": lambda: by_captum(model, image, target, 1)}
    last = load_model().to(memory_format=torch.channels_last)
    picture = image.contiguous(memory_format=torch.channels_last)
    for at_once in AT_ONCE:
        found[f"captum, channels last, {at_once} at once"] = lambda n=at_once: by_captum(
            last, picture, target, n
        )
    found["occlusion"] = lambda: occlusion(model, image, target, WINDOW, STRIDE).heatmap
    return found


def main() -> None:
    """Measure, print a table and write it beside this file."""
    model, samples = load_model(), load_samples(1)
    image, target = preprocess(samples.images), samples.labels.item()
    work = jobs(model, image, target)
    best = {name: timed(job) for name, job in work.items()}  # every setting once
    rivals = sorted((n for n in best if n.startswith("captum, ")), key=best.get)[:2]
    for _ in range(ROUNDS):
        for name in (*rivals, "occlusion"):
            best[name] = min(best[name], timed(work[name]))
    fastest = min(rivals, key=best.get)
    ours, theirs = work["occlusion"](), work[fastest]()
    counts = {name: million_multiply_adds(work[name]) for name in (fastest, "occlusion")}
    result = {"threads": torch.get_num_threads(), "windows": 625}
    result |= {f"{name} (s)": round(value, 2) for name, value in best.items()}
    result |= {f"{n}, million multiply-adds": round(c) for n, c in counts.items()}
    result["fastest setting of Captum"] = fastest
    result["times as fast as that"] = round(best[fastest] / best["occlusion"], 2)
    difference = (ours - theirs).abs().max() / theirs.abs().max()
    result["largest difference of the maps, relative"] = float(f"{difference:.1g}")
    for name, value in result.items():
        print(f"{name:48} {value}")
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
