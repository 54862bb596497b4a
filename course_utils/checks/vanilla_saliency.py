"""Checks of lesson 02: back to pixels, one map, how stable its ranks are; a claim."""

import copy

import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn

from ..evaluation import rank_correlation
from ..gradients import input_gradient, vanilla_saliency
from ..images import IMAGENET_MEAN, IMAGENET_STD, preprocess
from ..models import load_model
from ..samples import load_samples
from .base import (
    Wrong,
    as_tensor,
    call,
    check_tensor,
    close,
    compare,
    compare_tensor,
    each_argument,
    exercise,
    read,
)
from .claims import Claim, Test
from .toys import noise, other_classes, tiny_network, wrong_goals

MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))


@exercise("Exercise 1")
def denormalise(answer) -> str:
    """Check `answer(tensor, mean, std)`: from (3, H, W) to (H, W, 3) of `uint8`."""
    random = torch.Generator().manual_seed(0)
    other = torch.tensor([0.6, 0.5, 0.4]).view(3, 1, 1)
    for rows, columns, mean, std in ((4, 5, MEAN, STD), (6, 2, other, other / 3)):
        size = rows, columns, 3
        pixels = torch.randint(0, 256, size, generator=random, dtype=torch.uint8)
        pixels[0, 0], pixels[-1, -1] = 0, 255
        tensor = (pixels.permute(2, 0, 1) / 255 - mean) / std
        case = {"tensor": tensor, "mean": mean, "std": std}
        with each_argument(answer, case, tensor=tensor.flip(1), mean=mean / 2, std=std / 2):
            _check_pixels(call(answer, *case.values(), intact=True), pixels, **case)
    return "Every pixel is what it was before normalisation."


def _check_pixels(result, pixels: Tensor, tensor: Tensor, mean: Tensor, std: Tensor):
    rows, columns, _ = pixels.shape
    shapes = {
        (3, rows, columns): "The colours are still the first axis; permute(1, 2, 0) puts "
        "them last.",
        (columns, rows, 3): "Rows and columns are swapped: use permute(1, 2, 0).",
        (1, rows, columns, 3): "There is no batch axis here; return (H, W, 3).",
    }
    result = check_tensor(result, (rows, columns, 3), shapes)
    shares = tensor * std + mean
    mistakes = {
        "Undo the steps in reverse order: times std first, then plus mean.": (tensor + mean)
        * std,
        "That normalises a second time.": (tensor - mean) / std,
        "You divide by std; to undo that, multiply by it.": tensor / std + mean,
        "The mean is missing.": tensor * std,
        "Mean and std are swapped.": tensor * mean + std,
    }
    for sentence, wrong in mistakes.items():
        if _shows(result, wrong.permute(1, 2, 0)):
            raise Wrong(sentence)
    if _shows(result, shares.reshape(rows, columns, 3)):
        raise Wrong("reshape and view mix up the axes: use permute(1, 2, 0).")
    if _shows(result, shares.permute(1, 2, 0).flip(-1)):
        raise Wrong("The colours are in the order blue, green, red.")
    off = (result.double() - pixels.double()).abs().max()
    if not result.is_floating_point() and 0 < off <= 1:
        raise Wrong("Some values are too small by 1: integers have no decimals; round().")
    otherwise = "The values are not those of the original pixels."
    of_one = {"These values run from 0 to 1; times 255 makes them pixels.": pixels / 255}
    compare(result, pixels, of_one, otherwise)
    if result.dtype != torch.uint8:
        raise Wrong(f"The pixels should be uint8; yours are {result.dtype}.")


def _shows(result: Tensor, shares: Tensor) -> bool:
    """Whether `result` holds `shares`, or 255 times as much, clipped or rounded or not."""
    pixels = 255 * shares
    versions = shares, pixels, pixels.clamp(0, 255), pixels.to(torch.uint8)
    return any(close(result, version, within=0.005) for version in versions)


