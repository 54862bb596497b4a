r"""Further maps: averages over images, and channels weighed by gradients (lesson 08).

`smooth_grad` averages a method over noisy copies of the image, `integrated_gradients`
takes the mean gradient on a path from an empty image to this one, and `grad_cam` weighs a
layer's channels by theirs. What `model`, `images`, `targets` and `progress` may be is
written in `targets`; None is the top class of each image as it was given.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._machinery.arguments import ArgumentError, described, function, number, warn
from ._machinery.fills import Fill, fill_picture
from ._machinery.hooks import watching
from ._machinery.progress import Progress, goes_on
from .gradients import backward, layer_and_gradient, vanilla_saliency, warn_if_useless
from .methods import saliency_method
from .models import Unit, layer_path
from .targets import Targets, has_channels_last, predict, seeded


@saliency_method(
    "SmoothGrad", lesson="08", passes=50, quick={"samples": 8, "noise": 0.05, "passes": 16}
)
def smooth_grad(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    method: Callable[[nn.Module, Tensor, Targets], Tensor] = vanilla_saliency,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    r"""The mean of a method's maps over noisy copies of each image.

    Smilkov et al. 2017, arXiv:1706.03825, section 3, for any method $M$:

    $$ \hat M(I) = \frac 1n \sum_{s=1}^n M(I + \varepsilon_s), \qquad
       \varepsilon_s \sim \mathcal N(0, \sigma^2), \quad
       \sigma = \text{noise} \cdot (\max I - \min I) . $$

    The result has the shape, sign and unit of the method's maps.

    Args:
        method: ``method(model, images, targets)`` gives the maps that are averaged. What
            it does to a gradient, such as taking absolute values, it does to each copy.
        noise: standard deviation as a share of each image's own range of values.
        seed: of the noise; the same for each image, so that no map depends on its batch.

    Example:
        >>> image = torch.randn(1, 3, 224, 224)
        >>> smooth_grad(load_model(), image, method=guided_backprop, samples=2).shape
        torch.Size([1, 3, 224, 224])
    """
    samples = number("samples", samples, low=1, whole=True)
    noise = number("noise", noise, low=0)
    function("method", method, "method(model, images, targets) that gives maps")
    targets = _one_question(model, images, targets)
    images = images.detach()
    spread = noise * (images.amax((1, 2, 3)) - images.amin((1, 2, 3)))[:, None, None, None]
    random, total = seeded(seed), 0.0
    for done in range(1, samples + 1):
        draw = torch.randn(images.shape[1:], generator=random).to(images)
        total = total + method(model, images + spread * draw, targets)
        if not goes_on(progress, done, samples, total / done):
            break
    return total / done


@saliency_method(
    "integrated gradients",
    lesson="08",
    passes=100,
    signed=True,
    sums=True,
    quick={"steps": 12, "passes": 24},
)
def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    steps: int = 50,
    fill: Fill = "mean",
    progress: Progress | None = None,
) -> Tensor:
    r"""(N, 3, H, W), signed: what each pixel adds to the score, from an empty image on.

    Sundararajan, Taly & Yan 2017, arXiv:1703.01365, equation 1, with the empty image $I'$
    as the baseline:

    $$ M = (I - I') \cdot \int_0^1 \nabla S_c (I' + \alpha (I - I')) \, d\alpha . $$

    The map is **complete** (their proposition 1): its values sum to $S_c(I) - S_c(I')$,
    which tells whether `steps` are enough. Scores change most where the image is still
    faint. So the integral is taken over $u$ with $\alpha = u^2$, by the Gauss–Legendre
    rule, which comes closer than as many evenly spaced points.

    Args:
        steps: the number of points on the path.
        fill: the empty image: ``"mean"``, ``"blur"``, a colour … (see `fill_picture`).

    Example:
        >>> model, image = load_model(), torch.randn(1, 3, 224, 224)
        >>> integrated_gradients(model, image, 207, steps=5).shape
        torch.Size([1, 3, 224, 224])
    """
    steps = number("steps", steps, low=1, whole=True)
    targets = _one_question(model, images, targets)
    images = images.detach()
    baseline = fill_picture(fill, images)
    total = torch.zeros_like(images)
    for done, (alpha, weight) in enumerate(_path(steps), 1):
        on_path = baseline + alpha * (images - baseline)
        total += weight * backward(model, on_path, targets)
        if not goes_on(progress, done, steps, (images - baseline) * total):
            break
    return (images - baseline) * warn_if_useless(total, "pixel")


def _path(steps: int) -> Iterator[tuple[float, float]]:
    """Points from 0 to 1, denser near 0, and their weights in an integral over α = u²."""
    points, weights = np.polynomial.legendre.leggauss(steps)  # for u from −1 to 1
    for u, weight in zip((points + 1) / 2, weights / 2, strict=True):
        yield float(u**2), float(2 * u * weight)


@saliency_method("Grad-CAM", lesson="08", passes=3)
def grad_cam(
    model: nn.Module, images: Tensor, targets: Targets = None, layer: str | None = None
) -> Tensor:
    r"""Where the channels that speak for the class respond (Grad-CAM).

    Selvaraju et al. 2017, arXiv:1610.02391, equations 1 and 2. With the channels $A^k$ of
    a layer's output, each weighed by the mean of its gradient over all places $p$:

    $$ w_k = \frac 1P \sum_p \frac{\partial S_c}{\partial A^k_p}, \qquad
       M = \max \Bigl(0, \sum_k w_k A^k \Bigr) , $$

    enlarged to the image's size by bilinear interpolation: (N, H, W), not negative.

    `layer` is a path or a friendly name (see `layer_path`); None takes the last one on the
    way to the score that gives a map of more than one place. Where nothing speaks for the
    class, the map is zero, with a warning.

    Example:
        >>> image = torch.randn(2, 3, 224, 224)
        >>> grad_cam(load_model(), image, 207, layer="fire9").shape
        torch.Size([2, 224, 224])
    """
    if layer is None:
        layer = last_spatial_layer(model, images, targets)
    channels, gradient = layer_and_gradient(model, images, targets, layer)
    if channels.ndim != 4 or has_channels_last(channels, images):
        words = f"must give (N, channels, rows, columns); {layer!r} gives"
        raise ArgumentError("layer", f"{words} {described(channels)}")
    weights = gradient.mean((2, 3), keepdim=True)
    coarse = (weights * channels).sum(1, keepdim=True).relu()
    for index, map_ in enumerate(coarse):
        if not map_.any() and gradient[index].any():
            words = f"no place of layer {layer!r} speaks for its class"
            warn(f"the map of image {index} is zero: {words}")
    return F.interpolate(coarse, images.shape[2:], mode="bilinear")[:, 0]


def last_spatial_layer(model: nn.Module, images: Tensor, targets: Targets) -> str:
    """Path of the last layer with a map of several places, for a `Unit` up to its own."""
    finished: list[tuple[str, bool]] = []

    def note(path: str, output) -> None:
        spatial = isinstance(output, Tensor) and output.ndim == 4
        spatial = spatial and not has_channels_last(output, images)
        finished.append((path, spatial and output[0, 0].numel() > 1))

    with watching({path: m for path, m in model.named_modules() if path}, note):
        predict(model, images, targets)
    paths = [path for path, _ in finished]
    if isinstance(targets, Unit):
        end = len(paths) - paths[::-1].index(layer_path(model, targets.layer))
        finished = finished[:end]
    spatial = [path for path, has_places in finished if has_places]
    if not spatial:
        words = f"must give a map of more than one place, and {type(model).__name__} has"
        raise ArgumentError("layer", f"{words} no such layer on the way to this score")
    return spatial[-1]


def _one_question(model: nn.Module, images: Tensor, targets: Targets) -> Targets:
    """`targets`, with None replaced by the top class of each image as it is now.

    A method that changes its images must go on asking about the same class.
    """
    classes = predict(model, images, targets).classes  # refuses what does not fit
    return targets if classes is None else classes
