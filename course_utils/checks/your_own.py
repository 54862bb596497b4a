"""Checks of lesson 10: one scale, a network of one's own, a run that can be stopped."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ..images import IMAGENET_MEAN, IMAGENET_STD
from .base import Wrong, call, check_tensor, compare, exercise

# -- exercise 1 ------------------------------------------------------------------------


@exercise("Exercise 1")
def one_scale(answer) -> str:
    """Check `answer(maps)`: from (N, H, W), not negative, to brightness in [0, 1]."""
    random = torch.Generator().manual_seed(1)
    maps = torch.rand(3, 5, 6, generator=random) + 0.2
    maps = maps * torch.tensor([0.1, 2.0, 0.7]).view(3, 1, 1)
    result = check_tensor(call(answer, maps), (3, 5, 6))
    each = maps.amax((1, 2), keepdim=True)
    low = maps.amin((1, 2), keepdim=True)
    compare(
        result,
        maps / maps.max(),
        {
            "Each map is divided by its own largest value: the weakest picture's map looks "
            "as strong as the others. Divide all of them by the largest of all.": (
                maps / each
            ),
            "Each map is stretched from its own smallest to its own largest value: nothing "
            "can be compared any more, and zero is not zero.": (maps - low) / (each - low),
            "The smallest value of all became 0. Zero should stay zero: only divide.": (
                (maps - maps.min()) / (maps.max() - maps.min())
            ),
            "You divide by the sum of each map: a map of few strong pixels and a map of "
            "many weak ones get the same brightness.": maps
            / maps.sum((1, 2), keepdim=True),
            "That is each map's own mean: strength is lost. Divide all by one number.": (
                maps / maps.mean((1, 2), keepdim=True)
            ),
            "You cut at 1, but the maps are not divided: what lies above 1 becomes the "
            "same.": maps.clamp(0, 1),
            "The maps are as they were: the largest value of all should become 1.": maps,
        },
        "The brightness is not right: one number divides all maps, and the brightest pixel "
        "of all becomes 1.",
    )
    blank = call(answer, torch.zeros(2, 4, 4))
    if not isinstance(blank, Tensor) or not torch.equal(blank, torch.zeros(2, 4, 4)):
        raise Wrong(
            "Maps that are zero everywhere should stay 0; yours become NaN, 0 divided by 0."
        )
    return "One divisor for all: twice as bright means twice as strong."


# -- exercise 2 ------------------------------------------------------------------------

MEAN, STD = (0.30, 0.45, 0.60), (0.10, 0.15, 0.20)
NAMES = ("wren", "owl", "crane", "duck", "finch")  # not in alphabetical order


def bird_network() -> nn.Module:
    """A small network that minds colours; (N, 3, 8, 8) → (N, 5), in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(199)
        network = nn.Sequential(
            nn.Conv2d(3, 16, 3),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(16, 5),
        )
        network[1].running_mean.normal_(0, 0.5)
        network[6].weight.data.mul_(4)
    return network.train()


def bird_pictures(count: int = 40) -> Tensor:
    """Pictures (count, 8, 8, 3) of `uint8`, each in a colour of its own, grained."""
    random = torch.Generator().manual_seed(4)
    colour = torch.randint(0, 256, (count, 1, 1, 3), generator=random)
    grain = torch.randint(-60, 61, (count, 8, 8, 3), generator=random)
    return (colour + grain).clamp(0, 255).to(torch.uint8)


