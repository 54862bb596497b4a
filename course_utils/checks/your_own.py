"""Checks of lesson 12 and of docs/folders.md, and the lesson's claim."""

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from .._machinery.arguments import described
from ..gradients import guided_backprop, vanilla_saliency
from ..images import IMAGENET_MEAN, IMAGENET_STD, preprocess
from ..models import load_model
from ..samples import Samples, load_samples
from ..shortcuts import brightness_on
from ..targets import predict
from .base import Wrong, about, as_tensor, call, check_tensor, compare, exercise, read
from .claims import Claim, Test
from .reading import whole
from .toys import noise

# -- exercise 1 ------------------------------------------------------------------------


@exercise("Exercise 1")
def one_scale(answer) -> str:
    """Check `answer(maps)`: from (N, H, W), not negative, to brightness in [0, 1]."""
    cases = ((0.1, 2.0, 0.7), (5, 6)), ((4e-4, 2e-5), (4, 3)), ((9.0,), (3, 7))
    for strengths, size in cases:
        maps = noise(len(strengths), *size, seed=len(strengths)).abs() + 0.2
        maps = maps * torch.tensor(strengths).view(-1, 1, 1)
        right, mistakes = _scaled(maps)
        otherwise = "One number divides all maps, and the brightest pixel of all becomes 1."
        result = check_tensor(as_tensor(call(answer, maps)), maps.shape)
        compare(result, right, mistakes, otherwise)
    zeros = torch.zeros(2, 4, 5)
    with about("For maps of zeros"):
        result = as_tensor(call(answer, zeros))
        if isinstance(result, Tensor) and result.isnan().any():
            raise Wrong("Yours become NaN, 0 divided by 0; they should stay 0.")
        compare(check_tensor(result, zeros.shape), zeros, {}, "They should stay 0.")
    return "One divisor for all: twice as bright means twice as strong."


def _scaled(maps: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The right brightness, and sentence → a wrong one."""
    each, low, mean = (f((1, 2), keepdim=True) for f in (maps.amax, maps.amin, maps.mean))
    shifted = (maps - maps.min()) / (maps.max() - maps.min())
    return maps / maps.max(), {
        "Each map is divided by its own largest value: the weakest picture's map looks as "
        "strong as the others. Divide all of them by the largest of all.": maps / each,
        "Each map is stretched from its own smallest to its own largest value: nothing can "
        "be compared any more, and zero is not zero.": (maps - low) / (each - low),
        "The smallest value became 0. Zero should stay zero: only divide.": shifted,
        "You divide by the sum of each map: a map of few strong pixels and a map of many "
        "weak ones come out equally bright.": maps / maps.sum((1, 2), keepdim=True),
        "You divide each map by its own mean: its strength is lost.": maps / mean,
        "You clip at 1 and do not divide: all values above 1 become 1.": maps.clamp(0, 1),
        "The maps are unchanged: the largest value of all should become 1.": maps,
        "You divide by the largest value of the first map; take that of all.": (
            maps / maps[0].max()
        ),
        "You divide by the largest value of the last map; take that of all.": (
            maps / maps[-1].max()
        ),
    }


# -- exercise 2 ------------------------------------------------------------------------


class _Birds(nn.Sequential):
    """A small network that goes by colours, (N, 3, H, W) → (N, classes)."""

    def __init__(self, classes: int, seed: int):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            convolution = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU()]
            head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5)]
            super().__init__(*convolution, *head, nn.Linear(16, classes))
            self[1].running_mean.normal_(0, 0.5)
            self[6].weight.data.mul_(4)


@dataclass(frozen=True)
class Colleague:
    """What a colleague sends: a network, and what one must know to use it."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    names: tuple[str, ...]  # not in alphabetical order
    size: tuple[int, int, int]  # pictures, rows, columns
    seed: int

    def network(self) -> nn.Module:
        """Fresh from its training, in training mode."""
        return _Birds(len(self.names), self.seed).train()

    def pictures(self) -> Tensor:
        """(N, H, W, 3) of `uint8`, each with a colour of its own and grain."""
        random, (count, *size) = torch.Generator().manual_seed(4), self.size
        colour = torch.randint(0, 256, (count, 1, 1, 3), generator=random)
        grain = torch.randint(-60, 61, (count, *size, 3), generator=random)
        return (colour + grain).clamp(0, 255).to(torch.uint8)

    def scores(self, colours: Tensor, mean=None, std=None) -> Tensor:
        """(N, classes) for colours (N, 3, H, W), normalised as told."""
        given = (self.mean if mean is None else mean, self.std if std is None else std)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in given)
        with torch.no_grad():
            return self.network().eval()((colours - mean) / std)

    def named(self, scores: Tensor, names: Sequence[str] | None = None) -> list[str]:
        """The name of each picture's top class."""
        return [(names or self.names)[index] for index in scores.argmax(dim=1).tolist()]


