"""From a control to its picture in every lab; the handlers are called directly.

What a browser adds is not in the figures. Every list, slider and box of a lab is moved,
the photograph several times, to ones that the lab has not met. Above the labs stands the
floor: a bare forward and backward pass of the same network in the same run.
"""

import importlib
import pkgutil
import statistics
import time

import ipywidgets as widgets
import torch
from harness import Row, alternate, main, significant

import course_utils.labs
from course_utils import load_model, load_samples, preprocess
from course_utils.labs.base import Lab
from course_utils.labs.occlusion import OcclusionLab

PHOTOGRAPHS = 4  # that a lab has not met
LISTS = (widgets.Dropdown, widgets.ToggleButtons, widgets.SelectionSlider)


def find_labs() -> dict[str, type[Lab]]:
    """Module → the lab of each lesson, in alphabetical order."""
    found = {}
    for module in pkgutil.iter_modules(course_utils.labs.__path__):
        if module.name in ("base", "live"):
            continue
        loaded = importlib.import_module(f"course_utils.labs.{module.name}")
        for value in vars(loaded).values():
            own = getattr(value, "__module__", "") == loaded.__name__
            if own and isinstance(value, type) and issubclass(value, Lab):
                found[module.name] = value
    return found


# -- moving controls -----------------------------------------------------------------------


def move(control: widgets.Widget) -> None:
    """Give a control its next value, as a learner would by one click or one key."""
    if hasattr(control, "choice"):  # a picker: its list
        move(control.choice)
    elif isinstance(control, LISTS):
        if len(control.options) > 1:
            chosen = -1 if control.index is None else control.index
            control.index = (chosen + 1) % len(control.options)
    elif isinstance(control, widgets.Checkbox):
        control.value = not control.value
    elif isinstance(control, (widgets.IntSlider, widgets.FloatSlider)):
        up = control.value + control.step <= control.max
        control.value += control.step if up else -control.step


def seconds_of(lab: Lab, control: widgets.Widget) -> float | None:
    """How long a move takes until the new picture is there; None if it draws none."""
    before, start = lab.scene, time.perf_counter()
    move(control)
    seconds = time.perf_counter() - start
    return seconds if lab.scene is not before else None


def touch(lab: Lab, rounds: int) -> list[float]:
    """Seconds of each picture as every control is moved.

    The network stays: another one would first have to be downloaded.
    """
    found = []
    for name, control in lab.controls.items():
        if name in ("network", "photo", "picture") or getattr(control, "disabled", False):
            continue
        found += [seconds_of(lab, control) for _ in range(rounds)]
    return [seconds for seconds in found if seconds is not None]


def change_photograph(lab: Lab, count: int) -> list[float]:
    """Seconds of each photograph that the lab has not met before."""
    picker = lab.controls.get("photo", lab.controls.get("picture"))
    if picker is None:
        return []
    found = [seconds_of(lab, picker) for _ in range(count)]
    return [seconds for seconds in found if seconds is not None]


# -- measuring -----------------------------------------------------------------------------


def bare_pass() -> float:
    """Seconds of a forward and a backward pass to the pixels."""
    model, images = load_model(), preprocess(load_samples(1).images)

    def job():
        pixels = images.clone().requires_grad_()
        torch.autograd.grad(model(pixels).amax(), pixels)

    return alternate({"bare": job}, rounds=15)["bare"].wall


def lab_row(name: str, lab_class: type[Lab], rounds: int, photographs: int) -> Row:
    """Median and 95th percentile of everything that was moved."""
    start = time.perf_counter()
    try:
        lab = lab_class()
        opening = time.perf_counter() - start
        fresh = change_photograph(lab, photographs)
        seconds = sorted(fresh + touch(lab, rounds))
    except Exception as error:
        return {"lab": name, "failed": str(error)}
    row = {"lab": name, "opens in (s)": significant(opening, 2), "pictures": len(seconds)}
    if not seconds:
        return row
    high = seconds[min(round(0.95 * len(seconds)), len(seconds) - 1)]
    return row | {
        "median (s)": significant(statistics.median(seconds), 2),
        "95 % within (s)": significant(high, 2),
        "a new photograph (s)": significant(statistics.median(fresh), 2) if fresh else "",
        "says an error": lab.said if lab.failed else "",
    }


def all_windows(quick: bool) -> Row:
    """The occlusion lab from start to its whole map, and how often it drew meanwhile."""
    lab, drawn = OcclusionLab(), []
    for name, value in (("window", 32), ("stride", 56 if quick else 8)):
        lab.controls[name].value = value
    start = time.perf_counter()
    lab.touch.observe(lambda _: drawn.append(time.perf_counter() - start), "pictures")
    lab.start()
    lab.wait(120)
    return {
        "lab": f"occlusion, all {lab.result.drops.numel()} windows",
        "pictures": len(drawn),
        "median (s)": significant(time.perf_counter() - start, 2),
    }


def measure(quick: bool) -> list[Row]:
    """The floor, every lab, and the longest computation of one."""
    rows = [{"lab": "(a bare pass)", "median (s)": significant(bare_pass(), 2)}]
    rounds, photographs = (1, 1) if quick else (3, PHOTOGRAPHS)
    for name, lab_class in find_labs().items():
        if not quick or name == "vanilla_saliency":
            rows.append(lab_row(name, lab_class, rounds, photographs))
    tries = [all_windows(quick) for _ in range(1 if quick else 3)]
    return [*rows, min(tries, key=lambda row: row["median (s)"])]


if __name__ == "__main__":
    main(measure, __doc__)
