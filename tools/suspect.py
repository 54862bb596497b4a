"""Draw docs/suspect.jpg, with which lesson 00 opens: a network that goes by the snow.

    python tools/suspect.py

The biased probe of lesson 10: a bear in the snow, a dog in the green, the dog in the snow,
and what the probe says of each. All three pictures are new to it.
"""

import io
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course_utils import load_model, plant_shortcut, train_probe  # noqa: E402
from course_utils.figures import to_png  # noqa: E402
from course_utils.figures.panels import draw_rows  # noqa: E402
from course_utils.shortcuts import CLASSES, Planted  # noqa: E402

PICTURE = ROOT / "docs" / "suspect.jpg"
WIDTH, LARGEST = 1600, 260_000  # pixels, bytes


def main() -> None:
    """Draw the picture and write it."""
    probe = train_probe(load_model(), plant_shortcut(160, scene=1.0))
    bear, dog = plant_shortcut(4, scene=1.0, seed=1).recipes[2:]
    shown = Planted((bear, dog, dog.swapped("scene")))
    shares = probe(shown.images).softmax(1)
    figure = draw_rows([[(picture, "", {}) for picture in shown.pictures]])
    for axis, share, label in zip(figure.axes, shares, shown.labels, strict=False):
        said = int(share.argmax())
        box = {"fc": "#000000a0" if said == label else "#b2182be0", "lw": 0}
        place = {"x": 0.03, "y": 0.05, "transform": axis.transAxes}
        words = f"“{CLASSES[said]}”  {share[said]:.0%}"
        axis.text(s=words, color="w", size=14, weight="bold", bbox=box, **place)
    picture = Image.open(io.BytesIO(to_png(figure, round(WIDTH / figure.get_figwidth()))))
    picture = picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)))
    picture.save(PICTURE, quality=88, subsampling=0, optimize=True)
    size = PICTURE.stat().st_size
    print(f"{PICTURE.relative_to(ROOT)}: {picture.size}, {size / 1000:.0f} kB")
    assert size < LARGEST, "lower the quality"


if __name__ == "__main__":
    main()
