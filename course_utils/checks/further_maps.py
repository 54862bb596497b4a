"""Checks of lesson 08: a path integral, Grad-CAM, and a claim about a baseline."""

import torch
from torch import Tensor, nn

from .._machinery.fills import fill_picture
from ..figures import smooth
from ..images import preprocess
from ..inputs import own_inputs
from ..models import load_model
from ..more_maps import integrated_gradients
from ..samples import load_samples
from ..targets import predict
from .base import (
    as_tensor,
    call,
    check_tensor,
    compare,
    compare_tensor,
    each_argument,
    exercise,
)
from .claims import Claim, Test
from .reading import written_in
from .toys import noise, other_classes

# -- exercise 1 ------------------------------------------------------------------------


class _Bends(nn.Module):
    """score = Σ w·x³ + v·max(0, x): its slope bends and jumps, so every point matters.

    It counts the pictures whose gradients are taken.
    """

    def __init__(self, w: Tensor, v: Tensor):
        super().__init__()
        self.w, self.v, self.asked = w, v, 0  # (classes, 3, H, W)

    def forward(self, x: Tensor) -> Tensor:
        """From (N, 3, H, W) to scores (N, classes)."""
        if x.requires_grad:
            x = x.clone()  # a hook on the caller's own tensor would stay there
            x.register_hook(self._count)
        return (x.unsqueeze(1) ** 3 * self.w + x.unsqueeze(1).relu() * self.v).sum(
            (2, 3, 4)
        )

    def _count(self, gradient: Tensor) -> None:
        self.asked += len(gradient)


@exercise("Exercise 1")
def integrate(answer) -> str:
    """Check `answer(model, image, baseline, target, steps)`: integrated gradients."""
    for seed, (size, target, steps) in enumerate((((5, 6), 1, 7), ((6, 4), 2, 40))):
        image, start = noise(2, 3, *size, seed=seed).split(1)
        w, v = noise(6, 3, *size, seed=seed + 2).split(3)
        network, path = _Bends(w, v), _Path(w, v, image, start, target, steps)
        right = path.through(path.middles)
        mistakes = path.wrong_points() | path.wrong_uses()
        result, asked = _integrated(answer, network, image, start, target, steps)
        total, wanted = result.sum().item(), right.sum().item()
        otherwise = "With the gradients at α = (k + ½) / steps the map sums to "
        otherwise += f"{wanted:.2f}; yours sums to {total:.2f}."
        if asked not in (0, steps):
            otherwise = f"`steps` is {steps}, and you take {asked} gradients: use `steps`."
        compare(result, right, mistakes, otherwise)
    with torch.no_grad():
        risen = (network(image) - network(start))[0, target].item()
    return f"It sums to {total:.1f}; the score rises by {risen:.1f}."


def _integrated(answer, network: _Bends, image: Tensor, *more) -> tuple[Tensor, int]:
    """The answer's map, and how many gradients it has taken."""
    asked = []
    result = call(
        answer, network, image, *more, after=lambda model, *_: asked.append(model.asked)
    )
    return check_tensor(as_tensor(result), image.shape), asked[0]


