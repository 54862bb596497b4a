"""Gradient maps of many photographs, beside Captum, pytorch-grad-cam and bare passes.

The peers get every help: the network and the pictures in both memory layouts, the batch
whole and in parts, one thread and all, frozen weights. The fastest of these counts.
"""

import copy
import importlib
import warnings

import torch
from harness import (
    Row,
    compare,
    giga_multiply_adds,
    main,
    missing_row,
    peer,
    ratio_row,
    significant,
    with_threads,
)
from torch import Tensor, nn

from course_utils import (
    grad_cam,
    guided_backprop,
    load_model,
    load_samples,
    preprocess,
    vanilla_saliency,
)

LAYER = "features.12"  # the last one with a map before the classifier


class Work:
    """The network in two layouts, and photographs with their labels."""

    def __init__(self, count: int):
        samples = load_samples(count)
        self.images, self.labels = preprocess(samples.images), samples.labels
        self.model = load_model()
        # Copies for the peers: some change the modules of a network.
        fast, plain = copy.deepcopy(self.model), copy.deepcopy(self.model)
        plain = plain.to(memory_format=torch.contiguous_format)
        last = self.images.contiguous(memory_format=torch.channels_last)
        self.layouts = {
            "channels last": (fast, last),
            "plain layout": (plain, self.images),
        }

    def settings(self, explain, sizes=(None, 8, 1)) -> dict:
        """Every layout, number of pictures at once, and number of threads.

        Args:
            explain: ``explain(model, images, labels)``.
            sizes: pictures at once; None is all.
        """
        found = {}
        for layout, (model, images) in self.layouts.items():
            for size in sizes:
                if size is None or size < len(images):
                    name = f"{layout}, {size or len(images)} at once"
                    found[name] = self._job(explain, model, images, size or len(images))
        return with_threads(found)

    def _job(self, explain, model: nn.Module, images: Tensor, size: int):
        parts = list(zip(images.split(size), self.labels.split(size), strict=True))
        return lambda: torch.cat([explain(model, *part) for part in parts])


def bare(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """A forward and a backward pass to the pixels, and nothing else."""
    pixels = images.clone().requires_grad_()
    model(pixels).gather(1, labels[:, None]).sum().backward()
    return pixels.grad


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    """As a share of the largest value."""
    return significant(((ours - theirs).abs().max() / theirs.abs().max()).item(), 1)


# -- the peers, each as explain(model, images, labels) -------------------------------------


def captum_saliency(captum):
    """Captum's gradient; the maximum over the colours is left to its user."""

    def explain(model, images, labels):
        pixels = images.clone().requires_grad_()
        return captum.Saliency(model).attribute(pixels, target=labels).amax(dim=1)

    return explain


def captum_guided(captum):
    """Captum's guided backprop; it sets its hooks, and says so, at every call."""

    def explain(model, images, labels):
        pixels = images.clone().requires_grad_()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return captum.GuidedBackprop(model).attribute(pixels, target=labels)

    return explain


def package_guided(package):
    """pytorch-grad-cam's guided backprop: it takes one picture at a time."""

    def explain(model, images, labels):
        map_ = package.GuidedBackpropReLUModel(model)(images.clone(), labels.item())
        return torch.from_numpy(map_).permute(2, 0, 1)[None]

    return explain


def package_cam(package):
    """pytorch-grad-cam's Grad-CAM; it scales each map to [0, 1].

    Its layer has to want gradients; no other does, so that it goes back no further.
    """
    target = importlib.import_module("pytorch_grad_cam.utils.model_targets")

    def explain(model, images, labels):
        layer = model.get_submodule(LAYER).requires_grad_()
        with package.GradCAM(model, [layer]) as explainer:
            wanted = [target.ClassifierOutputTarget(label) for label in labels.tolist()]
            return torch.from_numpy(explainer(input_tensor=images, targets=wanted))

    return explain


def course_cam(model, images, labels):
    """Our Grad-CAM of the same layer, scaled likewise."""
    maps = grad_cam(model, images, labels, layer=LAYER)
    return maps / maps.amax((1, 2), keepdim=True)


# -- measuring -----------------------------------------------------------------------------


def method_row(what: str, ours, work: Work, name: str, theirs, rounds: int, **more) -> Row:
    """A row: our function as anyone calls it, the peer's in every setting."""
    what = f"{what}, {len(work.images)} photographs"
    if theirs is None:
        return missing_row(what, name)

    def our_job():
        return ours(work.model, work.images, work.labels)

    settings = work.settings(theirs, **more)
    seconds, setting, peers_seconds = compare(our_job, settings, rounds)
    difference = ""
    if theirs is not bare:
        difference = largest_difference(our_job(), settings[setting]())
    row = ratio_row(what, seconds, f"{name}: {setting}", peers_seconds)
    return row | {"largest difference of the maps": difference}


def measure(quick: bool) -> list[Row]:
    """Vanilla saliency, guided backprop and Grad-CAM."""
    rounds = 1 if quick else 5
    many, some = Work(2 if quick else 26), Work(2 if quick else 8)
    captum, package = peer("captum.attr"), peer("pytorch_grad_cam")
    rows = [
        method_row("saliency", vanilla_saliency, many, "bare passes", bare, rounds),
        method_row(
            "saliency", vanilla_saliency, many, "Captum",
            captum and captum_saliency(captum), rounds,
        ),
        method_row(
            "guided backprop", guided_backprop, some, "Captum",
            captum and captum_guided(captum), rounds, sizes=(None, 1),
        ),
        method_row(
            "guided backprop", guided_backprop, some, "pytorch-grad-cam",
            package and package_guided(package), rounds, sizes=(1,),
        ),
        method_row(
            "Grad-CAM", course_cam, some, "pytorch-grad-cam",
            package and package_cam(package), rounds, sizes=(None, 1),
        ),
    ]  # fmt: skip
    one = Work(1)
    billions = giga_multiply_adds(lambda: bare(one.model, one.images, one.labels))
    rows[0]["multiply-adds a picture (billions)"] = significant(billions)
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
