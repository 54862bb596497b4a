"""Checks of lesson 06: drops by hand, where windows lie, the mean over covering windows."""

from itertools import product

import torch
from torch import Tensor, nn

from ..occlusion import occlusion, window_starts
from .base import Wrong, about, call, compare, compare_tensor, exercise, read
from .toys import noise, tiny_network

WHITE = (1 - 0.45) / 0.225  # after normalisation with about ImageNet's mean and std


@exercise("Exercise 1")
def drop_of_window(answer) -> str:
    """Check `answer(model, image, target, top, left, window)`: one window's drop."""
    for target, *place in ((2, 3, 9, 4), (0, 0, 5, 6), (4, 8, 0, 4)):
        case = tiny_network(), noise(1, 3, 12, 16, seed=target), target, *place
        result = read(call(answer, *case, intact=True), float, "one number")
        otherwise = "Take the clean score minus that with rows top … top + window hidden."
        compare(result, *_drops(*case), otherwise)
    return "One window, one number, and the picture is unchanged."


def _drops(model: nn.Module, image: Tensor, target, top, left, window) -> tuple:
    """The right drop, and sentence → a wrong one."""

    def hidden(fill=0.0, top=top, left=left) -> Tensor:
        picture = image.clone()
        picture[..., top : top + window, left : left + window] = fill
        return picture

    @torch.no_grad()
    def drop(picture, read=lambda scores: scores) -> float:
        return (read(model(image)[0]) - read(model(picture)[0]))[target].item()

    right, of_softmax = drop(hidden()), drop(hidden(), lambda scores: scores.softmax(0))
    left_over = model(hidden())[0, target].item()
    return right, {
        "The sign is flipped: the clean score minus that with the window hidden.": -right,
        "That is the score with the window hidden; take how much it falls.": left_over,
        "Your mask hides everything but the window: fill it alone.": drop(image - hidden()),
        "You fill with 0.5. On a normalised picture the mean is 0.": drop(hidden(0.5)),
        "You fill with 1. On a normalised picture the mean is 0.": drop(hidden(1.0)),
        "You fill with white; fill with the mean colour, 0.": drop(hidden(WHITE)),
        "Rows and columns are swapped: top counts rows.": drop(hidden(top=left, left=top)),
        "That is the drop in probability; take the score before softmax.": of_softmax,
    }


@exercise("Exercise 2")
def starts(answer) -> str:
    """Check `answer(size, window, stride)`: where the windows along one side begin."""
    cases = ((10, 4, 4), (7, 7, 3), (11, 3, 2), (9, 5, 3), (224, 32, 8))
    for size, window, stride in cases:
        result = call(answer, size, window, stride)
        found = read(result, lambda starts: [int(s) for s in starts], "whole numbers")
        right = list(window_starts(size, window, stride))
        with about(f"size {size}, window {window}, stride {stride}"):
            if any(start + window > size for start in found):
                raise Wrong("A window extends beyond the end, and would be cut short.")
            if len(found) > len(set(found)):
                raise Wrong("A window is counted twice; does one end at the edge already?")
            missed = size - window - max(found, default=-window)
            if missed:
                raise Wrong(f"The last {missed} pixels are never hidden: add a window.")
            compare(found, right, {}, f"Expected {right}, got {found}.")
    return "Whole windows only, every pixel covered, none counted twice."


@exercise("Exercise 3")
def heatmap(answer) -> str:
    """Check `answer(drops, tops, lefts, window, size)`: each pixel's mean drop."""
    for size, window, stride in ((12, 4, 3), (11, 5, 2), (9, 3, 3)):
        found = occlusion(tiny_network(), noise(1, 3, size, size), 0, window, stride)
        tops, lefts = list(found.tops), list(found.lefts)
        drops = found.drops + torch.arange(len(tops))[:, None] * 0.1  # not symmetric
        result = call(answer, drops, tops, lefts, window, size)
        total, count, latest = torch.zeros(3, size, size)
        for drop, (top, left) in zip(drops.flatten(), product(tops, lefts), strict=True):
            place = slice(top, top + window), slice(left, left + window)
            total[place] += drop
            count[place] += 1
            latest[place] = drop
        right, by_all = total / count, total / drops.numel()
        mistakes = {
            "That is the sum: divide it by how many windows cover each pixel.": total,
            "You divide by the number of all windows, not of those over a pixel.": by_all,
            "You divide by the largest count; each pixel has its own.": total / count.max(),
            "A later window overwrites the earlier ones: use += and count.": latest,
            "Rows and columns are swapped: tops go with the first axis.": right.T,
        }
        otherwise = "Add each drop to all pixels of its window, count, and divide."
        compare_tensor(result, right, mistakes, otherwise)
    return "The mean over the windows that cover a pixel, at the border too."


@exercise("Exercise 4")
def telling_windows(answer) -> str:
    """Check `answer(found)`: (row, column) of every window that changes the top class."""
    image = noise(1, 3, 14, 20, seed=5)
    found = occlusion(tiny_network(4), image, window=6, stride=4, top_classes=True)
    result, expected = call(answer, found), "a list of pairs (row, column)"
    pairs = read(result, lambda pairs: {(int(r), int(c)) for r, c in pairs}, expected)
    same, falling = found.top_classes == found.target, found.drops > 0
    masks = (mask.nonzero().tolist() for mask in (~same, same, falling))
    right, unchanged, falls = ({(row, column) for row, column in mask} for mask in masks)
    pixels = {(found.tops[row], found.lefts[column]) for row, column in right}
    mistakes = {
        "Rows and columns are swapped: drops[row, column].": {(c, r) for r, c in right},
        "These are the windows that do not change the top class.": unchanged,
        "These are pixels; return the window's row and column in the grid.": pixels,
        "A score may fall and still be the largest: compare classes.": falls,
    }
    otherwise = "Return the (row, column) pairs where top_classes differs from the target."
    compare(pairs, right, mistakes, otherwise)
    return f"{len(right)} windows change the answer."