def bird_scores(shares: Tensor, mean=MEAN, std=STD) -> Tensor:
    """The network's scores (N, 5) for colours (N, 3, H, W), normalised as told."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    with torch.no_grad():
        return bird_network().eval()((shares - mean) / std)


@exercise("Exercise 2")
def read_names(answer) -> str:
    """Check `answer(model, pixels, mean, std, names)`: the N names of the top classes.

    `pixels` is (N, H, W, 3) of `uint8`, RGB.
    """
    pixels, network = bird_pictures(), bird_network()
    result = _as_names(call(answer, network, pixels, MEAN, STD, list(NAMES)), len(pixels))
    shares = pixels.permute(0, 3, 1, 2) / 255
    right = _named(bird_scores(shares))
    if result == right:
        _as_names(call(answer, network, pixels[:1], MEAN, STD, list(NAMES)), 1)
        return "Its own statistics, its own names in its own order, at rest."
    for sentence, names in _wrong_names(pixels, shares).items():
        if result == names:
            raise Wrong(sentence)
    if network[0].training and _trained_upon(network):
        raise Wrong(
            "The network was still in training mode: batch norm mixes the pictures of a "
            "batch, and dropout makes every answer another one. Call model.eval() first."
        )
    agree = sum(a == b for a, b in zip(result, right, strict=True))
    raise Wrong(
        f"{agree} of {len(right)} names are right. In this order: / 255, colours to the "
        "front, minus mean, over std, eval(), argmax, names."
    )


def _wrong_names(pixels: Tensor, shares: Tensor) -> dict[str, list[str]]:
    scores = bird_scores(shares)
    mixed = pixels.reshape(len(pixels), 3, *pixels.shape[1:3]) / 255
    by_one = [NAMES[i - 1] for i in scores.argmax(1).tolist()]
    return {
        "Those are ImageNet's mean and std. A network wants those that it was trained "
        "with, here `mean` and `std`.": _named(
            bird_scores(shares, IMAGENET_MEAN, IMAGENET_STD)
        ),
        "The colours are in the order blue, green, red; this network was trained on RGB.": (
            _named(bird_scores(shares.flip(1)))
        ),
        "The values are still 0 to 255; mean and std belong to 0 to 1. Divide by 255.": (
            _named(bird_scores(255 * shares))
        ),
        "The values are not normalised: minus mean, over std.": _named(
            bird_scores(shares, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        ),
        "mean and std have changed places.": _named(bird_scores(shares, STD, MEAN)),
        "The axes are mixed up: reshape or view cuts the numbers anew; permute(0, 3, 1, 2) "
        "brings the colours to the front.": _named(bird_scores(mixed)),
        "Every name is one too early: the first class has the number 0, not 1.": by_one,
        "Every name is one too late: the first class has the number 0.": [
            NAMES[(i + 1) % len(NAMES)] for i in scores.argmax(1).tolist()
        ],
        "The names are in alphabetical order; the network's order is that of its training, "
        "the one in `names`.": _named(scores, sorted(NAMES)),
        "That is the class with the lowest score: argmax, not argmin.": _named(-scores),
    }


def _named(scores: Tensor, names: Sequence[str] = NAMES) -> list[str]:
    return [names[index] for index in scores.argmax(dim=1).tolist()]


def _trained_upon(network: nn.Module) -> bool:
    """Whether pictures went through in training mode: batch norm counts them."""
    return bool(network[1].num_batches_tracked)


def _as_names(result, count: int) -> list[str]:
    if isinstance(result, Tensor):
        raise Wrong("Names are wanted, not numbers: names[index] for each top class.")
    if isinstance(result, str) or not isinstance(result, (list, tuple)):
        raise Wrong(f"A list of {count} names is wanted, not {type(result).__name__}.")
    if len(result) != count:
        raise Wrong(f"One name for each of {count} pictures is wanted, not {len(result)}.")
    if not all(isinstance(name, str) for name in result):
        raise Wrong("Names are wanted, not numbers: names[index] for each top class.")
    return list(result)


# -- exercise 3 ------------------------------------------------------------------------

FILES = tuple(f"{word}.map" for word in ("ash", "beech", "cedar", "elm", "fir", "oak"))


class _Watch:
    """What happens to files below a folder while it is on; told by Python's audit events.

    So a check sees how a file comes about, whatever function a learner writes it with.
    """

    def __init__(self):
        self.folder, self.opened, self.renamed = None, [], []
        self.installed = False

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.folder is None or event not in ("open", "os.rename"):
            return
        if event == "open":
            path, mode, flags = arguments
            writes = any(c in (mode or "") for c in "wax+") or (mode is None and flags & 3)
            if isinstance(path, (str, bytes, Path)) and writes:
                self.opened.append(Path(str(path)).resolve())
        else:
            source, target = (Path(str(a)).resolve() for a in arguments[:2])
            size = source.stat().st_size if source.exists() else -1
            self.renamed.append((source, target, size))

    @contextmanager
    def over(self, folder: Path) -> Iterator["_Watch"]:
        """Watch a folder; a hook cannot be taken away again, only be put to sleep."""
        if not self.installed:
            sys.addaudithook(self)
            self.installed = True
        self.folder, self.opened, self.renamed = folder, [], []
        try:
            yield self
        finally:
            self.folder = None


_watch = _Watch()


class _Maker:
    """Makes what belongs into a file, notes the name, and is interrupted at one of them."""

    def __init__(self, stop_at: str | None = None):
        self.stop_at, self.made = stop_at, []

    def __call__(self, name: str) -> bytes:
        if name == self.stop_at:
            raise KeyboardInterrupt
        self.made.append(name)
        return contents(name)


def contents(name: str) -> bytes:
    """What the file `name` should hold: little, so that it waits in a buffer."""
    return (name * 300).encode()


@exercise("Exercise 3")
def resume(answer) -> str:
    """Check `answer(names, folder, make)`: write the missing files; return how many.

    `make(name)` gives the bytes of a file. Files appear whole or not at all.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        (folder / "notes.txt").write_text("not one of the maps")
        for name in (FILES[1], FILES[3]):
            (folder / name).write_bytes(contents(name))
        there = (FILES[1], FILES[3])
        maker = _Maker(stop_at=FILES[4])
        with _watch.over(folder) as watch:
            _interrupted(answer, folder, maker)
            _check_steps(watch, folder)
        _check_chosen(folder, maker, there, FILES[:4])
        maker = _Maker()
        result = _called(answer, folder, maker)
        _check_chosen(folder, maker, FILES[:4], FILES)
        left = {path.name for path in folder.iterdir()} - {*FILES, "notes.txt"}
        if left:
            raise Wrong(f"A file is left over in the folder: {sorted(left)[0]}.")
        if result != 2:
            raise Wrong(f"Two files were missing; your function returns {result!r}.")
    return "Stopped and resumed: nothing missing, nothing half, nothing twice."


