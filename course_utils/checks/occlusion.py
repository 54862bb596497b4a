"""Checks of lesson 06: drops by hand, where windows lie, the mean over covering windows."""

import torch
from torch import Tensor, nn

from ..occlusion import OcclusionMap, occlusion, window_starts
from .base import Wrong, call, check_tensor, compare, exercise

MEAN, STD = 0.45, 0.225  # close to ImageNet's: what a mask of 0 or 1 before it would be


def tiny_network(seed: int = 0) -> nn.Module:
    """A small random classifier, (N, 3, H, W) → (N, 5), in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(128, 5),
        )
    return network.eval()


def tiny_picture(height: int, width: int, seed: int = 0) -> Tensor:
    """A random picture (1, 3, height, width)."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(1, 3, height, width, generator=random)


# -- exercise 1 ------------------------------------------------------------------------


@exercise("Exercise 1")
def drop_of_window(answer) -> str:
    """Check `answer(model, image, target, top, left, window)`: one window's drop."""
    model = tiny_network()
    for target, top, left, window in ((2, 3, 9, 4), (0, 0, 5, 6), (4, 8, 0, 4)):
        image = tiny_picture(12, 16, seed=target)
        given = image.clone()
        result = call(_careful(answer, model, given), target, top, left, window)
        if not torch.equal(given, image):
            raise Wrong("Your function paints into the caller's picture; clone() it first.")
        result = torch.as_tensor(result).reshape(-1)
        right = _drop(model, image, target, top, left, window)
        wrongs = _mistakes(model, image, target, top, left, window)
        otherwise = "The clean score minus the score with rows top … top + window hidden."
        compare(check_tensor(result, (1,)), right, wrongs, otherwise)
    return "One window, one number, and the picture is still whole."


def _careful(answer, model, image):
    """`answer` for this very picture, so that a picture painted over can be seen."""
    if not callable(answer):
        return answer

    def run(*place):
        return answer(model, image, *place)

    return run


def _masked(image: Tensor, top, left, height, width, fill=0.0) -> Tensor:
    picture = image.clone()
    picture[..., top : top + height, left : left + width] = fill
    return picture


def _drop(model, image, target, top, left, window, fill=0.0, read=lambda s: s) -> Tensor:
    with torch.no_grad():
        whole = read(model(image))[:, target]
        return (
            whole - read(model(_masked(image, top, left, window, window, fill)))[:, target]
        )


def _mistakes(model, image, target, top, left, window) -> dict[str, Tensor]:
    place = (top, left, window)
    right = _drop(model, image, target, *place)
    outside = torch.zeros_like(image)
    rows, columns = slice(top, top + window), slice(left, left + window)
    outside[..., rows, columns] = image[..., rows, columns]
    with torch.no_grad():
        whole, alone = model(image)[:, target], model(outside)[:, target]
    white, grey = (1 - MEAN) / STD, 0.5
    return {
        "The sign is turned round: a drop is the clean score minus the score with the "
        "window hidden, positive where the window spoke for the class.": -right,
        "That is the score with the window hidden; the drop is what it falls by.": (
            whole - right
        ),
        "Your mask hides everything but the window. Fill the window, and leave the rest.": (
            whole - alone
        ),
        "You fill with 0.5. On a normalised picture the mean colour is 0.": (
            _drop(model, image, target, *place, fill=grey)
        ),
        "You fill with 1. On a normalised picture 1 is a light grey of no meaning; the "
        "mean colour is 0.": _drop(model, image, target, *place, fill=1.0),
        "You fill with white; here the mean colour, 0, is wanted.": (
            _drop(model, image, target, *place, fill=white)
        ),
        "Rows and columns are exchanged: the picture is (1, 3, H, W), top counts rows.": (
            _drop(model, image, target, left, top, window)
        ),
        "That is the drop in probability; take the score before softmax.": (
            _drop(model, image, target, *place, read=lambda s: s.softmax(dim=1))
        ),
    }


# -- exercise 2 ------------------------------------------------------------------------


@exercise("Exercise 2")
def starts(answer) -> str:
    """Check `answer(size, window, stride)`: where the windows of one side begin."""
    for size, window, stride in (
        (224, 32, 8),
        (10, 4, 4),
        (7, 7, 3),
        (11, 3, 2),
        (9, 5, 3),
    ):
        result = call(answer, size, window, stride)
        try:
            found = [int(start) for start in result]
        except (TypeError, ValueError):
            raise Wrong("A list of whole numbers is wanted.") from None
        _compare_starts(found, size, window, stride)
    return "Whole windows only, every pixel covered, none counted twice."


