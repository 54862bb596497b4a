"""Checks of lesson 10: one scale, a network of one's own, a run that can be stopped."""

import io
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from .._machinery.arguments import described
from ..images import IMAGENET_MEAN, IMAGENET_STD
from .base import Wrong, call, check_tensor, compare, exercise

# -- exercise 1 ------------------------------------------------------------------------


@exercise("Exercise 1")
def one_scale(answer) -> str:
    """Check `answer(maps)`: from (N, H, W), not negative, to brightness in [0, 1]."""
    random = torch.Generator().manual_seed(1)
    maps = torch.rand(3, 5, 6, generator=random) + 0.2
    maps = maps * torch.tensor([0.1, 2.0, 0.7]).view(3, 1, 1)
    each, low, mean = (f((1, 2), keepdim=True) for f in (maps.amax, maps.amin, maps.mean))
    shifted = (maps - maps.min()) / (maps.max() - maps.min())
    mistakes = {
        "Each map is divided by its own largest value: the weakest picture's map looks as "
        "strong as the others. Divide all of them by the largest of all.": maps / each,
        "Each map is stretched from its own smallest to its own largest value: nothing can "
        "be compared any more, and zero is not zero.": (maps - low) / (each - low),
        "The smallest value became 0. Zero should stay zero: only divide.": shifted,
        "You divide by the sum of each map: a map of few strong pixels and a map of many "
        "weak ones get the same brightness.": maps / maps.sum((1, 2), keepdim=True),
        "You divide each map by its own mean: its strength is lost.": maps / mean,
        "You cut at 1, but divide nothing: all values above 1 become 1.": maps.clamp(0, 1),
        "The maps are unchanged: the largest value of all should become 1.": maps,
    }
    otherwise = "One number divides all maps, and the brightest pixel of all becomes 1."
    result = check_tensor(call(answer, maps), (3, 5, 6))
    compare(result, maps / maps.max(), mistakes, otherwise)
    blank = call(answer, torch.zeros(2, 4, 4))
    if not isinstance(blank, Tensor) or not torch.equal(blank, torch.zeros(2, 4, 4)):
        raise Wrong("Maps of zeros should stay 0; yours become NaN, 0 divided by 0.")
    return "One divisor for all: twice as bright means twice as strong."


# -- exercise 2 ------------------------------------------------------------------------

MEAN, STD = (0.30, 0.45, 0.60), (0.10, 0.15, 0.20)
NAMES = ("wren", "owl", "crane", "duck", "finch")  # not in alphabetical order


def bird_network() -> nn.Module:
    """A small network that minds colours, (N, 3, 8, 8) → (N, 5), in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(199)
        convolution = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU()]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 5)]
        network = nn.Sequential(*convolution, *head)
        network[1].running_mean.normal_(0, 0.5)
        network[6].weight.data.mul_(4)
    return network.train()


def bird_pictures(count: int = 40) -> Tensor:
    """Pictures (count, 8, 8, 3) of `uint8`, each with a colour of its own and grain."""
    random = torch.Generator().manual_seed(4)
    colour = torch.randint(0, 256, (count, 1, 1, 3), generator=random)
    grain = torch.randint(-60, 61, (count, 8, 8, 3), generator=random)
    return (colour + grain).clamp(0, 255).to(torch.uint8)


def bird_scores(colours: Tensor, mean=MEAN, std=STD) -> Tensor:
    """The network's scores (N, 5) for colours (N, 3, H, W), normalised as told."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    with torch.no_grad():
        return bird_network().eval()((colours - mean) / std)


@exercise("Exercise 2")
def read_names(answer) -> str:
    """Check `answer(model, pixels, mean, std, names)`: the N names of the top classes.

    `pixels` is (N, H, W, 3) of `uint8`, RGB.
    """
    pixels, network = bird_pictures(), bird_network()
    result = _as_names(call(answer, network, pixels, MEAN, STD, list(NAMES)), len(pixels))
    right = _named(bird_scores(pixels.permute(0, 3, 1, 2) / 255))
    agree = sum(a == b for a, b in zip(result, right, strict=True))
    hint = f"{agree} of {len(right)} names are right. In this order: / 255, colours to "
    hint += "the front, minus mean, over std, eval(), argmax, names."
    if network[0].training and network[1].num_batches_tracked:  # batch norm has counted
        hint = "The network was still in training mode: batch norm mixes the pictures of a "
        hint += "batch, and dropout changes every answer. Call model.eval() first."
    compare(result, right, _wrong_names(pixels), hint)
    _as_names(call(answer, network, pixels[:1], MEAN, STD, list(NAMES)), 1)
    return "Its own statistics, its own names in its own order, in evaluation mode."


