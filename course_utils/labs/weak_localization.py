"""Lab of lesson 07: from map to box, with every choice at hand."""

from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from ..figures import map_limits, plot_panels, range_text
from ..gradients import vanilla_saliency
from ..images import fit_box, fit_image, preprocess
from ..localization import averaged_saliency, iou, localize
from ..models import class_name, load_model
from ..samples import load_composites, load_samples
from .base import LABEL, ClassPicker, Lab, PicturePicker

FOUND, DRAWN = "#ff2fd6", "#ffffff"


class WeakLocalizationLab(Lab):
    """Mask, box and IoU of any picture, as quantiles and weights are changed.

    Args:
        model: a classifier; the bundled SqueezeNet unless given.
    """

    title = "From a saliency map to a box"

    def __init__(self, model: nn.Module | None = None):
        self.model = load_model() if model is None else model
        samples, made = load_samples(), load_composites(10)
        pictures = dict(zip(samples.names, samples.images, strict=True))
        pictures |= {one.name: one.image for one in made}
        self.boxes = {
            name: fit_box(box, image.size)
            for name, box, image in zip(
                samples.names, samples.boxes, samples.images, strict=True
            )
        } | {one.name: one.box for one in made}
        self._map = lru_cache(maxsize=64)(self._compute)
        self.picker = PicturePicker(pictures, "malinois_meadow")

        def slider(label, value, low, high, step):
            return widgets.FloatSlider(
                value,
                min=low,
                max=high,
                step=step,
                description=label,
                continuous_update=False,
                style=LABEL,
                layout={"width": "330px"},
            )

        super().__init__(
            photo=self.picker,
            target=ClassPicker(""),
            averaged=widgets.Checkbox(description="map averaged over shifts", indent=True),
            foreground=slider("foreground", 0.95, 0.5, 0.99, 0.01),
            background=slider("background", 0.30, 0.01, 0.6, 0.01),
            smoothing=slider("smoothing", 5.0, 0.0, 12.0, 0.5),
            contrast=slider("contrast", 100.0, 0.0, 300.0, 10.0),
            map_weight=slider("map weight", 4.0, 0.0, 10.0, 0.5),
        )
        self.picker.observe(lambda change: self._upload_failed(), names="error")

    def draw(
        self, photo, target, averaged, foreground, background, **graph_cut
    ) -> tuple[Figure, str]:
        """Seeds, evidence and cut; boxes found (magenta) and drawn by hand (white)."""
        picture, saliency, label, share = self._map(photo, target, averaged)
        found = localize(picture, saliency, foreground, background, **graph_cut)
        drawn, pixels = self.boxes.get(photo), np.asarray(picture)
        seeds = pixels // 2
        seeds[found.foreground], seeds[found.background] = (255, 176, 0), (60, 110, 220)
        masked = np.where(found.mask[..., None], pixels, pixels // 4)
        limit = map_limits([found.smoothed])[0]
        style = {"cmap": "inferno", "vmin": 0, "vmax": limit, "below": range_text(limit)}
        chosen = "contrast {contrast:g}, map weight {map_weight:g}".format(**graph_cut)
        figure = plot_panels(
            [
                (pixels, photo.replace("_", " "), {}),
                (found.smoothed, "smoothed map", style),
                (seeds, "seeds", {"below": "object: orange, background: blue"}),
                (masked, "mask and box", {"below": chosen}),
            ],
            size=2.2,
        )
        for axis in (figure.axes[0], figure.axes[3]):
            draw_boxes(axis, found.box, drawn)
        what = f"{class_name(label)} (probability {share:.1%})"
        if not found.mask.any():
            return figure, f"{what}: the map says nothing, there is no box."
        words = f"{what}: box {found.box}, mask {found.mask.mean():.0%} of the picture"
        if drawn is None:
            return figure, f"{words}. No box is known for this picture."
        return figure, f"{words}. IoU with the drawn box: {iou(found.box, drawn):.2f}."

    def _compute(self, photo: str, target: int | None, averaged: bool):
        picture = fit_image(self.picker.pictures[photo])
        images = preprocess(picture)
        with torch.no_grad():
            scores = self.model(images)[0]
        label = int(scores.argmax()) if target is None else target
        method = averaged_saliency if averaged else vanilla_saliency
        saliency = method(self.model, images, label)[0].numpy()
        return picture, saliency, label, scores.softmax(dim=0)[label].item()

    def _upload_failed(self) -> None:
        if self.picker.error:
            self._say(self.picker.error, error=True)


def draw_boxes(axis, found, drawn=None) -> None:
    """Frames: magenta what was found, white and dashed what was drawn by hand."""
    for box, colour, dash in ((drawn, DRAWN, "--"), (found, FOUND, "-")):
        if box is not None and box[2] > box[0]:
            x, y = box[0] - 0.5, box[1] - 0.5
            size = (box[2] - box[0], box[3] - box[1])
            axis.add_patch(Rectangle((x, y), *size, fill=False, ec=colour, lw=2, ls=dash))