def _compare_starts(found: list[int], size: int, window: int, stride: int) -> None:
    right = list(window_starts(size, window, stride))
    case = f"size {size}, window {window}, stride {stride}"
    if found == right:
        return
    if any(start + window > size for start in found):
        raise Wrong(f"{case}: a window hangs over the end, and would be cut short there.")
    if len(found) > len(set(found)):
        raise Wrong(
            f"{case}: a window is counted twice; is one flush with the end already?"
        )
    if max(found, default=-1) + window < size:
        last = size - max(found, default=-window) - window
        raise Wrong(
            f"{case}: the last {last} pixels are never hidden. Add one more window, flush "
            "with the end."
        )
    raise Wrong(f"{case}: {right} is right, yours is {found}.")


# -- exercise 3 ------------------------------------------------------------------------


@exercise("Exercise 3")
def heatmap(answer) -> str:
    """Check `answer(drops, tops, lefts, window, size)`: each pixel's mean drop.

    `drops` is (R, C), `tops` and `lefts` are lists, `window` and `size` whole numbers; the
    picture is square.
    """
    cases = ((12, 4, 3), (11, 5, 2), (9, 3, 3))
    for size, window, stride in cases:
        found = occlusion(tiny_network(), tiny_picture(size, size), 0, window, stride)
        tops, lefts = list(found.tops), list(found.lefts)
        drops = found.drops + torch.arange(len(tops))[:, None] * 0.1  # not symmetric
        result = call(answer, drops, tops, lefts, window, size)
        right, total, count = _averaged(drops, tops, lefts, window, size)
        compare(
            check_tensor(result, (size, size)),
            right,
            {
                "That is the sum. A pixel in the middle lies under more windows than in "
                "the corner: divide by how many.": total,
                "You divide by the number of all windows; divide each pixel by how many "
                "windows cover it.": total / drops.numel(),
                "You divide by the largest count; at the border fewer windows cover a "
                "pixel.": total / count.max(),
                "A later window overwrites the earlier ones: use += and count.": (
                    _overwritten(drops, tops, lefts, window, size)
                ),
                "Rows and columns are exchanged: tops go with the first axis.": right.T,
            },
            "Add each drop to all pixels of its window, count, and divide.",
        )
    return "The mean over the windows that cover a pixel, at the border too."


def _averaged(drops, tops, lefts, window, size) -> tuple[Tensor, Tensor, Tensor]:
    total, count = torch.zeros(size, size), torch.zeros(size, size)
    for row, top in zip(drops, tops, strict=True):
        for drop, left in zip(row, lefts, strict=True):
            total[top : top + window, left : left + window] += drop
            count[top : top + window, left : left + window] += 1
    return total / count, total, count


def _overwritten(drops, tops, lefts, window, size) -> Tensor:
    values = torch.zeros(size, size)
    for row, top in zip(drops, tops, strict=True):
        for drop, left in zip(row, lefts, strict=True):
            values[top : top + window, left : left + window] = drop
    return values


# -- exercise 4 ------------------------------------------------------------------------


@exercise("Exercise 4")
def telling_windows(answer) -> str:
    """Check `answer(found)`: (row, column) of every window that changes the top class."""
    found = _with_classes()
    result = call(answer, found)
    try:
        places = {(int(row), int(column)) for row, column in result}
    except (TypeError, ValueError):
        raise Wrong("A list of pairs (row, column) is wanted.") from None
    clean = found.target
    right = {
        (r, c)
        for r in range(len(found.tops))
        for c in range(len(found.lefts))
        if found.top_classes[r, c] != clean
    }
    if places == right:
        return f"{len(right)} windows change the answer."
    if places == {(c, r) for r, c in right}:
        raise Wrong("Rows and columns are exchanged: drops[row, column].")
    every = {(r, c) for r in range(len(found.tops)) for c in range(len(found.lefts))}
    if places == every - right:
        raise Wrong("These are the windows that do not change the top class.")
    if places == {(found.tops[r], found.lefts[c]) for r, c in right}:
        raise Wrong("These are pixels; give the window's row and column in the grid.")
    falls = {(r, c) for r, c in every if found.drops[r, c] > 0}
    if places == falls:
        raise Wrong("A score may fall and still be the largest: compare classes.")
    raise Wrong(
        "Wanted are the (row, column) pairs at which top_classes differs from the target."
    )


def _with_classes() -> OcclusionMap:
    return occlusion(
        tiny_network(4), tiny_picture(14, 20, seed=3), window=6, stride=4, top_classes=True
    )
