"""What of a lab stays on the page once its kernel is gone: a still picture, and a note.

A lab is displayed as three outputs: the living widget, a note, and the picture. While the
widget lives, its style hides the other two; without a kernel the note's style hides what
JupyterLab writes in the widget's place ("Error displaying widget: model not found").
"""

from collections.abc import Sequence
from itertools import product
from textwrap import shorten

import ipywidgets as widgets
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from ..figures import describe
from ..figures.display import in_words, picture_html, to_webp
from ..figures.style import CSS, FULL, HEADING, ORANGE, styled
from .touch import Bars, Curves, Panel, Pictures, Scene, to_picture

CLOSED = "This lab is closed: run its cell again."
LETTERS = 34  # of a bar's name

# One output of a cell: in JupyterLab and Notebook 7; VS Code; Colab and older notebooks.
OUTPUT = ":is(.jp-OutputArea-child, .output_container, .display_data, .output_area)"
NOTE = f"{OUTPUT}:has(.course-lab-note)"
LIVING = f"""<style>
{OUTPUT}:has(.course-lab) + {NOTE},
{OUTPUT}:has(.course-lab) + {NOTE} + {OUTPUT} {{ display: none; }}
</style>"""
# What has no elements inside is a text: that the widget is loaded, or was not found.
STILL = """<style>
.jp-OutputArea-child:has(+ .jp-OutputArea-child .course-lab-note)
> .jp-OutputArea-output:not(:has(*)) { display: none; }
</style><div class="course-lab-note" style="opacity: 0.75">A picture of the lab:
run the cell to use it.</div>"""


def style() -> widgets.HTML:
    """The style of a living lab, as a part of it that takes no room."""
    return widgets.HTML(LIVING, layout={"display": "none"})


def display_lab(lab) -> None:
    """Display a lab: the widget, and what stays of it."""
    if not lab.is_open:
        display({"text/plain": CLOSED}, raw=True)
        return
    if hasattr(lab.widget, "_handle_displayed"):  # ipywidgets 7
        lab.widget._handle_displayed()
    view = {"model_id": lab.widget.model_id, "version_major": 2, "version_minor": 0}
    display({"application/vnd.jupyter.widget-view+json": view}, raw=True)
    display({"text/html": STILL}, raw=True)
    words = f"Interactive: {lab.title}. {lab.said}"
    still = {"text/plain": words}
    if lab.scene.panels:
        figure = draw_scene(lab.scene)
        alt, width = f"{lab.title}: {lab.touch.answer}", round(figure.get_figwidth() * CSS)
        still["text/plain"] = words = f"{words}. {describe(figure)}"
        picture = picture_html(to_webp(figure), width, alt)
        still["text/html"] = picture + in_words(words, f"{width}px")
    display(still, raw=True)


# -- a scene as a figure -------------------------------------------------------------------


@styled
def draw_scene(scene: Scene) -> Figure:
    """A scene as the browser shows it, with its hands, in a figure of matplotlib."""
    columns = scene.columns or len(scene.panels)
    places = _places(scene.panels, columns)
    rows = max(down.stop for down, _ in places)
    high = rows / max(panel.span[1] for panel in scene.panels)
    widths = [panel.weight for panel in scene.panels[:columns]]
    bars = max((len(p.bars) for p in scene.panels if isinstance(p, Bars)), default=0)
    high *= min(max(widths), 1)
    height = max(FULL / max(sum(widths), 2) * high, 0.3 * bars)  # so that none overlap
    figure = Figure(figsize=(FULL, 0.4 + height))
    gap = 0.12 if any(isinstance(panel, Curves) for panel in scene.panels) else 0.08
    grid = figure.add_gridspec(rows, columns, width_ratios=widths, wspace=gap)
    for panel, place in zip(scene.panels, places, strict=True):
        axis = figure.add_subplot(grid[place])
        room = 72 * FULL * panel.weight / max(sum(widths), 1)  # in points
        size = min(HEADING, room / (0.55 * max(len(panel.title), 1)))
        axis.set_title(panel.title, fontsize=size)
        draw = {Pictures: _pictures, Bars: _bars, Curves: _curves}[type(panel)]
        draw(axis, panel)
    figure.subplots_adjust(0.01, 0.02, 0.99, 1 - 0.27 / figure.get_figheight())
    return figure


def _places(panels: Sequence[Panel], columns: int) -> list[tuple[slice, slice]]:
    """Rows and columns of each panel: one after the other, where there is room."""
    taken, places, cell = set(), [], 0
    for panel in panels:
        across, down = panel.span
        while True:
            row, column = divmod(cell, columns)
            cells = set(product(range(row, row + down), range(column, column + across)))
            if column + across <= columns and not cells & taken:
                break
            cell += 1
        taken |= cells
        places.append((slice(row, row + down), slice(column, column + across)))
    return places


