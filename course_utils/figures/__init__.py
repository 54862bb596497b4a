"""Every plot of the course, and each figure's text alternative.

A ``plot_…`` function draws a `matplotlib.figure.Figure` and returns it; `show` puts a
figure on the page together with `describe`, a text made of the plotted *data*. A reader
who cannot see the picture reads that text; the tests compare it, and so notice when a
figure's data change, but not when matplotlib does.

Maps are never rescaled silently: each panel states the range of its colours.
"""

# ruff: noqa: F401, I001 - every public name is imported from here

from .display import DPI, in_words, lighten, show, show_file, to_png
from .maps import (
    SCALES, map_limits, map_panel, map_picture, overlay, range_text, save_map,
    signed_panel, signed_picture, signed_style, smooth, to_array,
)  # fmt: skip
from .plots import (
    PANEL, draw_top_classes, plot_flow, plot_images, plot_intervals, plot_maps,
    plot_panels, plot_rows, plot_saliency, plot_signed, plot_table, plot_tables,
    plot_top_classes,
)  # fmt: skip
from .words import SIGNED, describe, describe_map
