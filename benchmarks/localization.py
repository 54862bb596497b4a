"""Mean IoU of `localize` and of cheap rivals, on photographs and composites.

    python benchmarks/localization.py

The default setting for every picture. It was chosen with the photographs and the
composites of seeds 0 to 4 in view, so those figures flatter it; the places and sizes of
seed 5 were not looked at. Seconds are processor time of one process.
"""

import json
import time
from pathlib import Path

import numpy as np

from course_utils import (
    averaged_saliency,
    iou,
    load_composites,
    load_model,
    load_samples,
    localize,
    preprocess,
    vanilla_saliency,
)
from course_utils.images import fit_image
from course_utils.localization import rival_boxes

RESULTS = Path(__file__).with_name("localization.json")
METHODS = {"one map": vanilla_saliency, "averaged map": averaged_saliency}


def sets() -> dict[str, tuple[list, list, list]]:
    """Name → pictures, boxes, labels."""
    samples = load_samples()
    photos = [fit_image(image) for image in samples.images]
    found = {"photographs": (photos, samples.boxes_at(), samples.labels.tolist())}
    for seed in (0, 1, 5):
        made = load_composites(35, seed)
        parts = ("image", "box", "label")
        found[f"composites, seed {seed}"] = tuple(
            [getattr(one, part) for one in made] for part in parts
        )
    return found


def main() -> None:
    """Measure, print a table and write it beside this file."""
    model, table = load_model(), {}
    for name, (images, boxes, labels) in sets().items():
        batch, rows = preprocess(images), {}
        for method, function in METHODS.items():
            start = time.process_time()
            maps = function(model, batch, labels)
            rows[f"localize, {method}"] = [
                localize(image, values).box
                for image, values in zip(images, maps, strict=True)
            ]
            seconds = (time.process_time() - start) / len(images)
            table[f"{name}: {method} and localize, seconds a picture"] = round(seconds, 2)
            rows |= {f"{key}, {method}": value for key, value in rival_boxes(maps).items()}
        for row, found in rows.items():
            overlaps = np.array([iou(a, b) for a, b in zip(found, boxes, strict=True)])
            table[f"{name}: {row}, mean IoU"] = round(float(overlaps.mean()), 3)
            table[f"{name}: {row}, above 0.5"] = round(float((overlaps > 0.5).mean()), 2)
    for key, value in table.items():
        print(f"{key:64} {value}")
    RESULTS.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