class _Path:
    """What integrated gradients give on `_Bends`, in the right and in wrong ways."""

    def __init__(self, w, v, image, start, target: int, steps: int):
        self.w, self.v, self.image, self.start = w, v, image, start
        self.way, self.target, self.steps = image - start, target, steps
        self.middles = self.each_step(0.5)

    def each_step(self, offset: float, steps: int | None = None) -> Tensor:
        steps = steps or self.steps
        return (torch.arange(steps) + offset) / steps

    def through(self, alphas, of=None, start=None, way=None, times=None) -> Tensor:
        """Mean of `times` (the way) · slope of class `of` at the points start + α · way."""
        way, of = self.way if way is None else way, self.target if of is None else of
        points = torch.as_tensor(alphas).view(-1, 1, 1, 1) * way
        points = points + (self.start if start is None else start)
        slopes = 3 * self.w[of] * points**2 + self.v[of] * (points > 0)
        return (slopes * (self.way if times is None else times)).mean(0, keepdim=True)

    def wrong_points(self) -> dict[str, Tensor]:
        """Sentence → the map, if one takes the gradients at other points."""
        count, middles = self.steps, "take the middles, α = (k + ½) / steps."
        left, right = (self.through(self.each_step(offset)) for offset in (0, 1))
        ends = self.through(torch.linspace(0, 1, count + 1))
        return {
            f"You take the left ends of the steps; {middles}": left,
            f"You take the right ends of the steps; {middles}": right,
            f"You take the mean of the steps' two ends; {middles}": (left + right) / 2,
            f"You add {count + 1} gradients and divide by {count}; {middles}": ends
            * (count + 1)
            / count,
            f"Your first and last points are the ends of the path; {middles}": ends,
            f"Your {count} points include both ends of the path; {middles}": self.through(
                torch.linspace(0, 1, count)
            ),
            "The gradient at the picture itself is not the path's mean.": self.through(
                [1.0]
            ),
            "The gradient at the baseline alone is not the path's mean.": self.through(
                [0.0]
            ),
            "The gradient in the middle of the path alone is not its mean.": self.through(
                [0.5]
            ),
            "The gradients at both ends alone are not the path's mean.": self.through(
                [0.0, 1.0]
            ),
            "Your points leave the path: write (k + 0.5) / steps, with the brackets.": (
                self.through(torch.arange(count) + 0.5 / count)
            ),
        } | written_in(
            "You take {} steps whatever `steps` is.",
            {7, 10, 16, 20, 25, 30, 32, 40, 50, 64, 100, 128, 200, 256} - {count},
            lambda steps: self.through(self.each_step(0.5, steps)),
        )

    def wrong_uses(self) -> dict[str, Tensor]:
        """Sentence → the map, if one does something else with the right points."""
        alphas, zero, right = self.middles, 0 * self.image, self.through(self.middles)
        return {
            "That is the mean gradient along the path: multiply by image − baseline.": (
                self.through(alphas, times=1)
            ),
            "You add the gradients up; divide by the number of steps.": self.steps * right,
            "You multiply by the image; multiply by image − baseline.": self.through(
                alphas, times=self.image
            ),
            "Your path starts at zero, whatever the baseline; add it.": self.through(
                alphas, start=zero, way=self.image
            ),
            "Your points lack the baseline; add it: baseline + α · (image − baseline).": (
                self.through(alphas, start=zero)
            ),
            "Your points lead away from the image: baseline + α · (image − baseline).": (
                self.through(alphas, way=-self.way, times=self.way)
            ),
            "Your path begins at the image; it begins at the baseline.": self.through(
                alphas, start=self.image
            ),
            "You multiply each gradient by its point; multiply by image − baseline.": (
                self.through(alphas, times=self.start + alphas.view(-1, 1, 1, 1) * self.way)
            ),
            "Your path ignores the baseline altogether: it runs from zero.": self.through(
                alphas, start=zero, way=self.image, times=self.image
            ),
            "The sign is flipped: the path runs from the baseline to the image.": -right,
            "Keep the signs, or the sum is not the difference of the scores.": right.abs(),
        } | other_classes(
            _Bends(self.w, self.v),
            self.image,
            self.target,
            lambda c: self.through(alphas, c),
        )


# -- exercise 2 ------------------------------------------------------------------------


@exercise("Exercise 2")
def weigh_channels(answer) -> str:
    """Check `answer(channels, gradient)`: Grad-CAM's coarse map, (1, rows, columns)."""
    for count, rows, columns in ((4, 3, 5), (6, 4, 2)):
        a, gradient = (noise(1, count, rows, columns, seed=count + n) for n in (0, 1))
        a = a.relu()
        right, mistakes = _weighed(a, gradient)
        otherwise = "Take one weight per channel, the weighted sum, then max(0, …)."
        case, other = {"channels": a, "gradient": gradient}, noise(*a.shape, seed=9)
        shapes = {
            a.shape: "Add the weighted channels up: sum over axis 1.",
            a.shape[1:]: "Axis 0 counts the pictures, axis 1 the channels; the places are "
            "axes 2 and 3.",
        }
        with each_argument(answer, case, gradient=-gradient, channels=other.relu()):
            result = as_tensor(call(answer, a, gradient))
            if isinstance(result, Tensor) and result.numel() == rows * columns:
                result = result.reshape(1, rows, columns)  # further axes of length 1
            compare_tensor(result, right, mistakes, otherwise, shapes)
    return "One weight per channel, a sum, and nothing below zero."


