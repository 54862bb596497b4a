"""A figure on the page, with its text alternative beneath it."""

import base64
import html
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from .words import describe

DPI = 80


def show(figure: Figure, words: str | None = None) -> None:
    """Display `figure` in a notebook, with its text alternative beneath it.

    Args:
        figure: made by a ``plot_…`` function or by matplotlib.
        words: the text alternative; by `describe` unless given. Give it where the data
            differ from one processor to another, as the result of many steps of an
            optimisation does, and say what does not.
    """
    from IPython.display import HTML, display
    from matplotlib import pyplot

    pyplot.close(figure)  # else a figure that pyplot made would be shown twice
    words = describe(figure) if words is None else words
    png = base64.b64encode(lighten(to_png(figure))).decode()
    display(
        {"image/png": png, "text/plain": words},
        metadata={"image/png": {"alt": words}},
        raw=True,
    )
    display(HTML(in_words(words)))


def show_file(path: str | Path, words: str) -> None:
    """Display a JPEG of the course as it is, with its text alternative beneath it."""
    from IPython.display import HTML, display

    jpeg = base64.b64encode(Path(path).read_bytes()).decode()
    display(
        {"image/jpeg": jpeg, "text/plain": words},
        metadata={"image/jpeg": {"alt": words}},
        raw=True,
    )
    display(HTML(in_words(words)))


def in_words(words: str) -> str:
    """HTML that unfolds to `words`."""
    return (
        "<details style='color: gray'><summary>the figure in words</summary>"
        f"{html.escape(words)}</details>"
    )


def to_png(figure: Figure, dpi: int = DPI) -> bytes:
    """`figure` as the bytes of a PNG file, made quickly rather than small."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, pil_kwargs={"compress_level": 1})
    return file.getvalue()


def lighten(png: bytes) -> bytes:
    """A PNG with a palette of 256 colours: a quarter of the size.

    Where a colour is far from all of the palette's, as in photographs, it is dithered; a
    map's or a table's own colours are in the palette, and stay even.
    """
    image = Image.open(io.BytesIO(png)).convert("RGB")
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    colours[colours.sum(axis=1).argmax()] = 255  # the page stays white
    palette.putpalette(colours.ravel().tolist())
    even = image.quantize(palette=palette, dither=Image.Dither.NONE)
    apart = np.asarray(image, int) - np.asarray(even.convert("RGB"), int)
    far = Image.fromarray(np.abs(apart).max(axis=2) > 12)
    even.paste(image.quantize(palette=palette), mask=far)
    file = io.BytesIO()
    even.save(file, "PNG", optimize=True)
    return file.getvalue()
