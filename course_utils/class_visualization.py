r"""Class visualization: the image that a network likes best.

The weights stand still and the image moves, uphill in the score of a class
(Simonyan, Vedaldi & Zisserman 2013, arXiv:1312.6034, section 2, equation 1):

$$ \arg\max_I \; S_c(I) - \lambda \lVert I \rVert_2^2 . $$

Followed to the letter this gives noise that scores high. What makes images that people
recognise is everything that keeps the search away from noise. In the order of lesson 04:

=================== ================================================================
`l2_penalty`        the λ‖I‖² of the equation
`jittered`          the image shifted a little, at random in each step
`blurred`           high frequencies damped every few steps (Yosinski et al. 2015,
                    arXiv:1506.06579, section 3)
`total_variation`   a price for neighbouring pixels that differ (Mahendran & Vedaldi
                    2015, arXiv:1412.0035, section 3)
`fourier_to_rgb`    the image written as waves in decorrelated colours, and
`transformed`       seen at random sizes, angles and places (both: Olah, Mordvintsev &
                    Schubert 2017, "Feature Visualization", Distill)
=================== ================================================================

`visualize_class` puts them together. `pixels` is one normalised image, (1, 3, H, W); an
argument that does not fit raises an `ArgumentError`.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from numbers import Integral
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ._machinery.arguments import ArgumentError, choice, described, naming, number, warn
from ._machinery.files import write_whole
from ._machinery.fills import blurred
from ._machinery.progress import Progress, goes_on
from .images import deprocess, preprocess, statistics
from .inputs import IMAGENET_MEAN, IMAGENET_STD, Inputs, inputs_for
from .models import Unit
from .targets import check_images, explaining, forward, predict, seeded

PARAMETRIZATIONS = ("fourier", "pixel")
Target = int | Unit | Callable[[Tensor], Tensor]

BLUR = 0.5  # standard deviation in pixels
PIXEL_RATE = 25.0  # length of a step, at 224 pixels
FOURIER_RATE = 0.05  # of Adam
SCALES = (0.85, 1.15)  # `transformed`: sizes,
ANGLE = 10.0  # degrees to either side,
SHIFT = 0.06  # and share of the side to move by

# Square root of the covariance of ImageNet's colours (as in Lucid, Olah et al. 2017):
# its columns lead from uncorrelated colours to red, green and blue.
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


@dataclass(frozen=True)
class Recipe:
    """How to search; ``visualize_class(model, target, **asdict(recipe))`` runs it."""

    steps: int = 256  # 0 gives the start
    size: int | tuple[int, int] = 224  # side of the image in pixels, or (height, width)
    parametrization: str = "fourier"  # waves, by Adam; or "pixel", along the gradient
    l2: float = 1e-4  # λ of the equation, on the normalised image
    jitter: int = 8  # largest shift in pixels, around the border, random in each step
    blur_every: int = 0  # blur by half a pixel every so many steps; 0 is never
    tv: float = 1e-3  # weight of the total variation
    robust: bool = True  # show the image at random sizes, angles and places
    # Of Adam, 0.05 unless given; or the length of a pixel step, 25 at 224 pixels:
    lr: float | None = None
    seed: int = 0  # of the start and of everything random
    mean: Sequence[float] = IMAGENET_MEAN  # what the network's images were normalised by
    std: Sequence[float] = IMAGENET_STD

    def __post_init__(self):
        inputs = Inputs(self.size, self.mean, self.std)
        for side in inputs.sides:
            number("size", side, 8, whole=True)
        plain = {"size": inputs.size, "mean": inputs.mean, "std": inputs.std}
        plain["robust"] = bool(self.robust)
        choice("parametrization", self.parametrization, PARAMETRIZATIONS)
        lowest = {"steps": 0, "jitter": 0, "blur_every": 0, "seed": -math.inf}
        for name, low in lowest.items():
            plain[name] = number(name, getattr(self, name), low, whole=True)
        for name in ("l2", "tv") if self.lr is None else ("l2", "tv", "lr"):
            plain[name] = number(name, getattr(self, name), low=0)
        for name, value in plain.items():
            object.__setattr__(self, name, value)


# The recipe of Stanford's CS231n exercise (100 steps), as arguments of `visualize_class`.
CS231N = {"parametrization": "pixel", "l2": 1e-3, "jitter": 16, "blur_every": 10}
CS231N |= {"tv": 0.0, "robust": False}


@dataclass(frozen=True)
class Visualization:
    """An image that was made for a score, and how it came about."""

    pixels: Tensor = field(repr=False)  # what the network is to be given
    history: list[float] = field(repr=False)  # the score of what it saw in each step
    settings: dict  # the fields of the `Recipe`, and the target and the start in words
    stopped: bool = False  # `progress` ended it early

    @cached_property
    def image(self) -> Image.Image:
        """The image as a picture, RGB."""
        mean, std = self.settings["mean"], self.settings["std"]
        return deprocess(self.pixels[0], mean=mean, std=std)

    def save(self, path: str | Path) -> tuple[Path, Path]:
        """Write the picture and, next to it, the run's settings as JSON: their two paths.

        The ending of `path` sets the format; it is ``.png`` where there is none. Both files
        appear whole or not at all. Raises a `FileNotFoundError` where there is no folder.
        """
        path = Path(path).expanduser()
        path = path if path.suffix else path.with_suffix(".png")
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
            words = f"must end in .png, .jpg or .webp, got {path.name!r}"
            raise ArgumentError("path", words)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent}")
        record = {**self.settings, "stopped": self.stopped, "history": self.history}
        text, notes = json.dumps(record, indent=1) + "\n", path.with_suffix(".json")

        def write(draft: Path) -> None:
            draft.write_text(text, encoding="utf-8")
            write_whole(path, self.image.save)

        write_whole(notes, write)
        return path, notes


def visualize_class(
    model: nn.Module,
    target: Target,
    steps: int = Recipe.steps,
    size: int | tuple[int, int] | None = None,
    parametrization: str = Recipe.parametrization,
    l2: float = Recipe.l2,
    jitter: int = Recipe.jitter,
    blur_every: int = Recipe.blur_every,
    tv: float = Recipe.tv,
    robust: bool = Recipe.robust,
    lr: float | None = Recipe.lr,
    seed: int = Recipe.seed,
    start=None,
    progress: Progress | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    inputs: Inputs | None = None,
) -> Visualization:
    r"""Make an image that scores high: $\arg\max_I S_c(I) - \lambda \lVert I \rVert_2^2$.

    The same seed gives the same image on one machine with one number of threads;
    elsewhere rounding grows with every step, and it gives a similar one. A warning says
    when the score did not react to the image in any step.

    Args:
        target: a class index, a `Unit`, or a function ``outputs -> (1,)``, the score.
        steps, …, seed: the fields of a `Recipe`, whose defaults give recognisable
            pictures; ``**CS231N`` is another one.
        size, mean, std: of the image, as in `Inputs`; by default those of `inputs`, or
            else of the network (see `inputs_for`).
        start: None for noise, or a photograph to start from, whatever `load_image` takes.
        progress: called after each step with the `Visualization` of the moment.

    Example:
        >>> daisy = visualize_class(load_model(), 985)
        >>> daisy.image.size, len(daisy.history)
        ((224, 224), 256)
    """
    _check_target(target)
    against_noise = l2, jitter, blur_every, tv, robust
    inputs = inputs_for(model, inputs, size=size, mean=mean, std=std)
    search = steps, inputs.size, parametrization, *against_noise, lr, seed
    recipe = Recipe(*search, inputs.mean, inputs.std)
    settings = {"target": _noted(target), **asdict(recipe)}
    settings["start"] = "noise" if start is None else _noted(start)
    random = seeded(recipe.seed)
    history, stopped = [], False
    floats = (p for p in model.parameters() if p.is_floating_point())
    weight = next(floats, torch.zeros(()))
    with explaining(model), naming(targets="target"):
        canvas = _canvas(recipe, start, random, weight)
        with torch.no_grad():
            check_images(model, _snapshot(canvas, weight), target)
    for step in range(1, recipe.steps + 1):
        with explaining(model), naming(targets="target"):
            score = _climb(model, canvas, recipe, target, random, weight)
            if recipe.blur_every and step % recipe.blur_every == 0:
                canvas.blur()
        history.append(score)
        if progress is not None:
            so_far = Visualization(_snapshot(canvas, weight), [*history], settings)
            if stopped := not goes_on(progress, step, recipe.steps, so_far):
                break
    pixels = _snapshot(canvas, weight)
    if len(history) > 1 and min(history) == max(history):
        dead = "it did not react to the image, perhaps because a ReLU on the path is dead"
        warn(f"the score stayed at {history[0]:g} in every step: {dead}; try another seed")
    return Visualization(pixels, history, settings, stopped)


def _climb(model, canvas, recipe: Recipe, target: Target, random, weight) -> float:
    """One step uphill; returns the score of what the network saw."""
    pixels = canvas.pixels()
    seen = jittered(pixels, recipe.jitter, random) if recipe.jitter else pixels
    seen = transformed(seen, random) if recipe.robust else seen
    score = _score(model, seen.to(weight.dtype, copy=True), target)
    objective = score - recipe.l2 * l2_penalty(pixels)
    if recipe.tv:
        objective = objective - recipe.tv * total_variation(pixels)
    canvas.climb(objective)
    return score.item()


def _check_target(target) -> None:
    whole = isinstance(target, Integral) and not isinstance(target, bool)
    if not (whole or isinstance(target, Unit) or callable(target)):
        words = "must be a class index, a Unit or a function of the outputs"
        raise ArgumentError("target", f"{words}, got {described(target)}")


def _noted(value) -> int | str:
    """A target or a start as the settings of a run state it."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, (str, Path, Unit)):
        return str(value)
    return getattr(value, "__name__", type(value).__name__)


