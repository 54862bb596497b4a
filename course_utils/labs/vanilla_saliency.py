"""Lab of lesson 02: one picture, one network, one class, and how its map is drawn."""

from functools import lru_cache

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import nn

from ..figures import (
    draw_top_classes,
    map_limits,
    overlay,
    plot_panels,
    range_text,
    smooth,
)
from ..gradients import input_gradient
from ..images import deprocess, preprocess
from ..models import class_name, download_size, load_model
from ..samples import load_samples
from .base import LABEL, ClassPicker, Lab, PicturePicker
from .batch_maps import CHANNEL_RULES

# What the list says → what `load_model` takes.
NETWORKS = {
    "SqueezeNet 1.1": ("squeezenet1_1", "bundled"),
    "ResNet-18, random weights": ("resnet18", "random"),
    **{
        f"{title}, {download_size(name):.0f} MB to download once": (name, "torchvision")
        for title, name in {
            "ResNet-18": "resnet18",
            "AlexNet": "alexnet",
            "VGG-19": "vgg19",
        }.items()
    },
}


class VanillaSaliencyLab(Lab):
    """A photograph or an upload, its map, and what the network takes it for.

    Args:
        model: a classifier of ImageNet's classes to put at the head of the list; the
            bundled SqueezeNet heads it unless given.
    """

    title = "The saliency map of one picture"

    def __init__(self, model: nn.Module | None = None):
        self.networks = dict(NETWORKS)
        if model is not None:
            self.networks = {type(model).__name__: model, **NETWORKS}
        self._former = next(iter(self.networks))
        self._network = lru_cache(maxsize=3)(self._load)
        self._inputs = lru_cache(maxsize=32)(self._prepare)
        self._scores = lru_cache(maxsize=64)(self._predict)
        self._gradient = lru_cache(maxsize=64)(self._compute)
        samples = load_samples()
        pictures = dict(zip(samples.names, samples.images, strict=True))
        wide = {"style": LABEL, "layout": {"width": "330px"}}
        photo = PicturePicker(pictures, value="bison")
        photo.observe(self._refused, names="error")
        super().__init__(
            photo=photo,
            target=ClassPicker(label="class"),
            network=widgets.Dropdown(
                options=list(self.networks), description="network", **wide
            ),
            channels=widgets.Dropdown(
                options=list(CHANNEL_RULES), description="colours", **wide
            ),
            smoothing=widgets.IntSlider(
                *(0, 0, 10),
                description="smoothing, px",
                continuous_update=False,
                **wide,
            ),
            overlaid=widgets.Checkbox(description="laid over the picture", indent=True),
        )

    def draw(
        self, photo, target, network, channels, smoothing, overlaid
    ) -> tuple[Figure, str]:
        """The picture, its map, and the five most probable classes."""
        self._ensure(network)
        images, scores = self._inputs(photo), self._scores(photo, network)
        index = int(scores.argmax()) if target is None else target
        values = CHANNEL_RULES[channels](self._gradient(photo, network, index))
        values = smooth(values, smoothing)
        limit, picture = map_limits([values])[0], deprocess(images[0])
        style = {"below": range_text(limit)}
        if overlaid:
            drawn = overlay(picture, values, limit=limit)
        else:
            drawn = values
            style |= {"cmap": "inferno", "vmin": 0, "vmax": limit}
        figure = plot_panels(
            [
                (picture, photo.replace("_", " "), {}),
                (drawn, f"map: {class_name(index)}", style),
                (lambda axis: draw_top_classes(axis, scores), "probability", {}),
            ],
            size=2.6,
        )
        return figure, self._sentence_for(network, scores, index)

    def _sentence_for(self, network: str, scores: torch.Tensor, index: int) -> str:
        share = scores.softmax(dim=0)[index]
        rank = int((scores > scores[index]).sum()) + 1
        return (
            f"{network.split(',')[0]} gives {class_name(index)} the score "
            f"{scores[index]:.1f}, a probability of {share:.1%}: place {rank} of "
            f"{len(scores)}."
        )

    # -- networks ----------------------------------------------------------------------

    def _ensure(self, network: str) -> None:
        """Have the network at hand; if it cannot be had, go back to the former one."""
        try:
            self._network(network)
        except Exception as error:
            if network != self._former:
                self.controls["network"].value = self._former  # which draws it again
            reason = str(error).removeprefix("weights: ")
            raise RuntimeError(
                f"{network.split(',')[0]} cannot be had, so {self._former} stays: {reason}"
            ) from error
        self._former = network

    def _load(self, network: str) -> nn.Module:
        choice = self.networks[network]
        if isinstance(choice, nn.Module):
            return choice
        self._say(f"Loading {network}; Kernel → Interrupt Kernel stops it.")
        try:
            return load_model(*choice)
        except KeyboardInterrupt:
            raise RuntimeError("it was stopped") from None

    # -- what is computed once ---------------------------------------------------------

    def _prepare(self, photo: str) -> torch.Tensor:
        return preprocess(self.controls["photo"].pictures[photo])

    def _predict(self, photo: str, network: str) -> torch.Tensor:
        with torch.no_grad():
            return self._network(network)(self._inputs(photo))[0]

    def _compute(self, photo: str, network: str, index: int) -> torch.Tensor:
        return input_gradient(self._network(network), self._inputs(photo), index)[0]

    def _refused(self, change) -> None:
        if change.new:
            self._say(f"The picture stays as it was: {change.new}.", error=True)
