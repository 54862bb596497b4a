r"""Class visualization: the picture that a network likes best.

The weights stand still and the picture moves, uphill in the score of a class
(Simonyan, Vedaldi & Zisserman 2013, arXiv:1312.6034, section 2, equation 1):

$$ \arg\max_I \; S_c(I) - \lambda \lVert I \rVert_2^2 . $$

Followed to the letter this gives noise that scores high. What makes pictures that one
recognises is everything that keeps the search away from noise. In the order of lesson 04:

=================== ================================================================
`l2_penalty`        the λ‖I‖² of the equation
`jittered`          the picture shifted a little, anew in each step
`blurred`           high frequencies damped every few steps (Yosinski et al. 2015,
                    arXiv:1506.06579, section 3)
`total_variation`   neighbouring pixels pay for being different (Mahendran & Vedaldi
                    2015, arXiv:1412.0035, section 3)
`fourier_to_rgb`    the picture is written as waves in decorrelated colours, and
`transformed`       seen at random sizes, angles and places (both: Olah, Mordvintsev &
                    Schubert 2017, "Feature Visualization", Distill)
=================== ================================================================

`visualize_class` puts them together.
"""

import json
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from .images import IMAGENET_MEAN, IMAGENET_STD, check_statistics, deprocess, preprocess
from .models import Unit
from .targets import explaining, read_answer, target_scores

PARAMETRIZATIONS = ("fourier", "pixel")
Target = int | Unit | Callable[[Tensor], Tensor]

# The recipe of Stanford's CS231n exercise, as arguments of `visualize_class`; they take
# 100 steps of it.
CS231N = {
    "parametrization": "pixel",
    "l2": 1e-3,
    "jitter": 16,
    "blur_every": 10,
    "tv": 0.0,
    "robust": False,
}

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
class Visualization:
    """A picture that was made for a score, and how it came about.

    Attributes:
        pixels: (1, 3, H, W), normalised: what the network is to be given.
        history: the score at each step, as the network saw the picture in that step.
        settings: the arguments of the run, target and seed among them.
        stopped: whether a callback ended it before its last step.
    """

    pixels: Tensor = field(repr=False)
    history: list[float] = field(repr=False)
    settings: dict
    stopped: bool = False

    @cached_property
    def image(self) -> Image.Image:
        """The picture, RGB."""
        return deprocess(
            self.pixels[0], mean=self.settings["mean"], std=self.settings["std"]
        )

    def save(self, path: str | Path) -> tuple[Path, Path]:
        """Write the picture to `path` and the run's settings beside it, as JSON.

        Both files appear whole or not at all: a failure leaves what was there.

        Args:
            path: of the picture; its ending says the format, ``.png`` where it has none.

        Returns:
            The paths of the picture and of the settings.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: an ending that is no format for pictures.
        """
        path = Path(path).expanduser()
        path = path if path.suffix else path.with_suffix(".png")
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
            raise ValueError(f"path: wants .png, .jpg or .webp, not {path.suffix!r}")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"path: there is no folder {path.parent}")
        notes = path.with_suffix(".json")
        record = {**self.settings, "stopped": self.stopped, "history": self.history}
        drafts = [
            file.with_name(f".{file.name}.draft{file.suffix}") for file in (path, notes)
        ]
        try:
            self.image.save(drafts[0])
            drafts[1].write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            for draft, file in zip(drafts, (path, notes), strict=True):
                draft.replace(file)
        finally:
            for draft in drafts:
                draft.unlink(missing_ok=True)
        return path, notes


