"""A step of `visualize_class` beside a bare forward and backward pass of the same size."""

import torch
from harness import Row, Seconds, compare, main, ratio_row

from course_utils import load_model, load_samples, preprocess, visualize_class
from course_utils.class_visualization import CS231N

CLASS = 483  # castle
RECIPES = {"default recipe": {}, "recipe of CS231n": CS231N}


def measure(quick: bool) -> list[Row]:
    """Both recipes."""
    rounds, steps = (1, 2) if quick else (5, 12)
    model, images = load_model(), preprocess(load_samples(1).images)

    def bare():
        for _ in range(steps):
            pixels = images.clone().requires_grad_()
            torch.autograd.grad(model(pixels)[0, CLASS], pixels)

    rows = []
    for name, recipe in RECIPES.items():

        def ours(recipe=recipe):
            visualize_class(model, CLASS, steps=steps, **recipe)

        ours_, _, floor = compare(ours, {"bare": bare}, rounds)
        each = [Seconds(*(value / steps for value in times)) for times in (ours_, floor)]
        what = f"class visualization, a step, {name}"
        rows.append(ratio_row(what, each[0], "a bare pass", each[1]))
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
