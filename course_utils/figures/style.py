"""How the figures of the course look: sizes, type and colours, in one place.

Nothing here changes matplotlib's settings for the learner: `styled` holds only while one
of the course's functions draws, and `polish` touches one figure.
"""

import re
from collections.abc import Callable
from functools import wraps

import matplotlib
from matplotlib.figure import Figure

CSS = 80  # pixels of the page to an inch of a figure
DPI = 2 * CSS  # pixels of the picture to an inch: sharp where a page's pixel is two of them
ONE, TWO, FULL = 3.9, 7.75, 11.6  # inches: figures of one panel, of two, of more

HEADING, TEXT, SMALL = 12.0, 10.5, 9.5  # points of 80 to the inch: 13, 12 and 11 pixels
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8c8c8c"
INK, QUIET, RULE = "#262626", "#6b6b6b", "#e3e3e3"

# The colours of Okabe and Ito, which colour-blind readers can tell apart; one a method.
METHOD_COLOURS = {
    "vanilla": "#0072b2",
    "guided": "#d55e00",
    "deconvnet": "#cc79a7",
    "occlusion": "#009e73",
    "smooth": "#56b4e9",
    "integrated": "#e69f00",
    "grad_cam": "#000000",
    "edges": GREY,
    "centre_surround": "#009e73",
    "residual": "#e69f00",
    "centre": GREY,
    "random": GREY,
}
OTHERS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

STYLE = {
    "font.size": TEXT,
    "axes.titlesize": HEADING,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.labelsize": TEXT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#b0b0b0",
    "axes.grid": False,
    "grid.color": RULE,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.prop_cycle": matplotlib.cycler(color=OTHERS),
}


def colour_of(method: str, default: str = BLUE) -> str:
    """The colour of a method, by its name or its label; grey for a baseline.

    Example:
        >>> colour_of("Grad-CAM"), colour_of("edges only")
        ('#000000', '#8c8c8c')
    """
    key = re.sub(r"\W+", "_", method.lower())
    return next((c for name, c in METHOD_COLOURS.items() if key.startswith(name)), default)


def styled(draw: Callable) -> Callable:
    """Let a function draw in the course's style, whatever the learner's settings are."""

    @wraps(draw)
    def drawn(*args, **kwargs):
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


def polish(figure: Figure) -> None:
    """Give a figure that a lesson drew itself the type, the lines and the grid of ours."""
    for axis in figure.axes:
        title, left = axis.get_title(), axis.get_title(loc="left")
        if title and not left:
            axis.set_title("")
            axis.set_title(title, loc="left", fontsize=HEADING)
        axis.xaxis.label.set_fontsize(TEXT)
        axis.yaxis.label.set_fontsize(TEXT)
        if axis.lines and not axis.images:
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(color=RULE, lw=0.8)
            axis.set_axisbelow(True)
        if axis.get_legend():
            axis.get_legend().set_frame_on(False)
