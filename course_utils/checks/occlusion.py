"""Checks of lesson 06 and `deeper/exact_occlusion`: drops, means, starts, and a claim."""

from functools import cache
from itertools import product

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from .._machinery.fills import Fill, fill_picture
from ..images import preprocess
from ..inputs import Inputs
from ..models import load_model
from ..occlusion import OcclusionMap, occlusion, window_starts
from ..samples import composite, load_samples
from ..targets import predict
from .base import (
    Wrong,
    about,
    as_tensor,
    call,
    compare,
    compare_tensor,
    each_argument,
    exercise,
    read,
)
from .claims import Claim, Test
from .reading import each, number, whole, written_in
from .toys import noise, other_classes, tiny_network

WHITE = (1 - 0.45) / 0.225  # after normalisation with about ImageNet's mean and std


@exercise("Exercise 1")
def drop_of_window(answer) -> str:
    """Check `answer(model, image, target, top, left, window)`: one window's drop."""
    cases = ((0, 12, 16), 2, 2, 1, 4), ((1, 10, 14), 0, 0, 5, 6), ((5, 13, 9), 4, 8, 0, 5)
    for (seed, *size), *asked in cases:
        names = "model", "image", "target", "top", "left", "window"
        values = tiny_network(seed), noise(1, 3, *size, seed=seed), *asked
        case = dict(zip(names, values, strict=True))
        right, mistakes = _drops(**case)
        otherwise = "Take the clean score minus that with rows top … top + window hidden."
        others = {"top": 1, "left": 3, "window": 3, "image": noise(1, 3, *size, seed=9)}
        with each_argument(answer, case, **others):
            result = call(answer, *values, intact=True)
            compare(read(result, number, "one number"), right, mistakes, otherwise)
    return "One window, one number, and the picture is unchanged."


def _drops(model: nn.Module, image: Tensor, target, top, left, window) -> tuple:
    """The right drop, and sentence → a wrong one."""
    rows, columns = slice(top, top + window), slice(left, left + window)
    short, narrow = slice(top, window), slice(left, window)

    def hidden(place=(..., rows, columns), fill=0.0) -> Tensor:
        picture = image.clone()
        picture[place] = fill
        return picture

    @torch.no_grad()
    def drop(picture, read=lambda scores: scores, of=target) -> float:
        return (read(model(image)[0]) - read(model(picture)[0]))[of].item()

    right, of_softmax = drop(hidden()), drop(hidden(), lambda scores: scores.softmax(0))
    left_over = model(hidden())[0, target].item()
    return right, {
        "A drop may be negative, where the score rises: leave abs() out.": abs(right),
        "The sign is flipped: the clean score minus that with the window hidden.": -right,
        "That is the score with the window hidden; take how much it falls.": left_over,
        "The drop is 0: the network is asked for the same picture twice.": 0.0,
        "Your mask hides everything but the window: fill it alone.": drop(image - hidden()),
        **written_in(
            "You fill with {}. On a normalised picture the mean is 0.",
            (0.5, 1),
            lambda fill: drop(hidden(fill=fill)),
        ),
        "You fill with white; fill with the mean colour, 0.": drop(hidden(fill=WHITE)),
        "You fill with the picture's own mean; fill with 0.": drop(
            hidden(fill=image.mean())
        ),
        "Rows and columns are swapped: top counts rows.": drop(
            hidden((..., columns, rows))
        ),
        "A picture is (1, 3, H, W): write hidden[:, :, rows, columns].": drop(
            hidden((slice(None), rows, columns))
        ),
        "Your slice of the rows ends at `window`: end it at `top + window`.": drop(
            hidden((..., short, columns))
        ),
        "Your slice of the columns ends at `window`: end it at `left + window`.": drop(
            hidden((..., rows, narrow))
        ),
        "Your slices end at `window`: end them at `top + window`, `left + window`.": drop(
            hidden((..., short, narrow))
        ),
        "That is one row and one column too many: a slice leaves its end out.": drop(
            hidden((..., slice(top, top + window + 1), slice(left, left + window + 1)))
        ),
        "That is the drop in probability; take the score before softmax.": of_softmax,
        **other_classes(model, image, target, lambda c: drop(hidden(), of=c)),
    }