def _pictures(axis, panel: Pictures) -> None:
    """Layers one over the other, then marks and the hand, in the panel's pixels."""
    width, height = panel.size
    extent = (0, width, height, 0)
    for number, layer in enumerate(panel.layers):
        picture = np.asarray(to_picture(layer.picture))
        drawn = axis.imshow(picture, extent=extent)
        if panel.words and number == 0:
            drawn.set_label(panel.words)
        _clip(drawn, axis, layer, panel)
    for mark in panel.marks:
        _mark(axis, mark)
    if (panel.tool or {}).get("kind") == "window":
        _window(axis, panel, extent)
    axis.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], anchor="N")
    axis.spines[:].set_visible(False)


def _window(axis, panel: Pictures, extent: tuple) -> None:
    """The window of a tool: in it its picture, or what of it lies there, or its colour."""
    hand, tool = panel.hand, panel.tool
    x0, y0 = hand["x"] - hand["w"] / 2, hand["y"] - hand["h"] / 2
    look = {"fc": "none", "ec": tool.get("colour", "white"), "lw": 1.5}
    angle = {"angle": hand.get("angle", 0), "rotation_point": "center"}
    frame = axis.add_patch(Rectangle((x0, y0), hand["w"], hand["h"], **look, **angle))
    if "picture" in tool:
        own = extent if tool.get("through") else (x0, x0 + hand["w"], y0 + hand["h"], y0)
        drawn = axis.imshow(to_picture(tool["picture"]), extent=own)
        drawn.set_clip_path(frame)


def _clip(drawn, axis, layer, panel: Pictures) -> None:
    """Show a layer where it is seen: beside a divider, or under a lens."""
    hand, (width, height) = panel.hand or {"x": 0, "y": 0}, panel.size
    if layer.lens:
        radius = (panel.tool or {}).get("lens", 0)
        shape = Circle((hand["x"], hand["y"]), radius, transform=axis.transData)
    elif layer.side:
        x0, x1 = (0, hand["x"]) if layer.side == "left" else (hand["x"], width)
        shape = Rectangle((x0, 0), x1 - x0, height, transform=axis.transData)
    else:
        return
    drawn.set_clip_path(shape)


def _mark(axis, mark: dict) -> None:
    colour = mark.get("colour", "white")
    look = {"ec": colour, "fc": "none", "lw": 2}
    if "fill" in mark:
        look = {"ec": "none", "fc": mark["fill"]}
    look["ls"] = "--" if mark.get("dash") else "-"
    if "rect" in mark:
        x0, y0, x1, y1 = mark["rect"]
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, **look))
    if "circle" in mark:
        axis.add_patch(Circle(mark["circle"][:2], mark["circle"][2], **look))
    if "text" in mark:
        x, y = mark["at"]
        box = {"fc": "#000a", "ec": "none", "pad": 2}
        axis.text(x, y, mark["text"], color=colour, va="top", bbox=box)


def _bars(axis, panel: Bars) -> None:
    places = range(len(panel.bars))
    colours = [bar.get("colour", ORANGE) for bar in panel.bars]
    axis.barh(places, [bar["value"] for bar in panel.bars], height=0.4, color=colours)
    for place, bar in zip(places, panel.bars, strict=True):
        name = shorten(bar["name"], LETTERS, placeholder=" …")
        axis.text(0.01, place - 0.25, f"{name}  {bar['text']}", va="bottom",
                  transform=axis.get_yaxis_transform())  # fmt: skip
        if "before" in bar:
            axis.plot([bar["before"]] * 2, [place - 0.24, place + 0.24], "k", lw=1.5)
    if panel.limits[0] < 0:
        axis.axvline(0, color="gray", lw=0.8)
    axis.set(
        xlim=panel.limits, ylim=(max(len(panel.bars), 4) - 0.4, -0.8), yticks=[], xticks=[]
    )
    axis.spines[["top", "right", "bottom"]].set_visible(False)


def _curves(axis, panel: Curves) -> None:
    for line in panel.lines:
        dash = "--" if line.get("dash") else "-"
        axis.plot(
            line["x"], line["y"], color=line["colour"], ls=dash, label=line.get("name")
        )
    if panel.hand:
        axis.axvline(panel.lines[0]["x"][panel.hand["i"]], color="grey", lw=1)
    axis.set(xlim=panel.xlim, ylim=panel.ylim, xlabel=panel.xlabel)
    if any("name" in line for line in panel.lines):
        axis.legend(fontsize=9, frameon=False)
    axis.set_box_aspect(0.86 * panel.size[1] / panel.size[0])
    axis.set_anchor("N")
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
