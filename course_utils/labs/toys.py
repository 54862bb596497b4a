"""Toys: pictures that answer to the hand without a kernel, from answers measured before.

A toy is one HTML output with everything inside. It lives in a notebook that was only
opened, if its outputs are trusted, and on any web page; where scripts do not run, a still
picture stands in its place.
"""

from collections.abc import Sequence

import ipywidgets as widgets
import torch
from IPython.display import clear_output, display
from PIL import Image
from torch import Tensor, nn

from .._machinery.arguments import number
from .._machinery.progress import Progress
from ..figures.display import in_words, picture_html, to_webp
from ..figures.style import CSS, DPI, FULL
from ..inputs import Inputs
from ..occlusion import occlusion
from ..targets import probabilities
from .asking import PAIR, Asked
from .scenes import EXPLAINED, OTHER, map_words, photo_panel
from .still import draw_scene
from .touch import Bars, Layer, Scene, page

STEP = 8  # pixels from one measured window to the next
GREY = "#7c7468"  # ImageNet's mean colour, with which the square hides
STILL = 640  # pixels of the page, width of the still picture
FOR, AGAINST = "#b2182b", "#2166ac"  # what was hidden spoke for the class, or against it


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


class HideAndSee:
    """What `hide_and_see` makes; `shares` are (rows, columns, classes).

    It measures when it is displayed for the first time, and shows how far it is.
    """

    def __init__(
        self, asked: Asked, photo: str, target, others: Sequence[int], window: int
    ):
        self.asked, self.photo = asked, photo
        self.whole = asked.probabilities(photo)  # (classes,)
        count, side = len(self.whole), min(asked.inputs.sides)
        target = int(self.whole.argmax()) if target is None else target
        self.target = number("target", target, 0, count - 1, whole=True)
        self.others = [number("others", one, 0, count - 1, whole=True) for one in others]
        self.window = number("window", window, STEP, side, whole=True)
        self.shares: Tensor | None = None

    def measure(self, progress: Progress | None = None) -> None:
        """Hide the square at every place of the grid, once."""
        if self.shares is None:
            images, answers = self.asked.images(self.photo), []

            def note(outputs: Tensor) -> Tensor:
                """Keep the answers; the score of a window says which one is its own."""
                answers.extend(probabilities(outputs).float().cpu())
                return torch.arange(len(answers) - len(outputs), len(answers)).to(outputs)

            place = self.window, STEP
            found = occlusion(
                self.asked.model, images, None, *place, score=note, progress=progress
            )
            self.shares = torch.stack(answers)[found.scores.long()]

    @property
    def classes(self) -> list[int]:
        """Whose bars are shown: the asked ones, and three that come up somewhere."""
        chosen = dict.fromkeys([self.target, *self.others])
        high = torch.maximum(self.shares.amax((0, 1)), self.whole)
        likely = high.topk(min(len(chosen) + 3, len(high))).indices.tolist()
        return [*(chosen | dict.fromkeys(likely))][: len(chosen) + 3]

    @property
    def drops(self) -> Tensor:
        """(rows, columns): what hiding the square takes from the target's probability."""
        return self.whole[self.target] - self.shares[..., self.target]

    @property
    def words(self) -> str:
        """The classes, and a map of the drops."""
        names = ", ".join(map(self.asked.name, self.classes))
        size = f"{self.window} pixels at every {STEP}th"
        return f"Hide and see, a square of {size}: {names}. Drops: {map_words(self.drops)}"

    @property
    def html(self) -> str:
        """The photograph, its crumbs and the bars; then the words."""
        scene = self.scene()
        rows, columns = self.drops.shape
        axes = [("y", self.window / 2, STEP, rows), ("x", self.window / 2, STEP, columns)]
        answers = [self._answer(r, c) for r in range(rows) for c in range(columns)]
        picture = to_webp(draw_scene(scene), round(DPI * STILL / (FULL * CSS)))
        still = picture_html(picture, STILL, scene.panels[0].label)
        return page(scene, {"photo": (axes, answers)}, still) + in_words(self.words)

    def scene(self) -> Scene:
        """As it opens: the square where it changes least, as yet without crumbs."""
        row, column = divmod(int(self.drops.abs().argmin()), self.drops.shape[1])
        middle = {"x": column * STEP + self.window / 2, "y": row * STEP + self.window / 2}
        name, grey = self.asked.name(self.target), Image.new("RGB", (1, 1), GREY)
        photo = photo_panel(
            self.asked,
            self.photo,
            title="drag the grey square",
            label="A photograph: drag the grey square over it or press arrow keys; bars of "
            "probabilities swing.",
            tool={"kind": "window", "picture": grey, "step": STEP},
            hand=middle | {"w": self.window, "h": self.window},
        )
        pale = self.asked.looks(self.photo).copy()
        pale.putalpha(77)
        look = {"title": f"{name}: red falls, blue rises", "follow": "photo"}
        crumbs = photo_panel(self.asked, self.photo, "crumbs", base=Layer(pale), **look)
        return Scene(
            [photo, crumbs, self._bars(self.shares[row, column])],
            self._answer(row, column)["answer"],
        )

    def _bars(self, shares: Tensor) -> Bars:
        """The classes' probabilities, and ticks where they are without the square."""
        bars = [
            {"name": self.asked.name(index), "value": round(float(shares[index]), 3)}
            | {"text": f"{100 * shares[index]:.0f} %"}
            | {"before": round(float(self.whole[index]), 3)}
            | {"colour": EXPLAINED if index == self.target else OTHER}
            for index in self.classes
        ]
        return Bars(key="bars", title="probability", bars=bars, weight=1.1)

    def _answer(self, row: int, column: int) -> dict:
        """The bars for a place of the square, and the crumb that stays there."""
        shares, drops = self.shares[row, column], self.drops
        drop = float(drops[row, column] / drops.abs().max())
        x, y = (STEP * n + (self.window - STEP) // 2 for n in (column, row))
        colour = f"{FOR if drop > 0 else AGAINST}{round(230 * abs(drop)):02x}"
        said = self.asked.name(int(shares.argmax()))
        values = [round(value, 3) or 0 for value in shares[self.classes].tolist()]
        return {
            "answer": f"The network says: {said}.",
            "bars": {"values": values},
            "crumbs": {"mark": {"rect": [x, y, x + STEP, y + STEP], "fill": colour}},
        }

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
