"""More bad input: methods, fills, seeds, windows, boxes, folders, sheets and data sets.

As `test_bad_input`, in one line a mistake: what is called, and how the sentence begins.
Each one is a ValueError or a TypeError of `course_utils`, and a file in whose place
something bad was to be written stays as it was.
"""

import numpy as np
import pytest
import torch
import toys
from PIL import Image

from course_utils import (
    Unit,
    averaged_saliency,
    centre_surround,
    composite,
    deletion_insertion,
    grad_cam,
    input_gradient,
    integrated_gradients,
    iou,
    layer_gradient,
    load_composites,
    load_samples,
    localize,
    map_folder,
    occlusion,
    pointing_game,
    popout_display,
    randomization_test,
    smooth_grad,
    spectral_residual,
    visualize_class,
)
from course_utils._machinery.fills import fill_picture
from course_utils.evaluation import bootstrap_interval, rank_correlation
from course_utils.figures import save_map
from course_utils.localization import find_seeds, fit_mixture
from course_utils.methods import compute_maps, find_method
from course_utils.occlusion import window_starts
from course_utils.your_own import compare_methods

MODEL, SIZE = toys.Busy().train(), 12
IMAGES = toys.batch(2, SIZE)
IMAGE, MAP = IMAGES[:1], np.random.default_rng(0).random((SIZE, SIZE))
PICTURE = Image.effect_noise((SIZE, SIZE), 90).convert("RGB")
NAN, INF = float("nan"), float("inf")
CUTOUT = Image.new("RGBA", (9, 9), "red")


def call(function, *arguments, **named):
    return lambda folder: function(*arguments, **named)


def smooth(**settings):
    return call(smooth_grad, MODEL, IMAGES, 1, **settings)


def integrate(**settings):
    return call(integrated_gradients, MODEL, IMAGES, 1, **settings)


def hide(image=IMAGE, target=1, window=4, stride=4, **settings):
    return call(occlusion, MODEL, image, target, window, stride, **settings)


def climb(target=1, **settings):
    return call(visualize_class, MODEL, target, **({"steps": 1, "size": SIZE} | settings))


def find(image=PICTURE, saliency=MAP, **settings):
    return call(localize, image, saliency, **settings)


def delete(image=IMAGE, saliency=MAP, target=1, **settings):
    return call(deletion_insertion, MODEL, image, saliency, target, **settings)


def forget(layers=("fc",), **settings):
    return call(randomization_test, MODEL, IMAGES, 1, layers=layers, **settings)


def sheet(methods="vanilla_saliency", **settings):
    settings = {"targets": 1, "size": SIZE} | settings
    return call(compare_methods, MODEL, PICTURE, methods, **settings)


def folder_of(**settings):
    def run(folder):
        PICTURE.save(folder / "a.png")
        return map_folder(folder, MODEL, **({"size": SIZE} | settings))

    return run


def save(name, values=MAP, **settings):
    return lambda folder: save_map(values, folder / name, **settings)