def visualize_class(
    model: nn.Module,
    target: Target,
    steps: int = 256,
    size: int = 224,
    parametrization: str = "fourier",
    l2: float = 1e-4,
    jitter: int = 8,
    blur_every: int = 0,
    tv: float = 1e-3,
    robust: bool = True,
    lr: float | None = None,
    seed: int = 0,
    start=None,
    callback: Callable[[int, Visualization], bool | None] | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Visualization:
    r"""Make a picture that scores high: $\arg\max_I S_c(I) - \lambda \lVert I \rVert_2^2$.

    The defaults are a recipe that gives recognisable pictures; ``**CS231N`` is another.
    The same seed gives the same picture on one machine with one number of threads;
    elsewhere rounding grows with every step, and it gives a similar one.

    Args:
        model: a classifier, (N, 3, H, W) → (N, classes); left as it was, also when the
            run is stopped or interrupted.
        target: a class index, a `Unit`, or a function of the outputs that gives one
            score per picture.
        steps: how many; 0 gives the start.
        size: side of the picture in pixels.
        parametrization: ``"fourier"`` (waves in decorrelated colours, by Adam) or
            ``"pixel"`` (the pixels themselves, along the gradient).
        l2: λ of the equation, on the normalised picture.
        jitter: largest shift in pixels, drawn anew in each step; what leaves the picture
            on one side comes in on the other.
        blur_every: blur by half a pixel every so many steps; 0 never.
        tv: weight of the total variation.
        robust: show the network the picture at random sizes, angles and places.
        lr: the learning rate; None takes 0.05 for ``"fourier"``. For ``"pixel"`` it is
            the length of a step in the space of normalised pictures, 25 at 224 pixels.
        seed: of the start and of everything random.
        start: None for noise, or a photograph to start from, whatever `load_image` takes.
        callback: called as ``callback(step, so_far)`` after each step (from 1) with the
            `Visualization` of the moment. If it returns False or raises `StopIteration`,
            the run ends and what there is is returned. Other exceptions, and a
            `KeyboardInterrupt`, go through to the caller.
        mean, std: what the network's pictures were normalised by; ImageNet's unless given.

    Returns:
        A `Visualization`: its `image`, its `history`, and how to save it.

    Raises:
        ValueError, TypeError: whatever does not fit, in one sentence.

    Warns:
        UserWarning: where the score did not react to the picture in any step.

    Example:
        >>> daisy = visualize_class(load_model(), 985)
        >>> daisy.image.size, len(daisy.history)
        ((224, 224), 256)
    """
    settings = {
        k: v for k, v in locals().items() if k not in ("model", "start", "callback")
    }
    _check(settings)
    settings = {name: _plain(value) for name, value in settings.items()}
    settings["start"] = "noise" if start is None else _plain(start)
    random = torch.Generator().manual_seed(int(seed))
    history, stopped = [], False
    with explaining(model):
        weight = next(model.parameters(), torch.zeros(()))
        # Half precision has no Fourier transform and loses short steps.
        fine = torch.promote_types(weight.dtype, torch.float32)
        canvas = _canvas(settings, start, random, weight.to(fine))
        for step in range(1, steps + 1):
            pixels = canvas.pixels()
            seen = jittered(pixels, jitter, random) if jitter else pixels
            seen = transformed(seen, random) if robust else seen
            score = _score(model, seen.to(weight.dtype), target)
            objective = score - l2 * l2_penalty(pixels) if l2 else score
            objective = objective - tv * total_variation(pixels) if tv else objective
            canvas.climb(objective)
            if blur_every and step % blur_every == 0:
                canvas.blur()
            history.append(score.item())
            if callback is not None:
                pixels = canvas.pixels().detach().to(weight.dtype, copy=True)
                so_far = Visualization(pixels, [*history], settings)
                stopped = _asks_to_stop(callback, step, so_far)
                if stopped:
                    break
        pixels = canvas.pixels().detach().to(weight.dtype, copy=True).contiguous()
    if len(history) > 1 and min(history) == max(history):
        warnings.warn(
            f"the score stayed at {history[0]:g} in every step: it did not react to the "
            "picture (a dead ReLU on the way? try another seed)",
            stacklevel=2,
        )
    return Visualization(pixels, history, settings, stopped)


@dataclass(frozen=True)
class Judgement:
    """A network of a picture: the score, probability and rank (1: top) of a class."""

    score: float
    probability: float
    rank: int


def judge(model: nn.Module, pixels: Tensor, target: int) -> Judgement:
    """What `model` makes of a picture, for one class.

    Args:
        model: a classifier; another one than made the picture tells more.
        pixels: (1, 3, H, W), normalised: `Visualization.pixels`, or what `preprocess`
            makes of its `image`.
        target: a class index.

    Example:
        >>> daisy = visualize_class(load_model(), 985)
        >>> judge(load_model(), daisy.pixels, 985).rank
        1
    """
    scores = read_answer(model, pixels, target)[2][0]
    rank = int((scores > scores[target]).sum()) + 1
    return Judgement(scores[target].item(), scores.softmax(0)[target].item(), rank)


# -- what keeps the search away from noise ---------------------------------------------


def l2_penalty(pixels: Tensor) -> Tensor:
    """‖I‖²: the sum of the squares of all values of a normalised picture.

    Zero is the mean colour, so the penalty pulls towards grey.
    """
    return pixels.square().sum()


def jittered(pixels: Tensor, most: int, random: torch.Generator) -> Tensor:
    """The picture shifted by up to `most` pixels down and right, around the border.

    The shift is a part of the graph, so the gradient finds its way back by itself.
    Who shifts the *data* must shift it back after the step.
    """
    shifts = torch.randint(-most, most + 1, (2,), generator=random).tolist()
    return pixels.roll(shifts, dims=(2, 3))


def blurred(pixels: Tensor, sigma: float = BLUR) -> Tensor:
    """The picture blurred by a Gaussian of standard deviation `sigma` pixels."""
    reach = max(1, math.ceil(4 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=pixels.dtype, device=pixels.device)
    bell = torch.exp(-0.5 * (offsets / sigma) ** 2)
    bell = (bell / bell.sum()).expand(pixels.shape[1], 1, 1, -1)
    padded = F.pad(pixels, (reach,) * 4, mode="replicate")
    rows = F.conv2d(padded, bell, groups=pixels.shape[1])
    return F.conv2d(rows, bell.transpose(2, 3), groups=pixels.shape[1])


def total_variation(pixels: Tensor) -> Tensor:
    """The sum of the squared differences of neighbouring values, down and right."""
    down = pixels[..., 1:, :] - pixels[..., :-1, :]
    right = pixels[..., :, 1:] - pixels[..., :, :-1]
    return down.square().sum() + right.square().sum()


def valid_range(
    mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> tuple[Tensor, Tensor]:
    """The normalised values of black and of white, (1, 3, 1, 1) each.

    A normalised picture must be clamped to *these*; 0 and 1 are values of a picture
    that is not normalised.
    """
    mean, std = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)
    return (0 - mean) / std, (1 - mean) / std


def frequencies(size: int) -> Tensor:
    """(size, size // 2 + 1): how many waves a pixel each entry of a spectrum stands for."""
    return torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None])