def _weighed(a: Tensor, gradient: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The right map, and sentence → a wrong one."""
    w = gradient.mean((2, 3), keepdim=True)
    total, across = (w * a).sum(1), gradient.mean(1) * a.sum(1)
    places, count = gradient[0, 0].numel(), len(a[0])
    return total.relu(), {
        "The last step is missing: max(0, …) keeps only what speaks for the class.": total,
        "Absolute values show what speaks against the class; cut it off.": total.abs(),
        "That is a mean over the channels; take it over axes 2 and 3.": across.relu(),
        "Not place by place: take the gradient's mean first.": (gradient * a).sum(1).relu(),
        "Cut off after the sum over channels, not before.": (w * a).relu().sum(1),
        "Channels may speak against: keep the weights' signs.": (w.abs() * a).sum(1),
        "Do not cut off the gradient: a weight may be below zero.": (
            gradient.relu().mean((2, 3), keepdim=True) * a
        ).sum(1),
        "Channels and gradient are swapped: the weights are means of the gradient.": (
            (a.mean((2, 3), keepdim=True) * gradient).sum(1).relu()
        ),
        "Do not divide by the largest value.": total.relu() / total.max(),
        "You sum the gradient over the places; take its mean.": places * total.relu(),
        "Add the channels up; you average them.": total.relu() / count,
        "That is the sum of the channels without their weights.": a.sum(1),
    }


# -- the claim -------------------------------------------------------------------------


def _shepherd() -> tuple[nn.Module, Tensor, int, Tensor]:
    """The network, the photograph (1, 3, 224, 224), its class, and its dark pixels."""
    model, sample = load_model(), load_samples(names="german_shepherd")
    image = preprocess(sample.images)
    return model, image, int(sample.labels), (image * 0.225 + 0.45).mean(1) < 0.2


def _from_black(steps: int) -> Tensor:
    model, image, dog, _ = _shepherd()
    return integrated_gradients(model, image, dog, steps, _black(model, image))


def _black(model: nn.Module, image: Tensor) -> Tensor:
    return fill_picture("black", image, own_inputs(model))[0]


def _share(strength: Tensor) -> str:
    dark = _shepherd()[3]
    return f"{strength[dark].sum() / strength.sum():.0%}"


def _sums() -> str:
    model, image, dog, _ = _shepherd()
    both = torch.cat([_black(model, image)[None], image])
    low, high = predict(model, both, dog).scores.tolist()
    total = _from_black(32).sum().item()
    return f"The values sum to {total:.1f}, and the score rises by {high - low:.1f}."


def _more_steps() -> str:
    few, many = (_share(_from_black(steps).sum(1).abs()) for steps in (16, 64))
    return f"With 16 steps {few} of the map lies on dark pixels, with 64 steps {many}."


def _hidden() -> str:
    model, image, dog, dark = _shepherd()
    moves = ((0, 112), (112, 0), (112, 112), (56, 56), (0, 56), (0, 168))
    holes = torch.cat([dark, *(dark.roll(move, (1, 2)) for move in moves)])[:, None]
    pictures = torch.cat([image, torch.where(holes, torch.zeros_like(image), image)])
    whole, coat, *others = predict(model, pictures, dog).shares[:, dog].tolist()
    return (
        f"The probability falls from {whole:.2f} to {coat:.2f} without the dark pixels; "
        f"with {len(others)} holes of the same shape elsewhere it stays above "
        f"{int(100 * min(others)) / 100:.2f}."
    )


def _smoothed() -> str:
    strength = _from_black(16).sum(1).abs()
    smoothed = torch.from_numpy(smooth(strength[0]))[None]
    return f"Smoothed, {_share(smoothed)} of the map lies on dark pixels."


claim = Claim(
    "Only a twentieth of the map lies on dark pixels, so the dark coat hardly counts for "
    "this network.",
    {
        "A": Test(
            _sums,
            "The sum is right for every baseline; it says nothing of single pixels.",
        ),
        "B": Test(
            _more_steps,
            "The integral was good enough; what it multiplies by is the trouble.",
        ),
        "C": Test(
            _hidden,
            "That refutes it: the network needs the coat, and the map from black cannot "
            "show it.",
            could_refute=True,
        ),
        "D": Test(
            _smoothed,
            "The zeros of the coat are only mixed with their neighbours.",
        ),
    },
)
