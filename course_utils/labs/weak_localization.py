"""Lab of lesson 07: from map to box, with every choice and a brush for own seeds."""

from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import nn

from ..figures import map_limits, plot_panels, range_text
from ..gradients import vanilla_saliency
from ..images import fit_box, fit_image, preprocess
from ..localization import GraphCut, averaged_saliency, iou, localize
from ..models import class_name, load_model
from ..samples import load_composites, load_samples
from .base import LABEL, ClassPicker, Lab, PicturePicker

FOUND, DRAWN = "#ff2fd6", "#ffffff"
OBJECT, BACKGROUND = (255, 176, 0), (60, 110, 220)
SIDE = 224


class WeakLocalizationLab(Lab):
    """Mask, box and IoU of any picture, as quantiles, weights and own seeds change.

    The brush is a disc placed by three sliders, so that the keyboard can paint too: its
    buttons say that what lies under it is object, or is background.

    Args:
        model: a classifier; the bundled SqueezeNet unless given.

    Attributes:
        strokes: picture → the learner's strokes there, each (row, column, radius, whether
            it marks the object).
        buttons: name → button: object, background, undo, clear.
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
        self._found = lru_cache(maxsize=8)(self._localize)
        self.picker = PicturePicker(pictures, "malinois_meadow")
        self.strokes: dict[str, list[tuple[int, int, int, bool]]] = {}
        self.buttons = {
            "object": widgets.Button(description="this is object", icon="plus"),
            "background": widgets.Button(description="this is background", icon="minus"),
            "undo": widgets.Button(description="undo", icon="undo"),
            "clear": widgets.Button(description="clear", icon="trash"),
        }
        super().__init__(
            photo=self.picker,
            target=ClassPicker(""),
            averaged=widgets.Checkbox(description="map averaged over shifts", indent=True),
            foreground=_slider("foreground", 0.95, 0.5, 0.99, 0.01),
            background=_slider("background", 0.30, 0.01, 0.6, 0.01),
            smoothing=_slider("smoothing", 4.0, 0.0, 12.0, 0.5),
            contrast=_slider("contrast", 60.0, 0.0, 300.0, 10.0),
            map_weight=_slider("map weight", 5.0, 0.0, 10.0, 0.5),
            row=_slider("brush row", 112, 0, SIDE - 1, 4),
            column=_slider("brush column", 112, 0, SIDE - 1, 4),
            radius=_slider("brush radius", 10, 2, 40, 2),
        )
        first, *rest = self.widget.children
        row = widgets.HBox([*self.buttons.values()], layout={"flex_flow": "row wrap"})
        self.widget.children = (first, row, *rest)
        for name, change in {
            "object": lambda strokes: strokes.append(self._under_brush(True)),
            "background": lambda strokes: strokes.append(self._under_brush(False)),
            "undo": lambda strokes: strokes.pop(),
            "clear": lambda strokes: strokes.clear(),
        }.items():
            self.buttons[name].on_click(lambda _, change=change: self._paint(change))
        self.picker.observe(lambda change: self._upload_failed(), names="error")

    def draw(
        self, photo, target, averaged, row, column, radius, **settings
    ) -> tuple[Figure, str]:
        """Seeds, evidence and cut; boxes found (magenta) and drawn by hand (white)."""
        picture, _, label, share = self._map(photo, target, averaged)
        strokes = tuple(self.strokes.get(photo, ()))
        for name in ("undo", "clear"):
            self.buttons[name].disabled = not strokes
        found = self._found(photo, target, averaged, strokes, tuple(settings.items()))
        drawn, pixels = self.boxes.get(photo), np.asarray(picture)
        thing, _, scene = photo.replace("_", " ").partition(" on ")
        seeds = pixels // 2
        seeds[found.foreground], seeds[found.background] = OBJECT, BACKGROUND
        masked = np.where(found.mask[..., None], pixels, pixels // 4)
        limit = map_limits([found.smoothed])[0]
        style = {"cmap": "inferno", "vmin": 0, "vmax": limit, "below": range_text(limit)}
        chosen = "contrast {contrast:g}, map weight {map_weight:g}".format(**settings)
        figure = plot_panels(
            [
                (pixels, thing[:26], {"below": f"on {scene}" if scene else ""}),
                (found.smoothed, "smoothed map", style),
                (seeds, "seeds", {"below": "object: orange, background: blue"}),
                (masked, "mask and box", {"below": chosen}),
            ],
            size=2.2,
        )
        for axis in (figure.axes[0], figure.axes[3]):
            draw_boxes(axis, found.box, drawn)
        for axis in (figure.axes[0], figure.axes[2]):
            draw_strokes(axis, strokes, (row, column, radius))
        words = f"{class_name(label)} (probability {share:.1%}): "
        if strokes:
            words += (
                f"{len(strokes)} strokes of yours, "
                if len(strokes) > 1
                else ("1 stroke of yours, ")
            )
        if not found.mask.any():
            return figure, f"{words}nothing is found, there is no box."
        words += f"box {found.box}, mask {found.mask.mean():.0%} of the picture"
        if drawn is None:
            return figure, f"{words}. No box is known for this picture."
        return figure, f"{words}. IoU with the drawn box: {iou(found.box, drawn):.2f}."

    # -- the brush ---------------------------------------------------------------------

    def _under_brush(self, is_object: bool) -> tuple[int, int, int, bool]:
        place = (self.controls[name].value for name in ("row", "column", "radius"))
        return (*(round(value) for value in place), is_object)

    def _paint(self, change) -> None:
        strokes = self.strokes.setdefault(self.picker.value, [])
        try:
            change(strokes)
        except IndexError:
            self._say("There is no stroke to undo.", error=True)
            return
        self.refresh()

    # -- computing ---------------------------------------------------------------------

    def _localize(self, photo, target, averaged, strokes, settings):
        picture, saliency, *_ = self._map(photo, target, averaged)
        inside, outside = stroke_masks(strokes, SIDE)
        settings = dict(settings)
        quantiles = {name: settings.pop(name) for name in ("foreground", "background")}
        return localize(
            picture,
            saliency,
            **quantiles,
            cut=GraphCut(**settings),
            object_pixels=inside,
            background_pixels=outside,
        )

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


def stroke_masks(strokes, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks (side, side) of the object and the background; a later stroke covers."""
    rows, columns = np.mgrid[:side, :side]
    inside, outside = np.zeros((2, side, side), dtype=bool)
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


def _slider(label: str, value: float, low: float, high: float, step: float):
    return widgets.FloatSlider(
        value,
        min=low,
        max=high,
        step=step,
        description=label,
        readout_format=".2f" if step < 0.1 else ".1f" if step < 1 else ".0f",
        continuous_update=False,
        style=LABEL,
        layout={"width": "330px"},
    )