@exercise("Exercise 2")
def heatmap(answer) -> str:
    """Check `answer(drops, tops, lefts, window, size)`: each pixel's mean drop."""
    for size, window, tops, lefts in (
        (12, 4, [0, 3, 6, 8], [0, 4, 7, 8]),
        (11, 6, [0, 4, 5], [0, 2, 4, 5]),
        (9, 3, [0, 2, 4, 6], [0, 3, 6]),
    ):
        names = "drops", "tops", "lefts", "window", "size"
        values = noise(len(tops), len(lefts), seed=size), tops, lefts, window, size
        case = dict(zip(names, values, strict=True))
        right, mistakes = _means(**case)
        otherwise = "Add each drop to all pixels of its window, count, and divide."
        with each_argument(answer, case, tops=lefts, lefts=tops, window=5):
            result = as_tensor(call(answer, *values))
            same_shape = isinstance(result, Tensor) and result.shape == right.shape
            if same_shape and result.isnan().any():
                text = "Some pixels lie under none of your windows, 0 / 0: each begins at "
                raise Wrong(f"{text}its `top` and `left` and ends `window` pixels later.")
            compare_tensor(result, right, mistakes, otherwise)
    return "The mean over the windows that cover a pixel, at the border too."


def _means(drops: Tensor, tops, lefts, window, size) -> tuple[Tensor, dict[str, Tensor]]:
    """The right map, and sentence → a wrong one."""

    def added(window: int, drops: Tensor = drops) -> Tensor:
        """Each pixel's sum of drops, number of windows, and latest drop."""
        found = torch.zeros(3, size, size)
        for drop, (top, left) in zip(drops.flatten(), product(tops, lefts), strict=True):
            place = slice(top, top + window), slice(left, left + window)
            found[0][place] += drop
            found[1][place] += 1
            found[2][place] = drop
        return found

    total, count, latest = added(window)
    right, one_more = total / count, added(window + 1)
    exchanged = added(window, drops.T)[0] / count  # drops[column, row], if it is square
    return right, {
        "That is the sum: divide it by how many windows cover each pixel.": total,
        "You divide by the number of all windows, not of those over a pixel.": total
        / drops.numel(),
        "You divide by one sum; each pixel has its own count.": total / count.sum(),
        "You divide by the largest count; each pixel has its own.": total / count.max(),
        "A later window overwrites the earlier ones: use += and count.": latest,
        "A later window overwrites the earlier ones in the sum: use +=.": latest / count,
        "You count with the drops; add 1 for each window.": torch.ones_like(right),
        "Rows and columns of `drops` are exchanged: drops[row, column], a row for each of "
        "`tops`.": exchanged,
        "That is one row and one column too many: a slice leaves its end out.": one_more[0]
        / one_more[1],
        "Rows and columns are swapped: tops go with the first axis.": right.T,
    }


# -- the claim check -------------------------------------------------------------------

SHEPHERD = 235


@cache
def two_dogs() -> tuple[Image.Image, Tensor]:
    """One shepherd, pasted twice on a beach; and where they are, (2, H, W) of bool."""
    dogs, scenes = (load_samples(kind=kind) for kind in ("cutouts", "scenes"))
    dog = dogs.images[dogs.names.index("german_shepherd")]
    beach = scenes.images[scenes.names.index("beach")]
    left = composite(dog, beach, 0.5, (0.0, 0.8))
    right = composite(dog, left.image, 0.5, (1.0, 0.8), flip=True)
    return right.image, torch.from_numpy(np.stack([left.mask, right.mask]))