ROWS = {
    # averages
    "no copy": (smooth(samples=0), "samples: wants a whole number from 1, not 0"),
    "half a copy": (smooth(samples=2.5), "samples: wants a whole number from 1, not 2.5"),
    "copies by name": (smooth(samples="many"), "samples: wants .*, not 'many'"),
    "true copies": (smooth(samples=True), "samples: wants .*, not True"),
    "negative noise": (smooth(noise=-0.1), "noise: wants a share .*, not -0.1"),
    "noise without end": (smooth(noise=INF), "noise: wants a share .*, not inf"),
    "noise of no number": (smooth(noise=NAN), "noise: wants a share .*, not nan"),
    "noise by name": (smooth(noise="loud"), "noise: wants a share .*, not 'loud'"),
    "method by name": (smooth(method="vanilla"), "method: wants a function .*'vanilla'"),
    "seed by name": (smooth(seed="a"), "seed: wants a whole number, not 'a'"),
    "half a seed": (smooth(seed=0.5), "seed: wants a whole number, not 0.5"),
    "no point": (integrate(steps=0), "steps: wants a whole number from 1, not 0"),
    "half a point": (integrate(steps=1.5), "steps: wants .*, not 1.5"),
    "true points": (integrate(steps=True), "steps: wants .*, not True"),
    # fills
    "unknown colour": (integrate(fill="blurple"), "fill: wants .*, not 'blurple'"),
    "fill of two numbers": (integrate(fill=(1, 2)), r"fill: wants .*, not \(1, 2\)"),
    "fill above 255": (integrate(fill=(1, 2, 256)), r"fill: wants .*, not \(1, 2, 256\)"),
    "fill of floats": (integrate(fill=(0.5, 0.5, 0.5)), "fill: wants .*whole numbers"),
    "fill of nothing": (integrate(fill=None), "fill: wants .*, not None"),
    "fill by number": (hide(fill=0), "fill: wants .*, not 0"),
    "fill of another size": (
        hide(fill=torch.zeros(3, 4, 4)),
        r"fill: wants a tensor of shape \(3,\) or \(3, 12, 12\), not \(3, 4, 4\)",
    ),
    "fill of NaN": (hide(fill=torch.full((3,), NAN)), "fill: holds NaN or infinite values"),
    "colour for one channel": (
        call(fill_picture, "red", IMAGES[:, :1]),
        "fill: a colour wants a picture of 3 channels, not 'red'",
    ),
    # layers
    "no layer": (call(layer_gradient, MODEL, IMAGES, 1, None), "layer: wants the path or"),
    "layer by number": (
        call(layer_gradient, MODEL, IMAGES, 1, 3),
        "layer: wants .*, not 3",
    ),
    "unknown layer": (
        call(layer_gradient, MODEL, IMAGES, 1, "conv7"),
        "layer: Busy has no layer called 'conv7'; near: conv",
    ),
    "layer behind the target": (
        call(layer_gradient, MODEL, IMAGES, Unit("conv", 0), "fc"),
        "layer: the score does not depend on what 'fc' gives",
    ),
    "layer without places": (
        call(grad_cam, MODEL, IMAGES, 1, "fc"),
        r"layer: wants one that gives \(N, channels, rows, columns\); 'fc' gives",
    ),
    "network without places": (
        call(grad_cam, toys.Linear(toys.batch(4, SIZE)), IMAGES, 1),
        "layer: Linear has no layer with a map of more than one place",
    ),
    "rule of a layer": (
        call(layer_gradient, MODEL, IMAGES, 1, "conv", "guide"),
        "rule: wants one of vanilla, guided, deconvnet, not 'guide'",
    ),
    "channel of a unit": (
        lambda folder: input_gradient(MODEL, IMAGES, Unit("conv", 0.5)),
        "channel: wants a whole number, not 0.5",
    ),
    "position of a unit": (
        lambda folder: input_gradient(MODEL, IMAGES, Unit("conv", 0, 3)),
        r"position: wants \(row, column\), not 3",
    ),
    # occlusion
    "two pictures": (hide(IMAGES), r"image: wants one picture, \(1, 3, H, W\), not \(2,"),
    "a picture without a batch": (
        hide(IMAGE[0]),
        r"image: wants the shape .*\[None\] adds",
    ),
    "a PIL picture": (hide(PICTURE), "image: wants a tensor .*, not Image; preprocess"),
    "window of nothing": (
        hide(window=0),
        "window: wants a whole number of pixels .*, not 0",
    ),
    "half a window": (hide(window=2.5), "window: wants .*, not 2.5"),
    "window of three": (hide(window=(1, 2, 3)), r"window: wants .*, not \(1, 2, 3\)"),
    "window above the picture": (
        hide(window=13),
        "window: wants at most the picture's 12 p",
    ),
    "stride of nothing": (hide(stride=0), "stride: wants a whole number .*, not 0"),
    "negative stride": (hide(stride=-4), "stride: wants .*, not -4"),
    "true stride": (hide(stride=True), "stride: wants .*, not True"),
    "score by another name": (hide(score="loss"), 'score: wants "logit", "probability" or'),
    "score of one number": (
        hide(score=lambda outputs: outputs.sum()),
        r"score: the function wants to give \d+ scores for as many pictures",
    ),
    "score that is infinite": (
        hide(score=lambda outputs: outputs[:, 0] / 0),
        "score: of the whole picture it is -?inf, not finite",
    ),
    "probability of a unit": (
        hide(target=Unit("conv", 1), score="probability"),
        'score: wants "logit" where the target is a Unit',
    ),
    "class that there is not": (hide(target=4), "target: there is no class 4; .* 0 to 3"),
    "class by name": (hide(target="cat"), "target: wants None, a class index, .*'cat'"),
    "start beyond the end": (call(window_starts, 3, 4, 1), "window: wants at most .* 3 p"),
    # class visualization
    "target of none": (climb(None), "target: wants a class index, a Unit or a function"),
    "true target": (climb(True), "target: wants .*, not True"),
    "target above": (climb(99), "target: there is no class 99"),
    "negative steps": (climb(steps=-1), "steps: wants a whole number from 0, not -1"),
    "tiny canvas": (climb(size=4), "size: wants a whole number from 8, not 4"),
    "unknown canvas": (climb(parametrization="cppn"), "parametrization: wants one of four"),
    "negative penalty": (climb(l2=-1), "l2: wants a number from 0, not -1"),
    "penalty of no number": (climb(tv=NAN), "tv: wants a number from 0, not nan"),
    "rate by name": (climb(lr="fast"), "lr: wants a number from 0, not 'fast'"),
    "half a shift": (climb(jitter=1.5), "jitter: wants a whole number from 0, not 1.5"),
    "half a rhythm": (climb(blur_every=0.5), "blur_every: wants a whole number from 0"),
    "seed of words": (climb(seed="x"), "seed: wants a whole number, not 'x'"),
    "std of zero": (climb(std=(0, 1, 1)), r"std: wants three positive numbers, not \(0, 1"),
    "mean of two": (climb(mean=(0, 1)), r"mean: wants three finite numbers, not \(0, 1\)"),
    # localization
    "maps of a batch": (find(saliency=MAP[None]), r"saliency: wants one map \(H, W\), not"),
    "signed map": (find(saliency=MAP - 1), "saliency: wants finite values .* not negative"),
    "map of NaN": (find(saliency=MAP * NAN), "saliency: wants finite values"),
    "map by name": (
        find(saliency="map"),
        r"saliency: wants a map \(H, W\) of numbers, not",
    ),
    "empty map": (
        find(saliency=MAP[:0]),
        r"saliency: wants one map \(H, W\), not the shape",
    ),
    "picture of another size": (
        find(Image.new("RGB", (9, 9))),
        "image: wants the map's siz",
    ),
    "picture by path": (
        find("a.png"),
        "image: wants a PIL picture or an array .*, not str",
    ),
    "picture above 1": (
        find(np.full((12, 12, 3), 255.0)),
        "image: wants uint8, or floats in",
    ),
    "quantiles swapped": (
        find(foreground=0.2, background=0.8),
        "foreground: wants quantiles",
    ),
    "quantile of one": (
        find(foreground=1.0),
        "foreground: wants quantiles 0 < background <",
    ),
    "negative smoothing": (find(smoothing=-1), "smoothing: wants a number from 0, not -1"),
    "no component": (
        find(components=0),
        "components: wants a whole number, 1 to 50, not 0",
    ),
    "contrast of NaN": (find(contrast=NAN), "contrast: wants a number from 0, not nan"),
    "weight by name": (find(map_weight="x"), "map_weight: wants a number from 0, not 'x'"),
    "seeds of signs": (
        call(find_seeds, -MAP),
        "saliency: wants finite values that are not",
    ),
    "points of no shape": (
        call(fit_mixture, np.zeros(3)),
        r"points: wants an array \(N, D",
    ),
    "box of three": (
        call(iou, (0, 0, 1), (0, 0, 1, 1)),
        "box_a: wants four numbers x0, y0",
    ),
    "box upside down": (
        call(iou, (0, 0, 1, 1), (0, 3, 1, 1)),
        "box_b: wants finite x0 ≤ x1",
    ),
    "box of words": (
        call(iou, "box", (0, 0, 1, 1)),
        "box_a: wants four numbers .*, not 'box",
    ),
    "shift of half the side": (
        call(averaged_saliency, MODEL, IMAGES, 1, shifts=(6,)),
        r"shifts: wants some, below half the side, not \[6\]",
    ),
    "no shift": (
        call(averaged_saliency, MODEL, IMAGES, 1, shifts=()),
        "shifts: wants some",
    ),
    # tests of maps
    "map of another size": (
        delete(saliency=MAP[:5]),
        "saliency: wants a map of the picture",
    ),
    "NaN in the order": (
        delete(saliency=MAP * NAN),
        "saliency: holds NaN or infinite values",
    ),
    "no step": (delete(steps=0), "steps: wants a whole number from 1, not 0"),
    "another score": (delete(score="loss"), "score: wants .*, not 'loss'"),
    "pictures to delete": (delete(IMAGES), r"image: wants one picture, \(1, 3, H, W\)"),
    "target to delete": (delete(target="cat"), "target: wants .*, not 'cat'"),
    "unknown to forget": (forget(["conv7"]), "layer: Busy has no layer called 'conv7'"),
    "method to forget": (forget(method=None), "method: wants a function that gives maps"),
    "boxes too few": (
        call(pointing_game, MAP[None], []),
        "boxes: 1 maps want as many, not 0",
    ),
    "boxes of words": (call(pointing_game, MAP[None], ["a"]), r"boxes: wants \(x0, y0, x1"),
    "maps to point": (
        call(pointing_game, MAP, [(0, 0, 1, 1)]),
        "maps: wants finite values",
    ),
    "maps unlike": (
        call(rank_correlation, IMAGES, IMAGES[:1]),
        r"others: wants the shape of the maps, \(2, 3, 12, 12\), not \(1, 3, 12, 12\)",
    ),
    "no values": (call(bootstrap_interval, []), "values: wants a row of finite numbers"),
    "level of one": (call(bootstrap_interval, [1, 2], level=1), r"level: wants a share in"),
    "unknown method": (call(find_method, "lime"), "method: wants one of .*, not 'lime'"),
    "method of no name": (call(find_method, ""), "method: wants one of .*, not ''"),
    "unknown methods": (
        call(compute_maps, MODEL, IMAGES, 1, ["lime"]),
        "names: wants some o",
    ),
    # sheets and folders
    "method of a sheet": (sheet("lime"), "method.*'lime'"),
    "no method": (sheet([]), "methods must name some of .*, got none"),
    "scale of a sheet": (
        sheet(scale="log"),
        "scale must be one of own, .*, got 'log'",
    ),
    "titles of a sheet": (
        sheet(titles=["a", "b"]),
        "titles must be one per picture, got 2 for 1 pictures",
    ),
    "fit of a sheet": (sheet(fit="pad"), "fit.*crop.*stretch.*'pad'"),
    "target of a sheet": (sheet(targets=9), "targets.*class 9"),
    "method of a folder": (folder_of(method="lime"), "method.*'lime'"),
    "method of no kind": (folder_of(method=3), "method must be a function .*, got 3"),
    "batch of none": (
        folder_of(batch=0),
        "batch must be a whole number .* 1, got 0",
    ),
    "workers of none": (folder_of(workers=0), "workers must be a whole number of at least"),
    "targets of a folder": (
        folder_of(targets=[1]),
        "targets must be None, one class, .*, got a list",
    ),
    "size of a folder": (folder_of(size=0), "size.*whole number.*0"),
    "std of a folder": (folder_of(std=(1, 1, 0)), "std.*three positive numbers"),
    "a folder that is none": (
        lambda f: map_folder(f / "no", MODEL),
        "folder.* no picture",
    ),
    "ending of a map": (save("map.jpg"), "path: wants a name that ends in .png, not 'map"),
    "map to save": (save("map.png", np.zeros(3)), "values: wants a map "),
    # pictures of the course
    "no photographs": (call(load_samples, 0), "num: there are 1 to 26 photos, not 0"),
    "too many": (call(load_samples, 27), "num: there are 1 to 26 photos, not 27"),
    "half a photograph": (call(load_samples, 2.5), "num: there are 1 to 26 .*, not 2.5"),
    "unknown kind": (
        call(load_samples, kind="pets"),
        "kind: wants one of photos, scenes, c",
    ),
    "no name": (
        call(load_samples, names=[]),
        r"names: wants a name or a list .*, not \[\]",
    ),
    "cut-out without alpha": (call(composite, PICTURE, PICTURE), "cutout: wants an RGBA"),
    "share above 1": (
        call(composite, CUTOUT, PICTURE, 1.5),
        r"share: wants a number in \(0",
    ),
    "place outside": (
        call(composite, CUTOUT, PICTURE, 0.5, (2, 0)),
        r"place: wants \(across",
    ),
    "no composite": (call(load_composites, 0), "count: wants a whole number from 1, not 0"),
    "shares swapped": (
        call(load_composites, 1, shares=(0.6, 0.3)),
        "shares: wants 0 < sma",
    ),
    # attention
    "channels of attention": (call(spectral_residual, PICTURE, "red"), "channels: wants"),
    "size of attention": (call(spectral_residual, PICTURE, size=1), "size: wants"),
    "blur of attention": (call(spectral_residual, PICTURE, sigma=-1), "sigma: wants"),
    "feature of attention": (call(centre_surround, PICTURE, ["motion"]), "features: wants"),
    "no centre": (
        call(centre_surround, PICTURE, centres=()),
        "centres: wants at least one",
    ),
    "kind of display": (call(popout_display, "motion"), "kind: wants one of colour, orien"),
    "items of a display": (call(popout_display, items=3), "items: wants"),
    "place in a display": (call(popout_display, place=(9, 9)), "place: wants"),
    "colour in a display": (
        call(popout_display, colour="blurple"),
        "colour: wants one suc",
    ),
}


@pytest.mark.parametrize("mistake", ROWS)
def test_one_clear_sentence_and_nothing_is_lost(mistake, tmp_path, recwarn):
    work, message = ROWS[mistake]
    (tmp_path / "map.png").write_bytes(b"as it was")
    before = toys.state(MODEL, IMAGES)
    with pytest.raises((ValueError, TypeError), match=f"^{message}") as error:
        work(tmp_path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert toys.state(MODEL, IMAGES) == before
    written = {path.name for path in tmp_path.iterdir()} - {"a.png"}
    assert written == {"map.png"}
    assert (tmp_path / "map.png").read_bytes() == b"as it was"
