"""From a map to a box: what `localize` and the averaged map take for a picture.

How often the boxes are right is measured by `localization.py`, which takes minutes.
"""

import torch
from harness import Row, compare, main, ratio_row

from course_utils import (
    averaged_saliency,
    load_model,
    load_samples,
    localize,
    preprocess,
    vanilla_saliency,
)
from course_utils.images import fit_image


def measure(quick: bool) -> list[Row]:
    """Both steps beside a bare forward and backward pass of the picture."""
    rounds = 1 if quick else 4
    samples = load_samples(1 if quick else 3)
    model, labels = load_model(), samples.labels
    batch, pictures = preprocess(samples.images), [fit_image(i) for i in samples.images]
    maps = vanilla_saliency(model, batch, labels)

    def bare():
        for image, label in zip(batch, labels, strict=True):
            pixels = image[None].clone().requires_grad_()
            torch.autograd.grad(model(pixels)[0, label], pixels)

    def boxes():
        for picture, map_ in zip(pictures, maps, strict=True):
            localize(picture, map_)

    jobs = {
        "the averaged map": lambda: averaged_saliency(model, batch, labels),
        "from a map to a box": boxes,
    }
    what = f"{{}}, {len(pictures)} photographs"
    rows = []
    for name, job in jobs.items():
        ours, _, floor = compare(job, {"bare": bare}, rounds)
        rows.append(ratio_row(what.format(name), ours, "bare passes", floor))
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