def _score(model: nn.Module, pixels: Tensor, target: Target) -> Tensor:
    score = forward(model, pixels, target).scores[0]
    if not score.requires_grad:
        cut = "the graph is cut, by detach(), no_grad() or a step such as argmax"
        raise ArgumentError("target", f"must be a score that has a gradient; {cut}")
    return score


@dataclass(frozen=True)
class Judgement:
    """What a network makes of an image: score, probability and rank (1: top) of a class."""

    score: float
    probability: float
    rank: int


def judge(model: nn.Module, pixels: Tensor, target: int) -> Judgement:
    """What `model` makes of an image; one that it was not made with tells more.

    Example:
        >>> daisy = visualize_class(load_model(), 985)
        >>> judge(load_model(), daisy.pixels, 985).rank
        1
    """
    with naming(targets="target", images="pixels"):
        answer = predict(model, pixels, target)
    scores, share = answer.outputs[0], answer.shares[0, target].item()
    rank = int((scores > scores[target]).sum()) + 1
    return Judgement(scores[target].item(), share, rank)


# -- what keeps the search away from noise ---------------------------------------------


def l2_penalty(pixels: Tensor) -> Tensor:
    """‖I‖²: the sum of all squared values. Zero is the mean colour, so it pulls to grey."""
    return pixels.square().sum()