BIRDS = ("wren", "owl", "crane", "duck", "finch"), ("swan", "heron", "tern", "rook")
COLLEAGUES = (
    Colleague((0.30, 0.45, 0.60), (0.10, 0.15, 0.20), BIRDS[0], size=(40, 8, 8), seed=199),
    Colleague((0.60, 0.50, 0.35), (0.25, 0.12, 0.18), BIRDS[1], size=(36, 7, 10), seed=0),
)


@exercise("Exercise 2")
def read_names(answer) -> str:
    """Check `answer(model, pixels, mean, std, names)`: the N names of the top classes.

    `pixels` is (N, H, W, 3) of `uint8`, RGB.
    """
    for one, other in zip(COLLEAGUES, COLLEAGUES[::-1], strict=True):
        pixels = one.pictures()
        right = one.named(one.scores(pixels.permute(0, 3, 1, 2) / 255))
        result, in_training = _ask(answer, one, pixels)
        agree = sum(a == b for a, b in zip(result, right, strict=True))
        hint = f"{agree} of {len(right)} names are right. In this order: / 255, colours to "
        hint += "the front, minus mean, over std, eval(), argmax, names."
        if in_training:
            hint = "The network was still in training mode: batch norm mixes the pictures "
            hint += "of a batch, and dropout changes every answer. Call model.eval() first."
        compare(result, right, _wrong_names(one, other, pixels), hint)
        single, _ = _ask(answer, one, pixels[:1])
        alone = "Alone, a picture gets another name than in a batch."
        compare(single, right[:1], {}, alone)
    return "Its own statistics, its own names in its own order, in evaluation mode."


def _ask(answer, one: Colleague, pixels: Tensor) -> tuple[list[str], bool]:
    """The names that are given, and whether the network was asked in training mode."""
    counted = []  # by batch norm, in that mode alone

    def count(network, *_) -> None:
        counted.append(network[1].num_batches_tracked.item())

    given = one.network(), pixels, one.mean, one.std, list(one.names)
    return _as_names(call(answer, *given, after=count), len(pixels)), counted[0] > 0


def _wrong_names(one: Colleague, other: Colleague, pixels: Tensor) -> dict[str, list[str]]:
    """Sentence → the names that one gets by the mistake that it explains."""
    colours, ask = pixels.permute(0, 3, 1, 2) / 255, one.scores
    scores, plain = ask(colours), ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    mean, std = torch.tensor(one.mean), torch.tensor(one.std)

    def mixed(values: Tensor) -> Tensor:
        return values.reshape(len(values), 3, *values.shape[1:3])

    axes = "reshape and view do not move axes; permute(0, 3, 1, 2) brings the colours to "
    axes += "the front."
    wrong = {
        "Those are ImageNet's mean and std. A network needs those that it was trained "
        "with, here `mean` and `std`.": ask(colours, IMAGENET_MEAN, IMAGENET_STD),
        "The colours are in the order blue, green, red; the network expects RGB.": ask(
            colours.flip(1)
        ),
        "The values are still 0 to 255; `mean` and `std` are for values from 0 to 1. "
        "Divide by 255.": ask(255 * colours),
        "The values are not normalised: minus mean, over std.": ask(colours, *plain),
        "mean and std are swapped.": ask(colours, one.std, one.mean),
        "You use one mean whatever `mean` is.": ask(colours, mean=other.mean),
        "You use one std whatever `std` is.": ask(colours, std=other.std),
        "You use one mean and std whatever is given.": ask(colours, other.mean, other.std),
        f"The axes are mixed up: {axes}": ask(mixed(pixels) / 255),
        f"You normalise well, but then the axes get mixed up: {axes}": ask(
            mixed((pixels / 255 - mean) / std), *plain
        ),
        "Rows and columns are swapped: permute(0, 3, 1, 2).": ask(
            pixels.permute(0, 3, 2, 1) / 255
        ),
        "That is the class with the lowest score: argmax, not argmin.": -scores,
        "Every name is one too early: the first class has the index 0, not 1.": (
            scores.roll(-1, dims=1)
        ),
        "Every name is one too late: the first class has the index 0.": (
            scores.roll(1, dims=1)
        ),
    }
    names = {sentence: one.named(values) for sentence, values in wrong.items()}
    return names | {
        "The names are in alphabetical order, not in the network's: use `names`.": (
            one.named(scores, sorted(one.names))
        ),
        "You use fixed names; use `names`, those of the network.": one.named(
            scores, (*other.names, *one.names)
        ),
    }


