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

    That is `words`, or what `describe` finds. Give `words` where the data differ between
    processors, as after many steps of an optimisation, and say what stays the same.
    """
    from matplotlib import pyplot

    pyplot.close(figure)  # otherwise a figure made by pyplot would be shown twice
    words = describe(figure) if words is None else words
    _display("image/png", lighten(to_png(figure)), words)


def show_file(path: str | Path, words: str) -> None:
    """Display a JPEG file unchanged, with its text alternative beneath it."""
    _display("image/jpeg", Path(path).read_bytes(), words)


def _display(kind: str, data: bytes, words: str) -> None:
    from IPython.display import HTML, display

    bundle = {kind: base64.b64encode(data).decode(), "text/plain": words}
    display(bundle, metadata={kind: {"alt": words}}, raw=True)
    display(HTML(in_words(words)))


def in_words(words: str) -> str:
    """HTML that unfolds to `words`."""
    summary = "<summary>the figure in words</summary>"
    return f"<details style='color: gray'>{summary}{html.escape(words)}</details>"


def to_png(figure: Figure, dpi: int = DPI) -> bytes:
    """`figure` as the bytes of a PNG file, compressed fast rather than well."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi, pil_kwargs={"compress_level": 1})
    return file.getvalue()


def lighten(png: bytes) -> bytes:
    """A PNG reduced to a palette of 256 colours, about a quarter of the size.

    Pixels whose colour is far from every colour of the palette, as in photographs, are
    dithered. The colours of maps and tables are in the palette and stay even.
    """
    image = Image.open(io.BytesIO(png)).convert("RGB")
    palette = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    colours[colours.sum(axis=1).argmax()] = 255  # the page stays white
    palette.putpalette(colours.ravel().tolist())
    even = image.quantize(palette=palette, dither=Image.Dither.NONE)
    error = np.asarray(image, int) - np.asarray(even.convert("RGB"), int)
    far = Image.fromarray(np.abs(error).max(axis=2) > 12)
    even.paste(image.quantize(palette=palette), mask=far)
    file = io.BytesIO()
    even.save(file, "PNG", optimize=True)
    return file.getvalue()