@exercise("Exercise 2")
def saliency_map(answer) -> str:
    """Check `answer(model, image)`: from one (3, H, W) picture to its (H, W) map."""
    apart = "The colours are still separate: take the largest over their axis."
    axis = "The maximum runs over the wrong axis: the colours are the axis of length 3."
    for seed, size in ((0, (8, 8)), (1, (7, 10)), (2, (9, 6))):
        model, (image, other) = tiny_network(seed), noise(2, 3, *size, seed=seed + 3)
        shapes = {
            (1, *size): "The batch axis is still there: take the first map, [0].",
            **dict.fromkeys([(3, *size), (1, 3, *size)], apart),
            **{shape: axis for n in size for shape in ((3, n), (1, 3, n))},
        }
        right, mistakes = _maps(model, image[None])
        otherwise = "The shape is right, the values are not: compare your steps with "
        case = {"model": model, "image": image}
        with each_argument(answer, case, image=other, model=tiny_network(seed + 1)):
            result = as_tensor(call(answer, *case.values(), intact=True))
            compare_tensor(result, right, mistakes, f"{otherwise}section 3.", shapes)
    _check_repeats(answer, model, image)
    return "One picture in, its map out, and a second call gives the same."


def _maps(model: nn.Module, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The right map of a batch of one, and sentence → a wrong one."""
    top = model(batch).argmax(1)
    gradient = input_gradient(model, batch, top)[0]
    others = {
        f"That is the map of class {c}; argmax finds this picture's top class.": c
        for c in {*range(6)} - {top.item()}
    }
    return gradient.abs().amax(0), {
        "No absolute value: negative slopes count too. Take abs() first.": gradient.amax(0),
        "abs() comes after the maximum; it should come first.": gradient.amax(0).abs(),
        "That is the mean over the colours; take the largest.": gradient.abs().mean(0),
        "That is the sum over the colours; take the largest.": gradient.abs().sum(0),
        **wrong_goals(top, lambda goal: vanilla_saliency(model, batch, goal)[0]),
        **{words: vanilla_saliency(model, batch, c)[0] for words, c in others.items()},
    }


def _check_repeats(answer, model: nn.Module, image: Tensor) -> None:
    """Refuse an answer that adds up gradients in the caller's tensor, call after call."""

    def twice(*own) -> list[Tensor]:
        maps = (as_tensor(answer(*own)) for _ in range(2))
        return [check_tensor(m, image.shape[1:]).clone() for m in maps]

    def unchanged(_model, own: Tensor) -> None:
        if own.requires_grad:
            raise Wrong("You set requires_grad on the caller's tensor; use image.clone().")

    first, second = call(twice, model, image)
    if close(second, 2 * first):
        raise Wrong("A second call gives twice the map: .grad adds up; use image.clone().")
    if not close(second, first):
        raise Wrong("A second call gives another map: the network is in training mode.")
    call(answer, model, image, after=unchanged)


@exercise("Exercise 3")
def shift_stability(answer) -> str:
    """Check `answer(model, wide, target)`: how alike are the ranks of shifted maps."""
    for seed, (target, size) in enumerate(((0, 8), (3, 11), (5, 9))):
        case = {
            "model": tiny_network(seed),
            "wide": noise(1, 3, size, size + 1, seed=seed),
            "target": target,
        }
        right, mistakes = _stabilities(**case)
        otherwise = "Make both maps, cut each to the columns both show, take spearmanr(…)."
        others = {"target": 4, "wide": noise(1, 3, size, size + 1, seed=9)}
        with each_argument(answer, case, **others):
            result = call(answer, *case.values(), intact=True)
            result = getattr(result, "statistic", result)
            if getattr(result, "ndim", 0) == 2:
                raise Wrong("spearmanr takes columns for variables: .flatten() both maps.")
            compare(read(result, float, "one number"), right, mistakes, otherwise)
    return "The two maps are compared where they show the same."


def _stabilities(model, wide: Tensor, target: int) -> tuple[float, dict[str, float]]:
    """The right correlation, and sentence → a wrong one."""
    views = wide[..., :-1], wide[..., 1:]
    left, right = (vanilla_saliency(model, view, target)[0] for view in views)
    signed = [input_gradient(model, view, target)[0].amax(0) for view in views]
    tops = [vanilla_saliency(model, view)[0] for view in views]
    correct = _alike(left, right)

    def of_class(c: int) -> float:
        return _alike(*(vanilla_saliency(model, view, c)[0] for view in views))

    return correct, {
        "You compare without undoing the shift: cut the first column off the left map and "
        "the last off the right one.": _alike(left, right, shift=0),
        "The wrong direction: cut the left map's first column.": _alike(right, left),
        "That is Pearson's: correlate the ranks.": _alike(left, right, pearsonr),
        "The absolute value is missing in your maps.": _alike(*signed),
        "You explain the top class; take `target` for both.": _alike(*tops),
        "You explain the top class, and compare without undoing the shift.": _alike(
            *tops, shift=0
        ),
        "That is 1 minus the correlation.": 1 - correct,
        "That is the p-value; take the statistic.": spearmanr(
            left[:, 1:].flatten(), right[:, :-1].flatten()
        ).pvalue,
    } | other_classes(model, views[0], target, of_class)


def _alike(left: Tensor, right: Tensor, kind=spearmanr, shift: int = 1) -> float:
    left, right = left[:, shift:], right[:, : right.shape[1] - shift]
    return float(kind(left.flatten(), right.flatten()).statistic)


# -- the claim check -------------------------------------------------------------------


def rounded(model: nn.Module, bits: int = 6) -> nn.Module:
    """A copy of `model` with rounded weights: 2 ** bits - 1 different values per layer."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for weights in copied.parameters():
            if weights.ndim > 1:
                step = weights.abs().max() / (2 ** (bits - 1) - 1)
                weights.copy_((weights / step).round() * step)
    return copied


def _views() -> tuple[Tensor, Tensor, Tensor]:
    """13 photographs, the same ones one pixel further right, and their classes."""
    samples = load_samples(13)
    wide = preprocess(samples.images, size=256)
    return wide[..., 16:240, 16:240], wide[..., 16:240, 15:239], samples.labels


def _other_photographs() -> str:
    images, _, labels = _views()
    model = load_model()
    maps = [vanilla_saliency(one, images, labels) for one in (model, rounded(model))]
    found = rank_correlation(*maps)
    low, high = found.min(), found.max()
    return (
        f"on 13 photographs the maps before and after rounding have a rank correlation of "
        f"{found.mean():.2f} on average, {low:.2f} to {high:.2f}."
    )


def _second_run() -> str:
    images, _, labels = _views()
    maps = [vanilla_saliency(load_model(), images[:3], labels[:3]) for _ in range(2)]
    found = rank_correlation(*maps).min()
    return f"run twice, each map has a rank correlation of {found:.2f} with itself."


def _moved_photograph() -> str:
    images, moved, labels = _views()
    model = load_model()
    here, there = (vanilla_saliency(model, view, labels) for view in (images, moved))
    shift = rank_correlation(here[..., :-1], there[..., 1:])
    rounding = rank_correlation(here, vanilla_saliency(rounded(model), images, labels))
    below = int((shift < rounding).sum())
    return (
        f"the unchanged network, with the photograph moved by one pixel, gives a rank "
        f"correlation of {shift.mean():.2f} on average, and a lower one than rounding on "
        f"{below} of 13 photographs."
    )


def _random_weights() -> str:
    images, _, labels = _views()
    untrained = vanilla_saliency(load_model("squeezenet1_1", "random"), images)
    found = rank_correlation(vanilla_saliency(load_model(), images, labels), untrained)
    return (
        f"with the maps of a network of random weights, the rank correlation is only "
        f"{found.mean():.2f} on average."
    )


claim = Claim(
    "The rank correlation of the two maps is only 0.79, so the rounded network looks at "
    "other things than before.",
    {
        "A": Test(
            _other_photographs,
            "More photographs make the number more certain. They do not say whether it is "
            "a large change or a small one.",
        ),
        "B": Test(
            _second_run,
            "Nothing here is random, so this comes out the same for every network. It "
            "rules out a slip, not the claim.",
        ),
        "C": Test(
            _moved_photograph,
            "That refutes the argument: a network that has not changed at all shows a "
            "larger drop. Most of such a drop is grain.",
            could_refute=True,
        ),
        "D": Test(
            _random_weights,
            "So rounding has not destroyed what was learned. But most updates would pass "
            "this test, including one that does change where the network looks.",
        ),
    },
)