def _called(answer, folder: Path, maker: _Maker):
    return call(answer, list(FILES), folder, maker)


def _interrupted(answer, folder: Path, maker: _Maker) -> None:
    """Call it; it should end with the interrupt that its `make` raises."""
    try:
        _called(answer, folder, maker)
    except KeyboardInterrupt:
        return
    if maker.stop_at not in maker.made and FILES[5] in maker.made:
        raise Wrong(
            "Your function catches the interrupt and goes on: nobody could stop it. Let it "
            "through."
        )
    if FILES[0] not in maker.made:
        _raise_for_missing(folder)


def _check_steps(watch: _Watch, folder: Path) -> None:
    finals = {folder / name for name in FILES}
    early = [path for path in watch.opened if path in finals]
    if early:
        raise Wrong(
            f"{early[0].name} is opened under its final name: killed while it is being "
            "written, half a file would stay and pass for a whole one. Write it under "
            "another name, then os.replace() it."
        )
    for source, target, size in watch.renamed:
        if target not in finals:
            continue
        if source.parent != folder:
            raise Wrong(
                "The draft lies in another folder, perhaps on another disk, where renaming "
                "is copying, or fails. Write it beside the file that it will become."
            )
        if size < len(contents(target.name)):
            raise Wrong(
                f"{target.name} is renamed while its draft is still open: a part of it "
                "waits in a buffer. Close the draft first, then rename it."
            )


def _check_chosen(
    folder: Path, maker: _Maker, there: Sequence[str], wanted: Sequence[str]
) -> None:
    again = [name for name in maker.made if name in there]
    if again:
        raise Wrong(
            f"{again[0]} was there already, and is made again; look for each file by its "
            "name."
        )
    twice = [name for name in maker.made if maker.made.count(name) > 1]
    if twice:
        raise Wrong(f"{twice[0]} is made twice.")
    missing = [name for name in wanted if not (folder / name).exists()]
    if missing and missing[0] in maker.made:
        raise Wrong(
            f"{missing[0]} was made before the interrupt, and is lost: write each file as "
            "soon as it is made."
        )
    if missing:
        _raise_for_missing(folder)
    for name in wanted:
        if (folder / name).read_bytes() != contents(name):
            raise Wrong(f"{name} does not hold what make({name!r}) gave.")


def _raise_for_missing(folder: Path) -> None:
    missing = [name for name in FILES if not (folder / name).exists()]
    raise Wrong(
        f"{missing[0] if missing else FILES[0]} was missing and was not made. Two of the "
        "six files were there, the second and the fourth: their number does not say which "
        "ones are missing. Ask for each by its name."
    )