def fourier_to_rgb(spectrum: Tensor) -> Tensor:
    """From waves to a picture (1, 3, H, W) with values between 0 and 1.

    Every wave is weighed by one over its frequency, as in photographs: a step that is
    equally long for all waves then changes broad shapes more than fine grain.

    Args:
        spectrum: (1, 3, size, size // 2 + 1, 2): the real and imaginary parts of each
            wave in each of three uncorrelated colours.
    """
    size = spectrum.shape[2]
    weights = _wave_weights(size).to(spectrum)
    waves = torch.view_as_complex(spectrum * weights)
    colours = torch.fft.irfft2(waves, s=(size, size), norm="ortho")
    matrix = _colour_matrix().to(spectrum)
    return torch.einsum("rc,nchw->nrhw", matrix, colours).sigmoid()


def rgb_to_fourier(rgb: Tensor) -> Tensor:
    """The spectrum whose picture is `rgb`, (1, 3, H, H) in [0, 1].

    The inverse of `fourier_to_rgb`; pure black and white, which it never reaches, are
    taken a little darker and lighter.
    """
    logits = rgb.clamp(0.02, 0.98).logit()
    inverse = torch.linalg.inv(_colour_matrix()).to(rgb)
    colours = torch.einsum("cr,nrhw->nchw", inverse, logits)
    waves = torch.view_as_real(torch.fft.rfft2(colours, norm="ortho"))
    return waves / _wave_weights(rgb.shape[-1]).to(rgb)


def _wave_weights(size: int) -> Tensor:
    return (1 / frequencies(size).clamp(min=1 / size))[..., None]


def _colour_matrix() -> Tensor:
    matrix = torch.tensor(COLOURS)
    return matrix / matrix.norm(dim=0).max()


def transformed(pixels: Tensor, random: torch.Generator) -> Tensor:
    """The picture at a random size, angle and place; what is uncovered is grey (0)."""
    draw = torch.rand(4, generator=random)
    low, high = (math.log(s) for s in SCALES)
    scale = math.exp(low + (high - low) * draw[0].item())
    angle = math.radians(ANGLE) * (2 * draw[1].item() - 1)
    right, down = (2 * SHIFT * (2 * draw[2:] - 1)).tolist()
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    matrix = torch.tensor([[[cos, -sin, right], [sin, cos, down]]]).to(pixels)
    grid = F.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, align_corners=False)


# -- what moves ------------------------------------------------------------------------


class _PixelCanvas:
    """The normalised pixels themselves: steps of one length along the gradient."""

    def __init__(self, start: Tensor, lr: float, low: Tensor, high: Tensor):
        self.values = start.clone().requires_grad_()
        self.lr, self.low, self.high = lr, low, high

    def pixels(self) -> Tensor:
        return self.values

    def climb(self, objective: Tensor) -> None:
        """One step uphill."""
        gradient = _gradient(objective, self.values)
        norm = gradient.norm().item()
        with torch.no_grad():
            if norm > 0:
                self.values += (self.lr / norm) * gradient
            self.values.clamp_(self.low, self.high)

    def blur(self) -> None:
        with torch.no_grad():
            self.values.copy_(blurred(self.values))


