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


