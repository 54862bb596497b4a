"""Draw docs/first-maps.jpg, the picture of the README.

    python tools/first_maps.py

Five photographs with what the network calls each of them, and how sure it is; below, what
its score reacts to: the saliency map of that class, smoothed, over the photograph in grey.
"""

import io
import sys
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course_utils import load_model, load_samples, preprocess  # noqa: E402
from course_utils.figures import overlay, photo_panel, smooth, to_png  # noqa: E402
from course_utils.figures.panels import draw_rows  # noqa: E402
from course_utils.methods import METHODS  # noqa: E402
from course_utils.models import class_name  # noqa: E402
from course_utils.targets import predict  # noqa: E402

PICTURE = ROOT / "docs" / "first-maps.jpg"
WIDTH, LARGEST, SIGMA = 1600, 260_000, 4.0  # pixels, bytes, pixels of the map


def main() -> None:
    """Draw the picture and write it."""
    model, samples = load_model(), load_samples(5)
    images = preprocess(samples.images)
    _, classes, _, shares = predict(model, images, None)
    maps = METHODS["vanilla_saliency"](model, images, classes)
    photos = [photo_panel(image, 224) for image in samples.images]
    found = [
        (overlay(photo, smooth(map_, SIGMA)), "", {})
        for (photo, *_), map_ in zip(photos, maps, strict=True)
    ]
    figure = draw_rows([photos, found])
    for axis, index, share in zip(figure.axes, classes.tolist(), shares, strict=False):
        label(axis, f"{class_name(index)}  {share[index]:.0%}", 10)
    save(figure, PICTURE)


def label(axis, words: str, size: int, colour: str = "#000000a0") -> None:
    """Write words into the lower left corner of a picture."""
    look = {"color": "w", "size": size, "weight": "bold", "bbox": {"fc": colour, "lw": 0}}
    axis.text(0.035, 0.05, words, transform=axis.transAxes, **look)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a JPEG that is small enough for a page."""
    picture = Image.open(io.BytesIO(to_png(figure, round(WIDTH / figure.get_figwidth()))))
    picture = picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)))
    picture.save(path, quality=88, subsampling=0, optimize=True)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {picture.size}, {size / 1000:.0f} kB")
    assert size < LARGEST, "lower the quality"


if __name__ == "__main__":
    main()
