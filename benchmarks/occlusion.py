"""Occlusion maps compared with Captum and PAIR's saliency, on two grids of windows.

The same windows of one photograph for the course and Captum; Captum gets the network and
the picture in the memory layout that suits it, and the number of windows in one pass and
of threads with which it is fastest here. PAIR's package knows windows at every pixel only,
each a pass of its own: 37,249 for windows of 32 pixels. So it is compared by the window.
"""

import copy

import torch
from harness import (
    Row,
    Seconds,
    compare,
    giga_multiply_adds,
    main,
    missing_row,
    peer,
    ratio_row,
    significant,
    with_threads,
)

from course_utils import load_model, load_samples, occlusion, preprocess

GRIDS = ((32, 8), (48, 16))  # window and stride in pixels: 625 and 144 windows
AT_ONCE = (8, 16, 32)
PAIR_SIDE = 5  # a window that has as many places a side, and PAIR_SIDE² in all


def by_captum(captum, model, image, target, window, stride, at_once):
    """(H, W): Captum's map."""
    with torch.no_grad():
        maps = captum.Occlusion(model).attribute(
            image,
            (3, window, window),
            (3, stride, stride),
            target=target,
            perturbations_per_eval=at_once,
        )
    return maps[0, 0]


def captum_settings(captum, model, image, target, grid) -> dict:
    """Layouts and numbers of windows in one pass."""
    last = image.contiguous(memory_format=torch.channels_last)
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    found = {
        f"channels last, {n} at once": lambda n=n: by_captum(
            captum, model, last, target, *grid, n
        )
        for n in AT_ONCE
    }
    found["plain layout, 16 at once"] = lambda: by_captum(
        captum, plain, image, target, *grid, 16
    )
    return found


def pair_settings(pair, model, image, target) -> dict:
    """PAIR's `Occlusion` with a window so large that it has but few places."""
    picture = image[0].permute(1, 2, 0).numpy()

    def scores(batch, call_model_args=None, expected_keys=None):
        with torch.no_grad():
            pictures = torch.from_numpy(batch).permute(0, 3, 1, 2)
            return {pair.OUTPUT_LAYER_VALUES: model(pictures)[:, target].numpy()}

    size = picture.shape[0] - PAIR_SIDE + 1
    return {"one by one": lambda: pair.Occlusion().GetMask(picture, scores, size=size)}


def measure(quick: bool) -> list[Row]:
    """Both grids compared with Captum, a window with PAIR's."""
    model, samples = load_model(), load_samples(1)
    image, target = preprocess(samples.images), samples.labels.item()
    captum, pair = peer("captum.attr"), peer("saliency.core")
    rounds, rows = 1 if quick else 3, []
    grids = ((112, 56),) if quick else GRIDS
    for grid in grids:

        def ours(grid=grid):
            return occlusion(model, image, target, *grid)

        count = ours().drops.numel()
        what = f"occlusion, {count} windows of {grid[0]} px"
        if captum is None:
            rows.append(missing_row(what, "Captum"))
            continue
        settings = with_threads(captum_settings(captum, model, image, target, grid))
        seconds, name, theirs = compare(ours, settings, rounds)
        row = ratio_row(what, seconds, f"Captum: {name}", theirs)
        rows.append(row | _same_map(ours, settings[name]))
    rows.append(_compare_pair(pair, model, image, target, rounds, grids[0]))
    return rows


def _same_map(ours, theirs) -> Row:
    """How far the two maps are apart, and what they cost in multiply-adds."""
    map_, right = ours().heatmap, theirs()
    difference = (map_ - right).abs().max() / right.abs().max()
    return {
        "largest difference of the maps": significant(difference.item(), 1),
        "multiply-adds (billions)": significant(giga_multiply_adds(ours)),
        "its multiply-adds (billions)": significant(giga_multiply_adds(theirs)),
    }


def _compare_pair(pair, model, image, target, rounds, grid) -> Row:
    what = f"occlusion, one window of {grid[0]} px"
    if pair is None:
        return missing_row(what, "PAIR saliency")
    settings = with_threads(pair_settings(pair, model, image, target))
    count = occlusion(model, image, target, *grid).drops.numel()
    seconds, name, theirs = compare(
        lambda: occlusion(model, image, target, *grid), settings, rounds
    )
    each = Seconds(*(value / count for value in seconds))
    theirs = Seconds(*(value / (PAIR_SIDE**2 + 1) for value in theirs))
    return ratio_row(what, each, f"PAIR saliency: {name}", theirs)


if __name__ == "__main__":
    main(measure, __doc__)