def _wrong_names(pixels: Tensor) -> dict[str, list[str]]:
    """Sentence → the names that one gets by the mistake that it explains."""
    colours = pixels.permute(0, 3, 1, 2) / 255
    mixed = pixels.reshape(len(pixels), 3, *pixels.shape[1:3]) / 255
    scores, plain = bird_scores(colours), bird_scores(colours, (0, 0, 0), (1, 1, 1))
    swapped, large = bird_scores(colours.flip(1)), bird_scores(255 * colours)
    early, late = scores.roll(-1, dims=1), scores.roll(1, dims=1)
    wrong = {
        "Those are ImageNet's mean and std. A network needs those that it was trained "
        "with, here `mean` and `std`.": bird_scores(colours, IMAGENET_MEAN, IMAGENET_STD),
        "The colours are in the order blue, green, red; the network wants RGB.": swapped,
        "The values are still 0 to 255; mean and std want 0 to 1. Divide by 255.": large,
        "The values are not normalised: minus mean, over std.": plain,
        "mean and std are swapped.": bird_scores(colours, STD, MEAN),
        "The axes are mixed up: reshape and view do not move axes; permute(0, 3, 1, 2) "
        "brings the colours to the front.": bird_scores(mixed),
        "That is the class with the lowest score: argmax, not argmin.": -scores,
        "Every name is one too early: the first class has the index 0, not 1.": early,
        "Every name is one too late: the first class has the index 0.": late,
    }
    names = {sentence: _named(values) for sentence, values in wrong.items()}
    alphabetical = "The names are in alphabetical order, not in the network's: use `names`."
    return names | {alphabetical: _named(scores, sorted(NAMES))}


def _named(scores: Tensor, names: Sequence[str] = NAMES) -> list[str]:
    return [names[index] for index in scores.argmax(dim=1).tolist()]


def _as_names(result, count: int) -> list[str]:
    if isinstance(result, str) or not isinstance(result, (list, tuple, Tensor)):
        raise Wrong(f"Expected a list of {count} names, got {described(result)}.")
    if isinstance(result, Tensor) or not all(isinstance(name, str) for name in result):
        raise Wrong("Expected names, not numbers: names[index] for each top class.")
    if len(result) != count:
        raise Wrong(f"Expected one name for each of {count} pictures, got {len(result)}.")
    return list(result)


# -- exercise 3 ------------------------------------------------------------------------

FILES = tuple(f"{word}.map" for word in ("ash", "beech", "cedar", "elm", "fir", "oak"))
OPEN = open


def contents(name: str) -> bytes:
    """What the file `name` should hold."""
    return (name * 300).encode()


class _CutFile(io.FileIO):
    """A file that is being written when the power fails: half of it reaches the disk."""

    def write(self, data) -> int:
        super().write(data[: len(data) // 2])
        raise KeyboardInterrupt


def cut_open(path, mode: str = "r", *more, **settings):
    """`open`, but the power fails while a file is being written."""
    if set(mode) & set("wax+"):
        return _CutFile(path, "w", opener=settings.get("opener"))
    return OPEN(path, mode, *more, **settings)


@exercise("Exercise 3")
def resume(answer) -> str:
    """Check `answer(names, folder, make)`: write the missing files; return how many.

    The power fails in the first file; then, where two are there, `make` is interrupted.
    """
    made = []

    def run(folder: Path, stop_at: str = ""):
        def make(name: str) -> bytes:
            if name == stop_at:
                raise KeyboardInterrupt
            made.append(name)
            return contents(name)

        made.clear()
        with suppress(KeyboardInterrupt):
            return call(answer, list(FILES), folder, make)

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        with mock.patch("io.open", cut_open), mock.patch("builtins.open", cut_open):
            run(Path(one))
        for path in (Path(one) / name for name in FILES):
            if path.exists() and path.read_bytes() != contents(path.name):
                words = f"The power failed while {path.name} was written, and half of it "
                words += "passes for a whole file. Write it under another name, close it, "
                raise Wrong(f"{words}then rename it: draft.replace(folder / name).")
        folder, there = Path(two), [FILES[1], FILES[3]]
        for name in there:
            (folder / name).write_bytes(contents(name))
        run(folder, stop_at=FILES[4])
        if FILES[5] in made:
            raise Wrong("Your function catches the interrupt and goes on. Let it through.")
        _check_made(folder, made, there, FILES[:4])
        result = run(folder)
        _check_made(folder, made, FILES[:4], FILES)
        if extra := {path.name for path in folder.iterdir()} - {*FILES}:
            raise Wrong(f"A file is left over in the folder: {extra.pop()}.")
        if result != 2:
            raise Wrong(f"Two files were missing; your function returns {result!r}.")
    return "Stopped and resumed: nothing missing, nothing half, nothing twice."


def _check_made(folder: Path, made: list[str], there, wanted) -> None:
    """Only what was missing has been made, once, and it is there."""
    for name in made:
        if name in there or made.count(name) > 1:
            raise Wrong(f"{name} was there already and is made again: skip what exists.")
    for name in wanted:
        if not (folder / name).exists():
            lost = "was made, and is lost in the stop: write each file at once."
            missed = "was not made: do not count the files. Ask for each by its name."
            raise Wrong(f"{name} {lost if name in made else missed}")
        if (folder / name).read_bytes() != contents(name):
            raise Wrong(f"{name} does not hold what make({name!r}) gave.")