def _as_names(result, count: int) -> list[str]:
    if isinstance(result, np.ndarray):
        result = result.tolist()
    if isinstance(result, str) or not isinstance(result, (list, tuple, Tensor)):
        raise Wrong(f"Expected a list of {count} names, got {described(result)}.")
    if isinstance(result, Tensor) or not all(isinstance(name, str) for name in result):
        raise Wrong("Expected names, not numbers: names[index] for each top class.")
    if len(result) != count:
        raise Wrong(f"Expected one name for each of {count} pictures, got {len(result)}.")
    return [str(name) for name in result]


# -- the exercise of docs/folders.md -----------------------------------------------------

FILES = tuple(f"{word}.map" for word in ("ash", "beech", "cedar", "elm", "fir", "oak"))
RENAMES = ("rename", "replace", "link")  # how a whole file can come under its name
HALF = (
    "The power failed while {} was written, and half of it passes for a whole file. Write "
    "it under another name, close it, then rename it: draft.replace(folder / name)."
)
TOO_SOON = (
    "{} gets its name before all of it is in the file, and nothing else: close the draft "
    "before you rename it, and do not reuse one that is left over from a stop."
)
GOES_ON = "Your function catches the interrupt and goes on. Let it through."


def contents(name: str) -> bytes:
    """What the file `name` should hold."""
    return (name * 300).encode()


class _Stop(KeyboardInterrupt):
    """A stop of the program that the check has caused."""


