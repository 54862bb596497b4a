"""Make the twenty classes of data/made/class_sheet.jpg: one setting for all.

    python tools/class_sheet.py

It takes a few minutes. data/made/class_sheet.json records the setting, and how the network
itself and a second one (the optional extra ``second``) judge each picture; for comparison
also the pictures made by the recipe of CS231n.
"""

import json
import sys

import torch
from address import ROOT
from matplotlib.figure import Figure
from PIL import Image

sys.path.insert(0, str(ROOT))

from course_utils import class_name, load_model, visualize_class  # noqa: E402
from course_utils.class_visualization import CS231N, judge  # noqa: E402
from course_utils.figures import to_png  # noqa: E402
from course_utils.models import second_network  # noqa: E402

CLASSES = (1, 8, 76, 130, 207, 281, 292, 347, 366, 388)
CLASSES += (417, 483, 724, 817, 888, 947, 949, 950, 967, 985)
SETTING = {"steps": 256}  # the defaults of visualize_class
COMPARED = {**CS231N, "steps": 100}
SHEET = ROOT / "data" / "made" / "class_sheet.jpg"


def make(model, other, setting: dict) -> tuple[list[Image.Image], list[dict]]:
    """The picture of each class, and a record of how the networks judge it."""
    pictures, records = [], []
    for target in CLASSES:
        run = visualize_class(model, target, **setting)
        own, second = (judge(m, run.pixels, target) for m in (model, other))
        records.append(
            {
                "class": target,
                "name": class_name(target),
                "score": round(own.score),
                "probability": round(own.probability, 3),
                "second probability": round(second.probability, 3),
                "second rank": second.rank,
            }
        )
        print(records[-1], flush=True)
        pictures.append(run.image)
    return pictures, records


def sheet(pictures: list[Image.Image], records: list[dict]) -> Figure:
    """The pictures in four rows of five, with the names of their classes."""
    figure = Figure(figsize=(9.4, 8.2), layout="constrained")
    for axes, image, record in zip(
        figure.subplots(4, 5).flat, pictures, records, strict=True
    ):
        axes.imshow(image, interpolation="antialiased")
        axes.set_title(record["name"], fontsize=10)
        axes.axis("off")
    return figure


def in_top_five(records: list[dict]) -> int:
    """How many pictures the second network has in its top 5."""
    return sum(record["second rank"] <= 5 for record in records)


def main() -> None:
    """Make both sets; write the sheet of the first, and the records of both."""
    model, other = load_model(), second_network()
    if other is None:
        raise SystemExit("The second network is not installed: pip install -e '.[second]'")
    _, compared = make(model, other, COMPARED)
    pictures, records = make(model, other, SETTING)
    png = SHEET.with_suffix(".png")
    png.write_bytes(to_png(sheet(pictures, records)))
    Image.open(png).convert("RGB").save(SHEET, quality=80, optimize=True)
    png.unlink()
    run = visualize_class(model, CLASSES[0], **SETTING | {"steps": 0})
    result = {
        "model": "SqueezeNet 1.1, as bundled",
        "second network": "EfficientNet-Lite0",
        "setting": {**run.settings, **SETTING, "target": "each class"},
        "second network's top 5": in_top_five(records),
        "second network's top 5, recipe of CS231n": in_top_five(compared),
        "torch": torch.__version__,
        "classes": records,
        "classes, recipe of CS231n": compared,
    }
    text = json.dumps(result, indent=1) + "\n"
    SHEET.with_suffix(".json").write_text(text, encoding="utf-8")
    print(f"top 5: {in_top_five(records)}, CS231n {in_top_five(compared)}")


if __name__ == "__main__":
    main()
