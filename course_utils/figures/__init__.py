"""Every plot of the course, and each figure's text alternative.

A ``plot_…`` function draws a `matplotlib.figure.Figure` and returns it; `show` puts a
figure on the page with two texts: a sentence for people, the picture's `alt`, and beneath
it the figure in words, `describe`, made of the plotted *data*. The tests compare the
latter, and so notice when a figure's data change, but not when matplotlib does.

Maps are never rescaled silently: a colour bar says what the colours of a figure stand for,
and the words give the range of each panel. `style` holds how all of it looks.
"""

# ruff: noqa: F401, I001 - every public name is imported from here

from .display import draw, in_words, lighten, show, show_file, to_png, to_webp
from .lessons import (
    chart, plot_answers, plot_boxes, plot_close_ups, plot_evidence, plot_flow, plot_places,
    plot_tangent, write_in,
)  # fmt: skip
from .maps import (
    SCALES, map_limits, map_panel, map_picture, map_style, overlay, overlay_panel,
    range_text, save_map, signed_panel, signed_picture, signed_style, smooth, to_array,
)  # fmt: skip
from .panels import PANEL, plot_panels
from .plots import (
    photo_panel, plot_images, plot_intervals, plot_maps, plot_overlays,
    plot_rows, plot_saliency, plot_signed, plot_table, plot_tables,
)  # fmt: skip
from .sentences import sentence
from .style import CSS, DPI, METHOD_COLOURS, colour_of
from .words import SIGNED, describe, describe_map
