"""Lab of lesson 07: from map to box, with every choice, and a brush for seeds."""

from functools import cache, partial

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from PIL import Image
from torch import nn

from ..figures import map_panel, plot_panels
from ..gradients import vanilla_saliency
from ..images import fit_box
from ..localization import GraphCut, Localization, averaged_saliency, iou, localize
from ..samples import load_composites, load_samples
from .base import Lab
from .controls import Asked, PicturePicker, kept, photographs, slider

FOUND, DRAWN = "#ff2fd6", "#ffffff"
OBJECT, BACKGROUND = (255, 176, 0), (60, 110, 220)


@cache
def boxed() -> tuple[dict[str, Image.Image], dict[str, tuple]]:
    """Name → picture, and name → its box or None, in its pixels; with ten composites."""
    samples, made = load_samples(), load_composites(10)
    boxes = dict(zip(samples.names, samples.boxes, strict=True))
    pictures = photographs() | {one.name: one.image for one in made}
    return pictures, boxes | {one.name: one.box for one in made}


class WeakLocalizationLab(Lab):
    """Mask, box and IoU of any picture, as the settings and the learner's seeds change.

    The brush is a disc placed by three sliders, so that the keyboard can paint too: its
    buttons say that what lies under it is object, or is background.
    """

    title = "From a saliency map to a box"

    def __init__(self, model: nn.Module | None = None):
        pictures, boxes = boxed()
        self.picker = PicturePicker(pictures, "malinois_meadow")
        self.asked = Asked(model, self.picker.pictures)
        inputs, (self.rows, self.columns) = self.asked.inputs, self.asked.inputs.sides
        self.boxes = {
            name: fit_box(box, pictures[name].size, inputs.size, inputs.fit)
            for name, box in boxes.items()
            if box
        }
        # Picture → strokes: row, column, radius, and whether it marks the object.
        self.strokes: dict[str, list[tuple[int, int, int, bool]]] = {}
        mark, change = self._mark, self._change
        self.buttons = {
            "object": self.button("this is object", "plus", partial(mark, True)),
            "background": self.button("this is background", "minus", partial(mark, False)),
            "undo": self.button("undo", "undo", partial(change, list.pop)),
            "clear": self.button("clear", "trash", partial(change, list.clear)),
        }
        super().__init__(
            photo=self.picker,
            target=self.asked.finder(),
            averaged=widgets.Checkbox(description="map averaged over shifts"),
            foreground=slider("foreground", 0.95, 0.5, 0.99, 0.01),
            background=slider("background", 0.30, 0.01, 0.6, 0.01),
            smoothing=slider("smoothing", 4.0, 0.0, 12.0, 0.5),
            contrast=slider("contrast", 60.0, 0.0, 300.0, 10.0),
            map_weight=slider("map weight", 5.0, 0.0, 10.0, 0.5),
            row=slider("brush row", self.rows // 2, 0, self.rows - 1, 4),
            column=slider("brush column", self.columns // 2, 0, self.columns - 1, 4),
            radius=slider("brush radius", 10, 2, 40, 2),
        )
        self.add_row(*self.buttons.values())

    def draw(
        self, photo, target, averaged, foreground, background, row, column, radius, **cut
    ) -> tuple[Figure, str]:
        """Seeds, evidence and cut; boxes found (magenta) and drawn by hand (white)."""
        target, brush = self.asked.target(photo, target), (row, column, radius)
        strokes = tuple(self.strokes.get(photo, ()))
        for name in ("undo", "clear"):
            self.buttons[name].disabled = not strokes
        quantiles, weights = (foreground, background), tuple(cut.items())
        found = self._localize(photo, target, averaged, strokes, quantiles, weights)
        figure = self._figure(photo, found, strokes, brush, cut)
        share = self.asked.probabilities(photo)[target]
        words = f"{self.asked.name(target)} (probability {share:.1%}): "
        if strokes:
            words += f"{len(strokes)} stroke{'s' if len(strokes) > 1 else ''} of yours, "
        if not found.mask.any():
            return figure, f"{words}nothing was found, so there is no box."
        words += f"box {found.box}, mask {found.mask.mean():.0%} of the picture"
        drawn = self.boxes.get(photo)
        if drawn is None:
            return figure, f"{words}. No box is known for this picture."
        return figure, f"{words}. IoU with the drawn box: {iou(found.box, drawn):.2f}."

    def _figure(self, photo: str, found: Localization, strokes, brush, cut: dict) -> Figure:
        picture, name, _ = self.asked.panel(photo)
        pixels, (thing, _, scene) = np.asarray(picture), name.partition(" on ")
        seeds = pixels // 2
        seeds[found.foreground], seeds[found.background] = OBJECT, BACKGROUND
        masked = np.where(found.mask[..., None], pixels, pixels // 4)
        chosen = "contrast {contrast:g}, map weight {map_weight:g}".format(**cut)
        panels = [
            (pixels, thing[:26], {"below": f"on {scene}" if scene else ""}),
            map_panel(found.smoothed, "smoothed map"),
            (seeds, "seeds", {"below": "object: orange, background: blue"}),
            (masked, "mask and box", {"below": chosen}),
        ]
        figure = plot_panels(panels, size=2.2)
        for axis in (figure.axes[0], figure.axes[3]):
            draw_boxes(axis, found.box, self.boxes.get(photo))
        for axis in (figure.axes[0], figure.axes[2]):
            draw_strokes(axis, strokes, brush)
        return figure

    @kept
    def _localize(self, photo, target, averaged, strokes, quantiles, weights):
        saliency = self._saliency(photo, target, averaged)
        inside, outside = stroke_masks(strokes, self.rows, self.columns)
        known = {"object_pixels": inside, "background_pixels": outside}
        picture, cut = self.asked.panel(photo)[0], GraphCut(**dict(weights))
        return localize(picture, saliency, *quantiles, cut=cut, **known)

    @kept
    def _saliency(self, photo: str, target: int, averaged: bool) -> np.ndarray:
        method = averaged_saliency if averaged else vanilla_saliency
        maps = method(self.asked.model, self.asked.images(photo), target)
        return maps[0].float().cpu().numpy()

    def _mark(self, is_object: bool) -> None:
        place = [self.controls[name].value for name in ("row", "column", "radius")]
        self._change(lambda strokes: strokes.append((*place, is_object)))

    def _change(self, change) -> None:
        """Change the strokes of the picture that is shown, and draw it again."""
        try:
            change(self.strokes.setdefault(self.picker.value, []))
            self.refresh()
        except IndexError:
            self.say("There is no stroke to undo.", error=True)


def draw_boxes(axis, found, drawn=None) -> None:
    """Frames: magenta what was found, white and dashed what was drawn by hand."""
    for box, colour, dash in ((drawn, DRAWN, "--"), (found, FOUND, "-")):
        if box is not None and box[2] > box[0]:
            x, y = box[0] - 0.5, box[1] - 0.5
            size = (box[2] - box[0], box[3] - box[1])
            axis.add_patch(Rectangle((x, y), *size, fill=False, ec=colour, lw=2, ls=dash))


def stroke_masks(strokes, height: int, width: int | None = None) -> tuple:
    """Masks (height, width) of the object and the background; a later stroke covers."""
    width = height if width is None else width
    rows, columns = np.mgrid[:height, :width]
    inside, outside = np.zeros((2, height, width), dtype=bool)
    for row, column, radius, is_object in strokes:
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        inside[disc], outside[disc] = is_object, not is_object
    return inside, outside


def draw_strokes(axis, strokes, brush) -> None:
    """Circles: the strokes in the colours of the seeds, the brush white and dotted."""
    for row, column, radius, is_object in strokes:
        colour = np.array(OBJECT if is_object else BACKGROUND) / 255
        axis.add_patch(Circle((column, row), radius, fill=False, ec=colour, lw=2))
    row, column, radius = brush
    axis.add_patch(Circle((column, row), radius, fill=False, ec="white", lw=1.5, ls=":"))