def jittered(pixels: Tensor, most: int, random: torch.Generator) -> Tensor:
    """The image shifted by up to `most` pixels down and right, around the border."""
    shifts = torch.randint(-most, most + 1, (2,), generator=random).tolist()
    return pixels.roll(shifts, dims=(2, 3))


def total_variation(pixels: Tensor) -> Tensor:
    """The sum of the squared differences of neighbouring values, down and right."""
    down = pixels[..., 1:, :] - pixels[..., :-1, :]
    right = pixels[..., :, 1:] - pixels[..., :, :-1]
    return down.square().sum() + right.square().sum()


def valid_range(
    mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> tuple[Tensor, Tensor]:
    """The normalised values of black and white, (1, C, 1, 1) each: what to clamp to."""
    mean, std = statistics(Inputs(mean=mean, std=std))
    return (0 - mean) / std, (1 - mean) / std


def frequencies(height: int, width: int | None = None) -> Tensor:
    """(height, width // 2 + 1): the waves per pixel of each entry of a spectrum."""
    down, across = torch.fft.fftfreq(height), torch.fft.rfftfreq(width or height)
    return torch.hypot(down[:, None], across[None])


def fourier_to_rgb(spectrum: Tensor, width: int | None = None) -> Tensor:
    """From waves to an image (1, C, height, width) with values between 0 and 1.

    `spectrum`, (1, C, height, width // 2 + 1, 2), holds the real and imaginary parts of
    each wave, of three channels in uncorrelated colours. Every wave is divided by its
    frequency, as in photographs: equal steps for all then change broad shapes more than
    fine grain. The image is a square unless `width` is given.
    """
    height, width = spectrum.shape[2], width or spectrum.shape[2]
    waves = torch.view_as_complex(spectrum * _wave_weights(height, width).to(spectrum))
    colours = torch.fft.irfft2(waves, s=(height, width), norm="ortho")
    matrix = _colour_matrix(spectrum.shape[1]).to(spectrum)
    return torch.einsum("rc,nchw->nrhw", matrix, colours).sigmoid()


def rgb_to_fourier(rgb: Tensor) -> Tensor:
    """The inverse of `fourier_to_rgb`; black and white, never reached, become greyer."""
    inverse = torch.linalg.inv(_colour_matrix(rgb.shape[1])).to(rgb)
    colours = torch.einsum("cr,nrhw->nchw", inverse, rgb.clamp(0.02, 0.98).logit())
    waves = torch.view_as_real(torch.fft.rfft2(colours, norm="ortho"))
    return waves / _wave_weights(*rgb.shape[2:]).to(rgb)


def _wave_weights(height: int, width: int) -> Tensor:
    return (1 / frequencies(height, width).clamp(min=1 / max(height, width)))[..., None]


def _colour_matrix(channels: int) -> Tensor:
    """From uncorrelated colours to red, green and blue; other channels stay as they are."""
    matrix = torch.tensor(COLOURS) if channels == 3 else torch.eye(channels)
    return matrix / matrix.norm(dim=0).max()


def transformed(pixels: Tensor, random: torch.Generator) -> Tensor:
    """The image at a random size, angle and place; what is uncovered is grey (0)."""
    draw = torch.rand(4, generator=random)
    low, high = (math.log(s) for s in SCALES)
    scale = math.exp(low + (high - low) * draw[0].item())
    angle = math.radians(ANGLE) * (2 * draw[1].item() - 1)
    right, down = (2 * SHIFT * (2 * draw[2:] - 1)).tolist()
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    slant = pixels.shape[2] / pixels.shape[3]  # the grid runs from -1 to 1 on both sides
    matrix = torch.tensor([[[cos, -sin * slant, right], [sin / slant, cos, down]]])
    matrix = matrix.to(pixels)
    grid = F.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, align_corners=False)