def _run(answer, folder: Path, stop_at: str = "", power_fails: bool = False) -> tuple:
    """What the answer returns, and the names that it has made, until it is stopped.

    It is stopped as it asks for `stop_at`. If `power_fails`, it is stopped as it first
    renames a file, half of which has reached the disk. A file that gets its name in any
    other way could have been there while half written.
    """
    result, made, faults, stops = None, [], [], []
    whole_files = {path.name for path in folder.iterdir()}

    def stop() -> None:
        stops.append(True)
        raise _Stop

    def look() -> None:
        there = {path.name for path in folder.iterdir()} - whole_files
        faults.extend(HALF.format(name) for name in FILES if name in there)

    def make(name: str) -> bytes:
        look()
        faults.extend(GOES_ON for _ in stops)
        if name == stop_at:
            stop()
        made.append(name)
        return contents(name)

    def watched(rename: Callable) -> Callable:
        def run(draft, target, *more, **how):
            draft, target = (Path(os.fsdecode(path)) for path in (draft, target))
            if (name := target.name) in FILES:
                found, right = draft.read_bytes(), contents(name)
                if found != right and (right.startswith(found) or found.endswith(right)):
                    faults.append(TOO_SOON.format(name))
                elif power_fails and not stops:
                    draft.write_bytes(found[: len(found) // 2])
                    stop()
                whole_files.add(name)
            return rename(draft, target, *more, **how)

        return run

    patches = {name: watched(getattr(os, name)) for name in RENAMES}
    with suppress(_Stop), mock.patch.multiple(os, **patches):
        result = call(answer, list(FILES), folder, make)
        look()
    if faults:
        raise Wrong(faults[0])
    return result, made


@exercise("Exercise")
def resume(answer) -> str:
    """Check `answer(names, folder, make)`: write the missing files; return how many.

    The power fails in the first file; then, where two are there, `make` is interrupted.
    """
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        folder = Path(one)
        _run(answer, folder, power_fails=True)
        with about("Run again after a power failure"):
            result, made = _run(answer, folder)
            _check_made(folder, made, (), FILES)
            _check_count(result, len(FILES))
        folder, there = Path(two), [FILES[1], FILES[3]]
        for name in there:
            (folder / name).write_bytes(contents(name))
        _, made = _run(answer, folder, stop_at=FILES[4])
        _check_made(folder, made, there, FILES[:4])
        result, made = _run(answer, folder)
        _check_made(folder, made, FILES[:4], FILES)
        if extra := {path.name for path in folder.iterdir()} - {*FILES}:
            raise Wrong(f"A file is left over in the folder: {extra.pop()}.")
        _check_count(result, 2)
    return "Stopped and resumed: nothing missing, nothing half, nothing twice."


def _check_count(result, missing: int) -> None:
    if read(result, whole, "a whole number, how many files you made") != missing:
        files = "file was" if missing == 1 else "files were"
        raise Wrong(
            f"{missing} {files} missing; your function returns {described(result)}."
        )


def _check_made(folder: Path, made: list[str], there, wanted) -> None:
    """Only what was missing has been made, once, and it is there."""
    for name in made:
        if name in there or made.count(name) > 1:
            raise Wrong(f"{name} was there already and is made again: skip what exists.")
    for name in wanted:
        if not (folder / name).exists():
            lost = (
                "was made and then lost in the stop: write each file as soon as it is made."
            )
            missed = "was not made: do not count the files. Ask for each by its name."
            raise Wrong(f"{name} {lost if name in made else missed}")
        if (folder / name).read_bytes() != contents(name):
            raise Wrong(f"{name} does not hold what make({name!r}) gave.")


# -- the claim -------------------------------------------------------------------------


def opened_by_a_colleague(samples: Samples) -> Tensor:
    """(N, 3, 224, 224): photographs as a colleague's script hands them to a network.

    It opens them with OpenCV, which gives the colours as blue, green, red.
    """
    return preprocess([picture[..., ::-1] for picture in samples.arrays()])


def _second_method() -> str:
    samples = load_samples(13)
    model, images = load_model(), opened_by_a_colleague(samples)
    inside = torch.zeros(len(samples), *images.shape[2:], dtype=torch.bool)
    for mask, box in zip(inside, samples.boxes_at(), strict=True):
        x0, y0, x1, y1 = (max(0, round(edge)) for edge in box)
        mask[y0:y1, x0:x1] = True
    gradient = brightness_on(vanilla_saliency(model, images), inside).mean()
    guided = guided_backprop(model, images).abs().amax(dim=1)
    guided = brightness_on(guided, inside).mean()
    text = f"inside the hand-drawn boxes of {len(samples)} photographs, the gradient is "
    text += f"{gradient:.1f} times as bright as on average, and guided backprop "
    return f"{text}{guided:.1f} times."


def _same_weights() -> str:
    model, again = load_model(), load_model().state_dict()
    model.load_state_dict(again, strict=True)
    return f"all {len(again)} tensors of the checkpoint fit, by name and by shape."


def _known_pictures() -> str:
    model, samples = load_model(), load_samples()
    right = [
        (predict(model, images).shares.argmax(1) == samples.labels).sum().item()
        for images in (opened_by_a_colleague(samples), preprocess(samples.images))
    ]
    text = f"of {len(samples)} photographs whose class is known, {right[0]} are named "
    return f"{text}correctly; in the course the same network named {right[1]} of them."


def _same_map() -> str:
    model, images = load_model(), opened_by_a_colleague(load_samples(5))
    first, second = (vanilla_saliency(model, images) for _ in range(2))
    same = ((first - second).abs().amax((1, 2)) <= 1e-5 * first.amax((1, 2))).sum()
    return f"the second map equals the first on {same} of {len(images)} photographs."


claim = Claim(
    "There was no error, and the maps lie on the animals. So the pictures went into the "
    "network as they should.",
    {
        "A": Test(
            _second_method,
            "Both methods explain the same network on the same input. Any shape with edges "
            "attracts them, in whatever colours, so they would agree either way.",
        ),
        "B": Test(
            _same_weights,
            "So the weights are the right ones, but the question was about the pictures. A "
            "network accepts any picture of the right shape.",
        ),
        "C": Test(
            _known_pictures,
            "Had the pictures gone in as in training, the two counts would agree. The "
            "script opens its pictures with OpenCV, as blue, green, red.",
            could_refute=True,
        ),
        "D": Test(
            _same_map,
            "A wrong input gives the same map each time, too.",
        ),
    },
)
