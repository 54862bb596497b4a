"""Draw docs/suspect.jpg, with which lesson 00 opens: a network that goes by the snow.

    python tools/suspect.py

The biased probe of lesson 10: a bear in the snow, a dog in the green, the dog in the snow,
and what the probe says of each. All three pictures are new to it.
"""

from first_maps import ROOT, label, save

from course_utils import load_model, plant_shortcut, train_probe
from course_utils.figures.panels import draw_rows
from course_utils.shortcuts import CLASSES, Planted

PICTURE = ROOT / "docs" / "suspect.jpg"


def main() -> None:
    """Draw the picture and write it."""
    probe = train_probe(load_model(), plant_shortcut(160, scene=1.0))
    bear, dog = plant_shortcut(4, scene=1.0, seed=1).recipes[2:]
    shown = Planted((bear, dog, dog.swapped("scene")))
    shares = probe(shown.images).softmax(1)
    figure = draw_rows([[(picture, "", {}) for picture in shown.pictures]])
    for axis, share, animal in zip(figure.axes, shares, shown.labels, strict=False):
        said = int(share.argmax())
        words = f"“{CLASSES[said]}”  {share[said]:.0%}"
        label(axis, words, 14, "#000000a0" if said == animal else "#b2182be0")
    save(figure, PICTURE)


if __name__ == "__main__":
    main()
