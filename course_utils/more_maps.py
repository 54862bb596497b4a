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
from ._machinery.progress import Progress, goes_on
from .gradients import backward, input_gradient, layer_pass, warn_if_useless
from .inputs import own_inputs
from .map_layers import last_map_layer, layout_of
from .methods import saliency_method
from .targets import (
    Targets,
    check_images,
    explaining,
    groups,
    predict,
    seeded,
)


@saliency_method(
    "SmoothGrad",
    lesson="08",
    passes=50,
    signed=True,
    quick={"samples": 8, "passes": 16},
)
def smooth_grad(
    model: nn.Module,
    images: Tensor,
    targets: Targets = None,
    method: Callable[[nn.Module, Tensor, Targets], Tensor] = input_gradient,
    samples: int = 25,
    noise: float = 0.05,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tensor:
    r"""The mean of a method's maps over noisy copies of each image.

    Smilkov et al. 2017, arXiv:1706.03825, section 3, for any method $M$:

    $$ \hat M(I) = \frac 1n \sum_{s=1}^n M(I + \varepsilon_s), \qquad
       \varepsilon_s \sim \mathcal N(0, \sigma^2), \quad
       \sigma = \text{noise} \cdot (\max I - \min I) . $$

    The result has the shape, sign and unit of the method's maps: as in the paper, signed
    gradients (N, C, H, W) by default. Where slopes change their sign from copy to copy,
    they cancel. The paper finds 10 to 20 % of noise best for its network; the bundled one
    loses its class there, and 5 % is the default.

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
    images, random, total = images.detach(), seeded(seed), None
    for done in range(1, samples + 1):
        draw = torch.randn(images.shape[1:], generator=random).to(images)
        for some, asked in groups(model, images, targets):
            clean = images[some]
            spread = noise * (clean.amax((1, 2, 3)) - clean.amin((1, 2, 3)))
            noisy = clean + spread[:, None, None, None] * draw
            maps = _maps_of(method, model, noisy, asked)
            if total is None:
                total = maps.new_zeros(len(images), *maps.shape[1:])
            total[some] += maps
        if not goes_on(progress, done, samples, total / done if progress else None):
            break
    return total.div_(done)


def _maps_of(method: Callable, model: nn.Module, images: Tensor, targets: Targets):
    """The maps of a method, one for each image."""
    maps = method(model, images, targets)
    if not isinstance(maps, Tensor) or maps.shape[:1] != (len(images),):
        words = f"must give a tensor of one map for each of {len(images)} images, got"
        raise ArgumentError("method", f"{words} {described(maps)}")
    return maps


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
    images, empty = images.detach(), own_inputs(model)
    total = torch.zeros_like(images)

    def times_way(slopes: Tensor) -> Tensor:
        for some, _ in groups(model, images, targets):
            slopes[some] *= images[some] - fill_picture(fill, images[some], empty)
        return slopes

    for done, (alpha, weight) in enumerate(_path(steps), 1):
        for some, asked in groups(model, images, targets):
            baseline = fill_picture(fill, images[some], empty)
            on_path = baseline + alpha * (images[some] - baseline)
            total[some] += weight * backward(model, on_path, asked)
        so_far = times_way(total.clone()) if progress else None
        if not goes_on(progress, done, steps, so_far):
            break
    return times_way(warn_if_useless(total, "pixel"))


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

    `layer` is a path or a friendly name (see `layer_path`) of one that gives a map: rows
    and columns that follow the picture's. Of a transformer, the patches' tokens are laid
    out as the grid that they were cut from, without the class token: row by row, and only
    if the grid's corners change where the picture's corners do.
    None takes the last such layer of more than one place on which the score depends. Where
    nothing speaks for the class, the map is zero, with a warning.

    Example:
        >>> image = torch.randn(2, 3, 224, 224)
        >>> grad_cam(load_model(), image, 207, layer="fire9").shape
        torch.Size([2, 224, 224])
    """
    with explaining(model):
        check_images(model, images, targets)
        maps = images.new_empty(len(images), *images.shape[2:])
        arrange = None
        if layer is None:
            layer, arrange = last_map_layer(model, images, targets)
        for some, asked in groups(model, images, targets):
            pixels = images[some].detach().clone().requires_grad_()
            channels, gradient = layer_pass(model, pixels, asked, layer)
            arrange = arrange or layout_of(model, layer, channels, pixels)
            channels, gradient = arrange(channels.detach()), arrange(gradient)
            warn_if_useless(gradient, f"place of layer {layer!r}", some.start)
            weights = gradient.mean((2, 3), keepdim=True)
            coarse = (weights * channels).sum(1, keepdim=True).relu()
            for index, map_ in enumerate(coarse):
                if not map_.any() and gradient[index].any():
                    words = f"no place of layer {layer!r} speaks for its class"
                    warn(f"the map of image {some.start + index} is zero: {words}")
            maps[some] = F.interpolate(coarse, images.shape[2:], mode="bilinear")[:, 0]
    if not maps.isfinite().all():
        warn(f"the maps hold NaN or infinite values, as layer {layer!r} gives some")
    return maps


def _one_question(model: nn.Module, images: Tensor, targets: Targets) -> Targets:
    """`targets`, with None replaced by the top class of each image as it is now.

    A method that changes its images must go on asking about the same class.
    """
    classes = predict(model, images, targets).classes  # refuses what does not fit
    return targets if classes is None else classes