class _FourierCanvas:
    """The waves of the picture, moved by Adam."""

    def __init__(self, spectrum: Tensor, lr: float, mean: Tensor, std: Tensor):
        self.spectrum = spectrum.clone().requires_grad_()
        self.optimizer = torch.optim.Adam([self.spectrum], lr=lr)
        self.mean, self.std = mean, std

    def pixels(self) -> Tensor:
        return (fourier_to_rgb(self.spectrum) - self.mean) / self.std

    def climb(self, objective: Tensor) -> None:
        self.spectrum.grad = -_gradient(objective, self.spectrum)  # Adam goes downhill
        self.optimizer.step()

    def blur(self) -> None:
        size = self.spectrum.shape[2]
        wave = frequencies(size).to(self.spectrum)[..., None]
        with torch.no_grad():  # a Gaussian's transform is a Gaussian
            self.spectrum *= torch.exp(-2 * (math.pi * BLUR * wave) ** 2)


def _canvas(settings: dict, start, random: torch.Generator, weight: Tensor):
    size, lr = settings["size"], settings["lr"]
    mean, std = (
        torch.tensor(settings[k]).view(1, 3, 1, 1).to(weight) for k in ("mean", "std")
    )
    given = None
    if start is not None:
        given = preprocess(start, size, settings["mean"], settings["std"]).to(weight)
    if settings["parametrization"] == "pixel":
        noise = torch.randn(1, 3, size, size, generator=random).to(weight)
        low, high = valid_range(settings["mean"], settings["std"])
        begin = noise if given is None else given
        lr = PIXEL_RATE * size / 224 if lr is None else lr
        return _PixelCanvas(begin, lr, low.to(weight), high.to(weight))
    noise = torch.randn(1, 3, size, size // 2 + 1, 2, generator=random)
    spectrum = 0.01 * noise.to(weight)
    if given is not None:
        spectrum = rgb_to_fourier(given * std + mean)
    return _FourierCanvas(spectrum, FOURIER_RATE if lr is None else lr, mean, std)


def _gradient(objective: Tensor, values: Tensor) -> Tensor:
    return torch.autograd.grad(objective, values)[0]


def _score(model: nn.Module, pixels: Tensor, target: Target) -> Tensor:
    try:
        score = target_scores(model, pixels, target)[0]
    except (ValueError, TypeError) as error:
        text = str(error)
        if not text.startswith("targets:"):
            raise
        raise type(error)(text.replace("targets:", "target:", 1)) from error
    if not score.requires_grad:
        raise ValueError(
            "target: the score has no gradient to the pixels; the graph is cut, by "
            "detach(), no_grad() or a step without a derivative such as argmax"
        )
    return score


def _asks_to_stop(callback: Callable, step: int, so_far: Visualization) -> bool:
    try:
        return callback(step, so_far) is False
    except StopIteration:
        return True


# -- checks of the arguments -----------------------------------------------------------


def _check(settings: dict) -> None:
    """Refuse what cannot be meant, in one sentence that names the argument."""
    target = settings["target"]
    if isinstance(target, bool) or not (
        isinstance(target, (Integral, Unit)) or callable(target)
    ):
        raise TypeError(
            "target: wants a class index, a Unit or a function of the outputs, "
            f"not {target!r}"
        )
    if settings["parametrization"] not in PARAMETRIZATIONS:
        raise ValueError(
            f"parametrization: wants one of {', '.join(PARAMETRIZATIONS)}, "
            f"not {settings['parametrization']!r}"
        )
    for name, least in (("steps", 0), ("size", 8), ("jitter", 0), ("blur_every", 0)):
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name}: wants a whole number from {least}, not {value!r}")
    if isinstance(settings["seed"], bool) or not isinstance(settings["seed"], Integral):
        raise ValueError(f"seed: wants a whole number, not {settings['seed']!r}")
    for name in ("l2", "tv", "lr"):
        value = settings[name]
        if name == "lr" and value is None:
            continue
        if not isinstance(value, Real) or not 0 <= value < math.inf:
            raise ValueError(f"{name}: wants a number from 0, not {value!r}")
    check_statistics(settings["mean"], settings["std"])


def _plain(value):
    """What of an argument can be kept in a file of settings."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, (Unit, Path)):
        return str(value)
    if isinstance(value, (tuple, list)):
        return tuple(_plain(each) for each in value)
    return getattr(value, "__name__", type(value).__name__)
