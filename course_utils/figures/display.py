"""A figure on the page: sharp, as wide as it should be, and with its words."""

import base64
import html
import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, features

from .sentences import sentence, shorten
from .style import CSS, DPI, polish
from .words import describe

# The first one that makes a picture small enough; where it is low, noise hides the loss.
QUALITY = (80, 65, 50, 35, 25)
SMALL_ENOUGH = 80_000  # bytes; a notebook of ten figures should stay below a megabyte
WIDEST = 928  # pixels of the page
PHOTOGRAPH = 64 * 64  # pixels: a picture with more of them is no table of colours


def show(figure: Figure, words: str | None = None, alt: str | None = None) -> None:
    """Display `figure` in a notebook, with a sentence as its `alt` and with its words.

    The words, which unfold beneath the picture, are what `describe` finds. Give `words`
    where the data differ between processors, as after many steps of an optimisation, and
    say what stays the same. The sentence is `alt`, or those `words`, or what `sentence`
    makes of titles.
    """
    from matplotlib import pyplot

    pyplot.close(figure)  # otherwise a figure made by pyplot would be shown twice
    given, words = words, describe(figure) if words is None else words
    alt = alt or given or sentence(figure)
    _display(draw(figure), round(figure.get_figwidth() * CSS), words, alt)


def show_file(path: str | Path, words: str, alt: str | None = None, width=WIDEST) -> None:
    """Display the picture in a file, at most `width` pixels wide, with its words."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    width = min(width, picture.width)
    sharp = min(2 * width, picture.width)
    picture = picture.resize((sharp, round(sharp * picture.height / picture.width)))
    _display(_compressed(picture), width, words, alt or words)


def _display(picture: bytes, width: int, words: str, alt: str) -> None:
    from IPython.display import display

    # JupyterLab gives a bare picture no `alt`, whatever its metadata say: hence HTML.
    page = picture_html(picture, width, alt) + in_words(words, f"{width}px")
    display({"text/html": page, "text/plain": words}, raw=True)


def picture_html(picture: bytes, width: int, alt: str) -> str:
    """HTML that shows the bytes of a PNG, JPEG or WebP file, `width` pixels wide."""
    kind = {b"\x89PNG": "png", b"RIFF": "webp"}.get(picture[:4], "jpeg")
    data = base64.b64encode(picture).decode()
    style = "max-width: 100%; height: auto; border-radius: 3px; background: white"
    return (
        f'<img alt="{html.escape(shorten(alt))}" width="{width}" style="{style}" '
        f'src="data:image/{kind};base64,{data}">'
    )


def in_words(words: str, width: str = "auto") -> str:
    """HTML that unfolds to `words`, small and at the right of its width."""
    # Paler than the text of the page, and still dark enough for it (WCAG AA), on any theme.
    look = f"opacity: 0.75; font-size: 11px; text-align: right; max-width: {width}"
    text = f"<div style='text-align: left'>{html.escape(words)}</div>"
    summary = "<summary>the figure in words</summary>"
    return f"<details style='{look}'>{summary}{text}</details>"


def draw(figure: Figure) -> bytes:
    """`figure` as the bytes of a file: WebP if it shows photographs or maps, else PNG."""
    images = [image for axis in figure.axes for image in axis.images]
    large = any(np.prod(image.get_array().shape[:2]) >= PHOTOGRAPH for image in images)
    return to_webp(figure) if large else lighten(to_png(figure, DPI))


def to_png(figure: Figure, dpi: int = CSS) -> bytes:
    """`figure` as the bytes of a PNG file, compressed fast rather than well.

    With `CSS` dots an inch it has one pixel for each of the page; with `DPI`, two.
    """
    file = io.BytesIO()
    _pixels(figure, dpi).save(file, "PNG", compress_level=1)
    return file.getvalue()


def to_webp(figure: Figure, dpi: int = DPI) -> bytes:
    """`figure` as the bytes of a WebP file, a third of a JPEG; a JPEG without WebP."""
    return _compressed(_pixels(figure, dpi))


def _compressed(picture: Image.Image) -> bytes:
    kind = "WEBP" if features.check("webp") else "JPEG"
    for quality in QUALITY:
        file = io.BytesIO()
        picture.save(file, kind, quality=quality)
        if file.tell() <= SMALL_ENOUGH:
            break
    return file.getvalue()


def _pixels(figure: Figure, dpi: int) -> Image.Image:
    polish(figure)
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


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