def hide_dogs(fill: Fill = "mean") -> Tensor:
    """The picture: whole, without the left, the right, both dogs, and as much beach."""
    picture, (left, right) = two_dogs()
    image, both = preprocess(picture), left | right
    filler = fill_picture(fill, image, Inputs())
    beach = both.roll(-both.shape[0] // 2, dims=0) & ~both
    hidden = [both & ~both, left, right, both, beach]
    return torch.cat([torch.where(mask, filler, image) for mask in hidden])


def _shares(pictures: Tensor) -> list[str]:
    """How probable the shepherd is in each, in words."""
    shares = predict(load_model(), pictures, SHEPHERD).shares[:, SHEPHERD]
    return [f"{share:.1%}" for share in shares.tolist()]


def _other_fills() -> str:
    found = [f"{fill}: {_shares(hide_dogs(fill)[1:3])}" for fill in ("black", "blur")]
    words = "; ".join(found).translate(str.maketrans("", "", "[]'"))
    return f"With the left or the right dog hidden, shepherd has, {words}."


def _small_window() -> str:
    image = preprocess(two_dogs()[0])
    asked = load_model(), image, SHEPHERD, 32, 32, "mean", "probability"
    drop = occlusion(*asked).drops.max().item()
    return f"Of 49 windows of 32 pixels the worst takes {100 * drop:.0f} points off."


def _both_dogs() -> str:
    *_, both, beach = _shares(hide_dogs())
    return f"Shepherd has {both} without both dogs, {beach} without as much beach."


def _single_dogs() -> str:
    samples = load_samples(names=["german_shepherd", "malinois_meadow"])
    images, drops = preprocess(samples.images), []
    for image, label in zip(images, samples.labels.tolist(), strict=True):
        asked = load_model(), image[None], label, 64, 53, "mean", "probability"
        drops.append(f"{100 * occlusion(*asked).drops.max().item():.0f}")
    return (
        f"On two photographs of one dog the worst takes {' and '.join(drops)} points off."
    )


claim = Claim(
    "Hide either dog, and the answer is still “German shepherd”, nearly as sure as before. "
    "So the dogs do not matter: the network goes by the beach.",
    {
        "A": Test(
            _other_fills,
            "Worth nothing: one dog is left each time, and one is enough. It shows only "
            "that the fill hardly matters here.",
        ),
        "B": Test(
            _small_window,
            "Worth nothing: a window smaller than a dog leaves even more of the evidence.",
        ),
        "C": Test(
            _both_dogs,
            "That refutes it: the answer goes with the dogs and survives without the "
            "beach. One dog was enough, so hiding one at a time showed nothing.",
            could_refute=True,
        ),
        "D": Test(
            _single_dogs,
            "Worth nothing here: what decides on other photographs need not decide on "
            "this one.",
        ),
    },
)


# -- of the deeper notebook ------------------------------------------------------------


@exercise("Exercise 1")
def starts(answer) -> str:
    """Check `answer(size, window, stride)`: where the windows along one side begin."""
    cases = ((10, 4, 4), (7, 7, 3), (11, 3, 2), (9, 5, 3), (224, 32, 8))
    for size, window, stride in cases:
        result = call(answer, size, window, stride)
        found = read(result, each(whole), "whole numbers")
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


# Network, picture and its grain. With the first three most windows change the class, and
# to several; with the last one none does.
PICTURES = ((17, (14, 20), 8), (12, (14, 20), 21), (2, (18, 12), 3), (6, (14, 20), 1))


@exercise("Exercise 2")
def telling_windows(answer) -> str:
    """Check `answer(found)`: (row, column) of every window that changes the top class."""
    counts = []
    for seed, size, grain in PICTURES:
        image = noise(1, 3, *size, seed=grain)
        found = occlusion(tiny_network(seed), image, window=6, stride=4, top_classes=True)
        right, mistakes = _tables(found)
        result = call(answer, found)
        if isinstance(result, tuple) and [getattr(r, "ndim", 0) for r in result] == [1, 1]:
            raise Wrong("You give rows and columns apart; zip(rows, columns) makes pairs.")
        result = read(result, each(_pair), "a list of pairs (row, column)")
        if len(result) > len(set(result)):
            raise Wrong("A window is listed twice: each one once.")
        text = "Return the (row, column) pairs where top_classes differs from the target."
        compare(set(result), right, mistakes, text)
        counts.append(str(len(right)))
    return f"{', '.join(counts[:-1])} and {counts[-1]} windows change the answer."


def _pair(pair) -> tuple[int, int]:
    row, column = pair
    return whole(row), whole(column)


def _tables(found: OcclusionMap) -> tuple[set, dict[str, set]]:
    """The right pairs, and sentence → wrong ones."""
    classes, target = found.top_classes, found.target

    def places(mask: Tensor) -> set[tuple[int, int]]:
        return {(row, column) for row, column in mask.nonzero().tolist()}

    right, usual = places(classes != target), classes.flatten().mode().values
    return right, {
        "Rows and columns are swapped: drops[row, column].": {(c, r) for r, c in right},
        "These are the windows that do not change the top class.": places(
            classes == target
        ),
        "These are pixels; return the window's row and column in the grid.": {
            (found.tops[row], found.lefts[column]) for row, column in right
        },
        "A score may fall and still be the largest: compare classes.": places(
            found.drops > 0
        ),
        "You compare with the most frequent class; compare with found.target, the whole "
        "picture's.": places(classes != usual),
        "You compare with the first window's class; compare with found.target.": places(
            classes != classes[0, 0]
        ),
        **written_in(
            "You compare with one fixed class ({}); compare with found.target.",
            {*classes.unique().tolist()} - {target},
            lambda fixed: places(classes != fixed),
        ),
        "These are all the windows: compare with found.target, not with one fixed "
        "class.": places(classes > -1),
    }
