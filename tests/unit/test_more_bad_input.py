"""More bad input: methods, fills, seeds, windows, boxes, folders and sheets.

As `test_bad_input`, in one line a mistake: what is called, and how the sentence begins.
Each one is a ValueError or a TypeError of `course_utils`, and a file in whose place
something bad was to be written is unchanged.
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
    deletion_insertion,
    grad_cam,
    integrated_gradients,
    iou,
    layer_gradient,
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
from course_utils.localization import GraphCut, find_seeds
from course_utils.methods import compute_maps, find_method
from course_utils.occlusion import window_starts
from course_utils.your_own import compare_methods

MODEL, SIZE = toys.Busy().train(), 12
IMAGES = toys.batch(2, SIZE)
IMAGE, MAP = IMAGES[:1], np.random.default_rng(0).random((SIZE, SIZE))
PICTURE = Image.effect_noise((SIZE, SIZE), 90).convert("RGB")
NAN, INF = float("nan"), float("inf")


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
    "no copy": (smooth(samples=0), "samples must be a whole number of at least 1, got 0"),
    "half a copy": (
        smooth(samples=2.5),
        "samples must be a whole number of at least 1, got 2.5",
    ),
    "copies by name": (smooth(samples="many"), "samples must be .*, got 'many'"),
    "true copies": (smooth(samples=True), "samples must be .*, got True"),
    "negative noise": (
        smooth(noise=-0.1),
        "noise must be a number of at least 0, got -0.1",
    ),
    "noise without end": (
        smooth(noise=INF),
        "noise must be a number of at least 0, got inf",
    ),
    "noise of no number": (
        smooth(noise=NAN),
        "noise must be a number of at least 0, got nan",
    ),
    "noise by name": (smooth(noise="loud"), "noise must be .*, got 'loud'"),
    "method by name": (smooth(method="vanilla"), "method must be a function .*'vanilla'"),
    "seed by name": (smooth(seed="a"), "seed must be a whole number, got 'a'"),
    "half a seed": (smooth(seed=0.5), "seed must be a whole number, got 0.5"),
    "no point": (integrate(steps=0), "steps must be a whole number of at least 1, got 0"),
    "half a point": (integrate(steps=1.5), "steps must be .*, got 1.5"),
    "true points": (integrate(steps=True), "steps must be .*, got True"),
    # fills
    "unknown colour": (integrate(fill="blurple"), "fill must be .*, got 'blurple'"),
    "fill of two numbers": (integrate(fill=(1, 2)), r"fill must be .*, got \(1, 2\)"),
    "fill above 255": (integrate(fill=(1, 2, 256)), r"fill must be .*, got \(1, 2, 256\)"),
    "fill of floats": (integrate(fill=(0.5, 0.5, 0.5)), "fill must be .*whole numbers"),
    "fill of nothing": (integrate(fill=None), "fill must be .*, got None"),
    "fill by number": (hide(fill=0), "fill must be .*, got 0"),
    "fill of another size": (
        hide(fill=torch.zeros(3, 4, 4)),
        r"fill must be a tensor of shape \(3,\) or \(3, 12, 12\), got \(3, 4, 4\)",
    ),
    "fill of NaN": (
        hide(fill=torch.full((3,), NAN)),
        "fill must not hold NaN",
    ),
    "colour for one channel": (
        call(fill_picture, "red", IMAGES[:, :1]),
        "fill must not be a colour for images of 1 channels",
    ),
    # layers
    "no layer": (call(layer_gradient, MODEL, IMAGES, 1, None), "layer must be the path or"),
    "layer by number": (
        call(layer_gradient, MODEL, IMAGES, 1, 3),
        "layer must be .*, got 3",
    ),
    "unknown layer": (
        call(layer_gradient, MODEL, IMAGES, 1, "conv7"),
        "layer must be a layer of Busy, got 'conv7'; near: conv",
    ),
    "layer behind the target": (
        call(layer_gradient, MODEL, IMAGES, Unit("conv", 0), "fc"),
        "layer must lead to the score, which does not depend on what 'fc' gives",
    ),
    "layer without places": (
        call(grad_cam, MODEL, IMAGES, 1, "fc"),
        "layer must give a map, with rows and columns .*; .fc. gives",
    ),
    "network without places": (
        call(grad_cam, toys.Linear(toys.batch(4, SIZE)), IMAGES, 1),
        "layer must give a map of more than one place, and Linear has no such layer",
    ),
    "rule of a layer": (
        call(layer_gradient, MODEL, IMAGES, 1, "conv", "guide"),
        "rule must be one of vanilla, guided, deconvnet, got 'guide'",
    ),
    # occlusion
    "two pictures": (
        hide(IMAGES),
        r"image must be one image, \(1, C, H, W\), got a tensor",
    ),
    "a picture without a batch": (
        hide(IMAGE[0]),
        r"image must be a tensor of shape .*\[None\] adds",
    ),
    "a PIL picture": (
        hide(PICTURE),
        "image must be a float tensor .*, got an Image; preprocess",
    ),
    "window of nothing": (
        hide(window=0),
        "window must be a whole number .*, got 0",
    ),
    "half a window": (hide(window=2.5), "window must be .*, got 2.5"),
    "window of three": (hide(window=(1, 2, 3)), r"window must be .*, got \(1, 2, 3\)"),
    "window above the picture": (
        hide(window=13),
        "window must be at most the image's 12",
    ),
    "stride of nothing": (hide(stride=0), "stride must be a whole number .*, got 0"),
    "negative stride": (hide(stride=-4), "stride must be .*, got -4"),
    "true stride": (hide(stride=True), "stride must be .*, got True"),
    "score by another name": (
        hide(score="loss"),
        'score must be "logit", "probability" or',
    ),
    "score of one number": (
        hide(score=lambda outputs: outputs.sum()),
        r"score must return one score per image",
    ),
    "score that is infinite": (
        hide(score=lambda outputs: outputs[:, 0] / 0),
        "score must be finite; the whole image scores -?inf",
    ),
    "probability of a unit": (
        hide(target=Unit("conv", 1), score="probability"),
        'score must be "logit" where the target is a Unit',
    ),
    "class that there is not": (
        hide(target=4),
        "target must be classes between 0 and 3, got 4",
    ),
    "class by name": (hide(target="cat"), "target must be None, a class index, .*'cat'"),
    "start beyond the end": (
        call(window_starts, 3, 4, 1),
        "window must be at most the image's 3",
    ),
    # class visualization
    "target of none": (climb(None), "target must be a class index, a Unit or a function"),
    "true target": (climb(True), "target must be .*, got True"),
    "target above": (climb(99), "target must be classes between 0 and .*, got 99"),
    "negative steps": (
        climb(steps=-1),
        "steps must be a whole number of at least 0, got -1",
    ),
    "tiny canvas": (climb(size=4), "size must be a whole number of at least 8, got 4"),
    "unknown canvas": (
        climb(parametrization="cppn"),
        "parametrization must be one of fourier, pixel",
    ),
    "negative penalty": (climb(l2=-1), "l2 must be a number of at least 0, got -1"),
    "penalty of no number": (climb(tv=NAN), "tv must be a number of at least 0, got nan"),
    "rate by name": (climb(lr="fast"), "lr must be a number of at least 0, got 'fast'"),
    "half a shift": (
        climb(jitter=1.5),
        "jitter must be a whole number of at least 0, got 1.5",
    ),
    "half a rhythm": (
        climb(blur_every=0.5),
        "blur_every must be a whole number of at least 0",
    ),
    "seed of words": (climb(seed="x"), "seed must be a whole number, got 'x'"),
    "std of zero": (climb(std=(0, 1, 1)), "std must be 3 numbers"),
    "mean of two": (climb(mean=(0, 1)), "std must be 2 numbers above 0 .one per channel"),
    # localization
    "maps of a batch": (find(saliency=MAP[None]), r"saliency must be one map of shape \(H"),
    "signed map": (find(saliency=MAP - 1), "saliency must not be negative"),
    "map of NaN": (find(saliency=MAP * NAN), "saliency must not"),
    "map by name": (
        find(saliency="map"),
        r"saliency must be a map \(H, W\) of numbers, got 'map'",
    ),
    "empty map": (find(saliency=MAP[:0]), "saliency must be one map .*, got shape"),
    "picture of another size": (
        find(Image.new("RGB", (9, 9))),
        "image must have the map's size",
    ),
    "picture by path": (find("a.png"), "image must be a PIL image or an array .*'a.png'"),
    "picture above 1": (
        find(np.full((12, 12, 3), 255.0)),
        "image must hold uint8, or floats between 0 and 1",
    ),
    "quantiles swapped": (
        find(foreground=0.2, background=0.8),
        r"foreground must be above background \(0.8\) and below 1, got 0.2",
    ),
    "quantile of one": (find(foreground=1.0), "foreground must be above .*, got 1.0"),
    "cut of a dict": (find(cut={}), "cut must be a GraphCut, got a dict"),
    "negative smoothing": (
        call(GraphCut, smoothing=-1),
        "smoothing must be a number of at least 0, got -1",
    ),
    "no component": (
        call(GraphCut, components=0),
        "components must be a whole number between 1 and 50, got 0",
    ),
    "contrast of NaN": (
        call(GraphCut, contrast=NAN),
        "contrast must be a number .*got nan",
    ),
    "weight by name": (call(GraphCut, map_weight="x"), "map_weight must be .*, got 'x'"),
    "seeds of signs": (call(find_seeds, -MAP), "saliency must not be negative"),
    "box of three": (
        call(iou, (0, 0, 1), (0, 0, 1, 1)),
        r"box_a must be 4 numbers \(x0, y0",
    ),
    "box upside down": (
        call(iou, (0, 0, 1, 1), (0, 3, 1, 1)),
        "box_b must be a box with x0 ≤ x1",
    ),
    "box of words": (
        call(iou, "box", (0, 0, 1, 1)),
        "box_a must be 4 numbers .*, got 'box",
    ),
    "shift of half the side": (
        call(averaged_saliency, MODEL, IMAGES, 1, shifts=(6,)),
        r"shifts must be one or more, each less than half the image's side, got \[6\]",
    ),
    "no shift": (
        call(averaged_saliency, MODEL, IMAGES, 1, shifts=()),
        "shifts must be",
    ),
    # tests of maps
    "map of another size": (
        delete(saliency=MAP[:5]),
        "saliency must be a map of the image",
    ),
    "NaN in the order": (
        delete(saliency=MAP * NAN),
        "saliency must not hold NaN",
    ),
    "no step": (delete(steps=0), "steps must be a whole number of at least 1, got 0"),
    "another score": (
        delete(score="loss"),
        "score must be one of probability, logit, got 'loss'",
    ),
    "pictures to delete": (delete(IMAGES), r"image must be one image, \(1, C, H, W\)"),
    "target to delete": (delete(target="cat"), "target must be .*, got 'cat'"),
    "unknown to forget": (forget(["conv7"]), "layer must be .*, got 'conv7'"),
    "method to forget": (forget(method=None), "method must be a function"),
    "boxes too few": (
        call(pointing_game, MAP[None], []),
        "boxes must be one per map, 1, got 0",
    ),
    "boxes of words": (
        call(pointing_game, MAP[None], ["a"]),
        r"boxes must be 4 numbers \(x0, y0",
    ),
    "maps to point": (
        call(pointing_game, MAP, [(0, 0, 1, 1)]),
        "maps must be finite values",
    ),
    "maps unlike": (
        call(rank_correlation, IMAGES, IMAGES[:1]),
        r"others must have the shape of the maps, \(2, 3, 12, 12\), got \(1, 3, 12, 12\)",
    ),
    "no values": (call(bootstrap_interval, []), "values must be a row of finite numbers"),
    "level of one": (call(bootstrap_interval, [1, 2], level=1), r"level must be between 0"),
    "unknown method": (call(find_method, "lime"), "method must be one of .*, got .lime"),
    "method of no name": (call(find_method, ""), "method must be one of .*, got ''"),
    "unknown methods": (
        call(compute_maps, MODEL, IMAGES, 1, ["lime"]),
        "names must be one of",
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
        "titles must be one text per picture, got .* for 1 pictures",
    ),
    "fit of a sheet": (sheet(fit="pad"), "fit must be one of crop, stretch, got 'pad'"),
    "target of a sheet": (
        sheet(targets=9),
        "targets must be classes between 0 and 3",
    ),
    "method of a folder": (
        folder_of(method="lime"),
        "method must be one of .*, got 'lime'",
    ),
    "method of no kind": (folder_of(method=3), "method must be a function .*, got 3"),
    "batch of none": (
        folder_of(batch=0),
        "batch must be a whole number .* 1, got 0",
    ),
    "workers of none": (folder_of(workers=0), "workers must be a whole number of at least"),
    "targets of a folder": (
        folder_of(targets=[1]),
        "targets must be None, one class, .*, got",
    ),
    "size of a folder": (folder_of(size=0), "size must be a whole number of at least 1"),
    "std of a folder": (folder_of(std=(1, 1, 0)), "std must be 3 numbers above 0"),
    "a folder that is none": (
        lambda f: map_folder(f / "no", MODEL),
        "folder must contain pictures",
    ),
    "ending of a map": (save("map.jpg"), "path must end in .png, got 'map.jpg'"),
    "map to save": (save("map.png", np.zeros(3)), "values must be a map "),
    # attention
    "channels of attention": (call(spectral_residual, PICTURE, "red"), "channels must be"),
    "size of attention": (call(spectral_residual, PICTURE, size=1), "size must be"),
    "blur of attention": (call(spectral_residual, PICTURE, sigma=-1), "sigma must be"),
    "feature of attention": (
        call(centre_surround, PICTURE, ["motion"]),
        "features must be",
    ),
    "no centre": (
        call(centre_surround, PICTURE, centres=()),
        "centres must hold at least one",
    ),
    "kind of display": (
        call(popout_display, "motion"),
        "kind must be one of colour, orien",
    ),
    "items of a display": (call(popout_display, items=3), "items must be"),
    "place in a display": (call(popout_display, place=(9, 9)), "place must be"),
    "colour in a display": (
        call(popout_display, colour="blurple"),
        "colour must be a colour suc",
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