# -- what moves ------------------------------------------------------------------------


def _canvas(recipe: Recipe, start, random: torch.Generator, weight: Tensor):
    """The noise or photograph to begin with, on the device of the network's weights."""
    # Half precision has no Fourier transform and loses short steps.
    like = weight.to(torch.promote_types(weight.dtype, torch.float32))
    given = None
    if start is not None:
        with naming(images="start"):
            given = preprocess(start, recipe.size, recipe.mean, recipe.std).to(like)
    canvas = {"fourier": _FourierCanvas, "pixel": _PixelCanvas}[recipe.parametrization]
    return canvas(recipe, given, random, like)


def _snapshot(canvas, weight: Tensor) -> Tensor:
    return canvas.pixels().detach().to(weight.dtype, copy=True).contiguous()


class _PixelCanvas:
    """The normalised pixels themselves: steps of one length along the gradient."""

    def __init__(self, recipe: Recipe, given: Tensor | None, random, like: Tensor):
        inputs = Inputs(recipe.size, recipe.mean, recipe.std)
        noise = torch.randn(1, inputs.channels, *inputs.sides, generator=random).to(like)
        self.values = (noise if given is None else given).requires_grad_()
        self.low, self.high = (v.to(like) for v in valid_range(recipe.mean, recipe.std))
        side = math.sqrt(math.prod(inputs.sides))
        self.lr = PIXEL_RATE * side / 224 if recipe.lr is None else recipe.lr

    def pixels(self) -> Tensor:
        return self.values

    def climb(self, objective: Tensor) -> None:
        (gradient,) = torch.autograd.grad(objective, self.values)
        norm = gradient.norm().item()
        with torch.no_grad():
            if norm > 0:
                self.values += (self.lr / norm) * gradient
            self.values.clamp_(self.low, self.high)

    def blur(self) -> None:
        with torch.no_grad():
            self.values.copy_(blurred(self.values, BLUR))


class _FourierCanvas:
    """The waves of the image, moved by Adam."""

    def __init__(self, recipe: Recipe, given: Tensor | None, random, like: Tensor):
        inputs = Inputs(recipe.size, recipe.mean, recipe.std)
        height, self.width = inputs.sides
        shape = (1, inputs.channels, height, self.width // 2 + 1, 2)
        spectrum = 0.01 * torch.randn(shape, generator=random).to(like)
        self.mean, self.std = (values.to(like) for values in statistics(inputs))
        if given is not None:
            spectrum = rgb_to_fourier(given * self.std + self.mean)
        self.spectrum = spectrum.requires_grad_()
        lr = FOURIER_RATE if recipe.lr is None else recipe.lr
        self.optimizer = torch.optim.Adam([self.spectrum], lr)

    def pixels(self) -> Tensor:
        return (fourier_to_rgb(self.spectrum, self.width) - self.mean) / self.std

    def climb(self, objective: Tensor) -> None:
        (gradient,) = torch.autograd.grad(objective, self.spectrum)
        self.spectrum.grad = -gradient  # Adam goes downhill
        self.optimizer.step()

    def blur(self) -> None:
        waves = frequencies(self.spectrum.shape[2], self.width)
        wave = waves.to(self.spectrum)[..., None]
        with torch.no_grad():  # a Gaussian's transform is a Gaussian
            self.spectrum *= torch.exp(-2 * (math.pi * BLUR * wave) ** 2)
