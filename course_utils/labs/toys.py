"""Toys: pictures that answer to the hand without a kernel, from answers measured before.

A toy is one HTML output with everything inside. It lives in a notebook that was only
opened, if its outputs are trusted, and on any web page; where scripts do not run, a still
picture stands in its place.
"""

import base64
import io
from collections.abc import Callable, Sequence
from functools import cached_property
from html import escape

import ipywidgets as widgets
import torch
from IPython.display import clear_output, display
from PIL import Image
from torch import Tensor, nn

from .._machinery.progress import Progress
from ..inputs import Inputs
from ..occlusion import occlusion
from ..targets import probabilities
from .asking import PAIR, Asked
from .scenes import EXPLAINED, OTHER, map_words, photo_panel
from .still import draw_scene
from .touch import Bars, Layer, Scene, page

STEP = 8  # pixels from one measured window to the next
GREY = "rgb(124, 116, 104)"  # ImageNet's mean colour, with which the square hides
FOR, AGAINST = "#b2182b", "#2166ac"  # what was hidden spoke for the class, or against it


class Toy:
    """One HTML output that answers to the hand by itself.

    It measures when it is displayed for the first time, and shows how far it is. `words`
    describe what was measured.
    """

    def measure(self, progress: Progress | None = None) -> None:
        """Compute all answers."""
        raise NotImplementedError

    @property
    def html(self) -> str:
        """The toy, to be put on any page."""
        raise NotImplementedError

    @property
    def words(self) -> str:
        """What was measured, in words and rounded numbers."""
        raise NotImplementedError

    def _ipython_display_(self) -> None:
        bar = widgets.FloatProgress(min=0, max=1, description="measuring")
        # Without other forms, which would be compared when the notebook is tested.
        view = {"model_id": bar.model_id, "version_major": 2, "version_minor": 0}
        display({"application/vnd.jupyter.widget-view+json": view}, raw=True)

        def progress(done: int, total: int, *so_far) -> None:
            bar.value = done / total

        try:
            self.measure(progress)
        finally:
            bar.close()
        clear_output(wait=True)  # the bar
        display({"text/html": self.html, "text/plain": self.words}, raw=True)


def hide_and_see(
    picture: Image.Image | None = None,
    target: int | None = None,
    others: Sequence[int] = (),
    window: int = 48,
    *,
    model: nn.Module | None = None,
    inputs: Inputs | None = None,
) -> "HideAndSee":
    """A photograph with a grey square to drag: the bars of a few classes swing at once.

    The square was hidden at every eighth pixel before. Where it has been, crumbs stay: red
    where it took probability from the `target`, blue where it gave some.

    Args:
        picture: parrot and dog, side by side, if None.
        target: a class, the most probable one if None.
        others: classes whose bars are shown too; the three next probable ones join them.
        window: the square's side in pixels.
        model, inputs: the bundled SqueezeNet; see `inputs_for`.

    Example:
        >>> hide_and_see(others=[235])  # in a notebook
    """
    pictures = None if picture is None else {"picture": picture}
    asked = Asked(model, pictures, inputs)
    return HideAndSee(asked, PAIR if picture is None else "picture", target, others, window)


class HideAndSee(Toy):
    """What `hide_and_see` makes; `shares` are (rows, columns, classes), windows hidden."""

    def __init__(self, asked: Asked, photo: str, target, others: Sequence[int], window: int):
        self.asked, self.photo, self.window = asked, photo, window
        self.whole = asked.probabilities(photo)  # (classes,)
        likely = self.whole.topk(min(len(self.whole), 5)).indices.tolist()
        self.target = likely[0] if target is None else target
        chosen = dict.fromkeys([self.target, *others])
        self.classes = [*dict.fromkeys([*chosen, *likely])][: len(chosen) + 3]
        self.shares: Tensor | None = None

    def measure(self, progress: Progress | None = None) -> None:
        """Hide the square at every place of the grid, once."""
        if self.shares is None:
            images, found = self.asked.images(self.photo), []

            def note(outputs: Tensor) -> Tensor:
                """Keep all classes; each window's score is where its answer lies."""
                found.extend(probabilities(outputs).float().cpu())
                return torch.arange(len(found) - len(outputs), len(found)).to(outputs)

            keep = {"window": self.window, "stride": STEP, "score": note}
            places = occlusion(self.asked.model, images, progress=progress, **keep).scores
            self.tops = self.top_lefts(places)
            self.shares = torch.stack(found)[places.long()]
