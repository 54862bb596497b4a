"""Bad input: one clear sentence that names the argument, and nothing is lost.

One row a mistake: what is called, which exception it raises, and what that says: the
argument first, then what came and what is wanted.
"""

import numpy as np
import pytest
import torch
import toys
from torch import nn
from torchvision.models import VisionTransformer

from course_utils import (
    Unit,
    class_name,
    deprocess,
    figures,
    find_classes,
    guided_backprop,
    input_gradient,
    load_image,
    load_model,
    load_samples,
    preprocess,
    vanilla_saliency,
)
from course_utils.images import fit_box

MODEL = toys.Busy().train()
IMAGES = toys.batch(2)
NOT_WHOLE = "must be None, a class index, one index per image, a Unit or a function"


def saliency(images=IMAGES, targets=0, model=MODEL):
    return lambda: vanilla_saliency(model, images, targets)


def unit(*arguments):
    return saliency(targets=Unit(*arguments))


def with_nan(value=float("nan")):
    images = IMAGES.clone()
    images[1, 2, 3, 4] = value
    return images


class Detached(toys.Busy):
    def forward(self, x):
        return super().forward(x).detach()


class Stepwise(toys.Busy):
    def forward(self, x):
        return super().forward((x > 0).float())


class OneForAll(toys.Busy):
    def forward(self, x):
        return super().forward(x).mean(dim=0, keepdim=True)


class Overwrites(toys.Busy):
    def forward(self, x):
        x = torch.sigmoid(x)
        y = super().forward(x)
        x.data = x.data  # keeps its graph …
        x.add_(1)  # … but not the values that the graph needs
        return y


VISION = VisionTransformer(
    image_size=32, patch_size=8, num_layers=1, num_heads=1, hidden_dim=8, mlp_dim=8
)

ROWS = {
    # the pictures
    "a list of pictures": (
        *(saliency([1, 2]), TypeError),
        r"images must be a float tensor of shape \(N, C, H, W\), got \[1, 2\]; pre",
    ),
    "an array": (
        saliency(IMAGES.numpy()),
        TypeError,
        "images must be a float tensor .*, got an array of shape",
    ),
    "nothing": (saliency(None), TypeError, "images must be a float tensor .*, got None"),
    "one picture without a batch": (
        *(saliency(IMAGES[0]), ValueError),
        r"images must .* \(N, C, H, W\) .*, got shape \(3, 8, 8\); images\[None\] adds",
    ),
    "five axes": (
        saliency(IMAGES[None]),
        ValueError,
        r"images must .*, got shape \(1, 2, 3, 8, 8\)$",
    ),
    "no picture": (
        saliency(IMAGES[:0]),
        ValueError,
        "images must .* one pixel",
    ),
    "no pixel": (
        saliency(IMAGES[..., :0]),
        ValueError,
        r"images must .* at least one pixel, got shape \(2, 3, 8, 0",
    ),
    "bytes": (saliency(IMAGES.byte()), TypeError, "images must be floats, got torch.uint8"),
    "whole numbers": (
        saliency(IMAGES.long()),
        TypeError,
        "images must be floats, got torch.int",
    ),
    "complex numbers": (
        saliency(IMAGES + 0j),
        TypeError,
        "images must be floats, got torch.com",
    ),
    "NaN": (
        saliency(with_nan()),
        ValueError,
        "images must not hold NaN or infinite",
    ),
    "infinity": (
        saliency(with_nan(-torch.inf)),
        ValueError,
        "images must not hold NaN or infinite",
    ),
    "double precision": (
        *(saliency(IMAGES.double()), TypeError),
        r"images must have .* torch.float32, got torch.float64; images.to\(torch.",
    ),
    "another device": (
        *(saliency(IMAGES.to("meta")), ValueError),
        r'images must be on the model.s device, cpu, got meta; images.to\("cpu"\)',
    ),
    "one channel": (
        *(saliency(IMAGES[:, :1]), RuntimeError),
        r"images of shape \(2, 1, 8, 8\) do not go through Busy \(.*channels",
    ),
    "too small": (
        *(saliency(IMAGES[..., :2]), RuntimeError),
        r"images of shape \(2, 3, 8, 2\) do not go through Busy \(.*ernel",
    ),
    "another size than a transformer's": (
        *(saliency(IMAGES, model=VISION), RuntimeError),
        r"images .* do not go through VisionTransformer \(Wrong image height! Expected 32",
    ),
    # the targets
    "class above the last": (
        *(saliency(targets=4), ValueError),
        "targets must be classes between 0 and 3, got 4",
    ),
    "negative class": (
        saliency(targets=-1),
        ValueError,
        "targets must be classes between 0 and 3, got -1",
    ),
    "one class of two out of range": (
        *(saliency(targets=[1, 1000]), ValueError),
        "targets must be classes between 0 and 3, got 1000",
    ),
    "too few classes": (
        *(saliency(targets=[1]), ValueError),
        r"targets must be one class for each of 2 images, got a tensor of shape \(1,\)",
    ),
    "too many classes": (
        saliency(targets=range(3)),
        ValueError,
        r"targets must be .* 2 images, got a tensor of shape \(3,\)",
    ),
    "two axes of classes": (
        *(saliency(targets=[[1], [2]]), ValueError),
        r"targets must be .* got a tensor of shape \(2, 1\)",
    ),
    "ragged classes": (saliency(targets=[[1], [2, 3]]), TypeError, f"targets {NOT_WHOLE}"),
    "no classes": (saliency(targets=[]), TypeError, rf"targets {NOT_WHOLE}.*, got \[\]"),
    "float class": (saliency(targets=1.0), TypeError, f"targets {NOT_WHOLE}.*, got 1.0"),
    "float classes": (saliency(targets=[1.0, 2]), TypeError, r"targets .*got \[1.0, 2\]"),
    "float tensor": (
        saliency(targets=torch.ones(2)),
        TypeError,
        "targets .*got torch.float32",
    ),
    "float array": (saliency(targets=np.ones(2)), TypeError, "targets .*got float64"),
    "truth values": (
        saliency(targets=[True, False]),
        TypeError,
        r"targets .*got \[True, Fals",
    ),
    "a truth value": (saliency(targets=True), TypeError, "targets .*got True"),
    "complex class": (
        saliency(targets=torch.tensor(1j)),
        TypeError,
        "targets .*got torch.comp",
    ),
    "a name": (saliency(targets="cat"), TypeError, f"targets {NOT_WHOLE}.*, got 'cat'"),
    "names": (
        saliency(targets=["cat", "dog"]),
        TypeError,
        r"targets .*got \['cat', 'dog'\]",
    ),
    "a dictionary": (saliency(targets={0: 1}), TypeError, "targets .*got a dict"),
    "an endless list": (
        saliency(targets=[0.5] * 9999),
        TypeError,
        r"targets .{,130}, \.\.\.\]$",
    ),
    "an enormous class": (
        saliency(targets=[1, 1 << 80]),
        TypeError,
        f"targets {NOT_WHOLE}",
    ),
    "function that gives one score for all": (
        *(saliency(targets=lambda scores: scores.sum()), ValueError),
        r"targets must return one score per image, .*\(2,\), got a tensor of shape \(\)",
    ),
    "function that gives all scores": (
        *(saliency(targets=lambda scores: scores), ValueError),
        r"targets must return one score per image, .* got a tensor of shape \(2, 4\)",
    ),
    "function that gives nothing": (
        *(saliency(targets=lambda scores: None), ValueError),
        "targets must return one score per image, .* got None",
    ),
    "function that detaches": (
        *(saliency(targets=lambda scores: scores.detach()[:, 0]), ValueError),
        "targets must name scores with a gradient; the graph is cut, by detach",
    ),
    "function without a derivative": (
        *(saliency(targets=lambda scores: scores.argmax(dim=1)), ValueError),
        "targets must name scores with a gradient; .*argmax",
    ),
    # hidden units
    "unknown layer": (
        *(unit("conv2", 0), ValueError),
        "layer must be a layer of Busy, got 'conv2'; near: conv",
    ),
    "layer by number": (
        unit(3, 0),
        ValueError,
        "layer must be a layer of Busy, got 3; friendly_",
    ),
    "the network itself": (
        unit("", 0),
        ValueError,
        "layer must be a layer of Busy, got ''",
    ),
    "channel above the last": (
        *(unit("conv", 6), ValueError),
        "targets must name a channel of layer 'conv' between 0 and 5, got 6",
    ),
    "negative channel": (
        unit("conv", -1),
        ValueError,
        "targets must name .*, got -1",
    ),
    "position outside": (
        *(unit("conv", 0, (6, 0)), ValueError),
        r"targets must .* 'conv', which has 6 rows and 6 columns, got \(6, 0\)",
    ),
    "negative position": (
        unit("conv", 0, (0, -1)),
        ValueError,
        r"targets .*got \(0, -1",
    ),
    "position in a layer without rows": (
        *(unit("fc", 0, (0, 0)), ValueError),
        "targets must have no position: layer 'fc' has channels only",
    ),
    "layer of tokens": (
        *(saliency(toys.batch(2, 32), Unit("encoder", 0), VISION), ValueError),
        r"targets must be a Unit .*; layer 'encoder' gives a tensor of shape \(2, 17, 8\)",
    ),
    # the network
    "no network": (
        saliency(model=None),
        TypeError,
        "model must be a torch.nn.Module, got None",
    ),
    "its name": (
        saliency(model="squeezenet1_1"),
        TypeError,
        "model must be .*Module, got 'squeezenet",
    ),
    "a function": (
        saliency(model=torch.relu),
        TypeError,
        "model must be .*, got a builtin_fun",
    ),
    "outputs in a dictionary": (
        *(saliency(model=toys.Constant({"out": IMAGES})), ValueError),
        r"model must return scores of shape \(2, classes\), got a dict; pass a function",
    ),
    "outputs with rows and columns": (
        *(saliency(model=nn.Conv2d(3, 4, 3)), ValueError),
        r"model must return scores of shape \(2, classes\), got a tensor of shape \(2, 4",
    ),
    "one score a picture": (
        *(saliency(model=toys.Constant(torch.ones(2))), ValueError),
        r"model must return scores of shape \(2, classes\), got a tensor of shape \(2,\)",
    ),
    "scores of one picture only": (
        *(saliency(model=OneForAll()), ValueError),
        r"model must return scores of shape \(2, classes\), got a tensor of shape \(1, 4\)",
    ),
    "scores that do not depend on the picture": (
        *(saliency(model=toys.Constant(torch.ones(2, 4))), ValueError),
        "targets must name scores with a gradient; the graph is cut",
    ),
    "scores that depend on something else": (
        *(
            saliency(model=toys.Constant(torch.ones(2, 4, requires_grad=True) * 2)),
            ValueError,
        ),
        "targets must name scores with a gradient; the graph is cut",
    ),
    "detached scores": (
        *(saliency(model=Detached()), ValueError),
        "targets must name scores with a gradient; the graph is cut",
    ),
    "a step function": (
        *(saliency(model=Stepwise()), ValueError),
        "targets must name scores with a gradient; the graph is cut",
    ),
    "a network without forward": (
        *(saliency(model=nn.Module()), RuntimeError),
        r"images .* do not go through Module \(Module \[Module\] is missing .*forward",
    ),
    "a network that overwrites what its gradient needs": (
        *(saliency(model=Overwrites()), RuntimeError),
        r"the model.s backward pass failed \(.*modified by an inplace operation",
    ),
    # the rule
    "unknown rule": (
        *(lambda: input_gradient(MODEL, IMAGES, 0, rule="guide"), ValueError),
        "rule must be one of vanilla, guided, deconvnet, got 'guide'",
    ),
    "rule of no kind": (
        *(lambda: input_gradient(MODEL, IMAGES, 0, rule=None), ValueError),
        "rule must be one of .*, got None",
    ),
    "guided without a ReLU": (
        *(lambda: guided_backprop(toys.Linear(toys.batch(4)), IMAGES, 0), ValueError),
        "model must have a ReLU on the way .*'guided' changes only .*; Linear has none",
    ),
    # loading a network
    "unknown network": (
        *(lambda: load_model("squeezenet"), ValueError),
        "name must be .*classifier, got 'squeezenet'; did you mean squeezenet1_1 or",
    ),
    "network far from all": (
        *(lambda: load_model("xqzw", "random"), ValueError),
        r"name must be .*, got 'xqzw'; models.list_models\(\) lists",
    ),
    "unknown network from a file": (
        *(lambda: load_model("resnet", "mine.pt"), ValueError),
        "name must be .*, got 'resnet'",
    ),
    "network of no kind": (
        *(lambda: load_model(["squeezenet1_1"]), TypeError),
        r"name must be a module or a torchvision classifier, got \['squeezenet1_1'\]",
    ),
    "not bundled": (
        *(lambda: load_model("alexnet", "bundled"), ValueError),
        "weights of 'alexnet' are not bundled; weights=\"torchvision\" downloads them once",
    ),
    "weights of no kind": (
        *(lambda: load_model("alexnet", {"a": 1}), TypeError),
        'weights must be "bundled", "torchvision", "random" or the path of .*, got a dict',
    ),
    "missing checkpoint": (
        *(lambda: load_model("squeezenet1_1", "nothing.pt"), FileNotFoundError),
        'there is no file nothing.pt; weights must be "bundled", "torchvision", "random"',
    ),
    "folder for a checkpoint": (
        *(lambda: load_model("squeezenet1_1", "."), FileNotFoundError),
        "there is no file",
    ),
    "module without a checkpoint": (
        *(lambda: load_model(nn.Identity()), ValueError),
        "weights must be a path where the network is a module, got None",
    ),
    "module with a word": (
        *(lambda: load_model(nn.Identity(), "random"), ValueError),
        "weights must be a path where the network is a module, got 'random'",
    ),
    "unknown device": (
        *(lambda: load_model(device="gpu"), ValueError),
        r"device must be available on this machine, got 'gpu' \(",
    ),
    # classes and photographs
    "class index out of range": (
        *(lambda: class_name(1000), ValueError),
        "index must be a whole number between 0 and 999, got 1000",
    ),
    "negative class index": (
        *(lambda: class_name(-1), ValueError),
        "index must be .*, got -1",
    ),
    "class index of no kind": (
        *(lambda: class_name("cat"), TypeError),
        "index must be a whole number .*, got 'cat'",
    ),
    "float class index": (lambda: class_name(1.5), TypeError, "index must .*, got 1.5"),
    "unknown class": (
        *(lambda: find_classes("labradr"), ValueError),
        "word must be part of .*, got 'labradr'; near: .*Labrador retriever",
    ),
    "unknown photograph": (
        *(lambda: load_samples(names="golden_retreiver"), ValueError),
        "names must be .*, got 'golden_retreiver'; did you mean golden",
    ),
    # loading a picture
    "missing picture": (
        *(lambda: load_image("nothing.png"), FileNotFoundError),
        "there is no file nothing.png",
    ),
    "missing pictures": (
        *(lambda: preprocess(["a.png", "b.png"]), FileNotFoundError),
        "there is no file a.png",
    ),
    "folder": (lambda: load_image("."), IsADirectoryError, ". is a folder, not a picture"),
    "no path": (lambda: load_image("x" * 9999), FileNotFoundError, ".* no file x{200}$"),
    "impossible path": (
        *(lambda: load_image("a\0b"), FileNotFoundError),
        "there is no file",
    ),
    "empty bytes": (
        *(lambda: load_image(b""), ValueError),
        "source cannot be opened: the data is empty",
    ),
    "no picture in the bytes": (
        *(lambda: load_image(b"these words are no picture"), ValueError),
        "source cannot be opened: the data is not a picture or has a damaged header",
    ),
    "text file": (
        *(lambda: load_image(open(__file__, encoding="utf-8")), TypeError),  # noqa: PTH123, SIM115
        'source must be binary; open .*test_bad_input.py with the mode "rb"',
    ),
    "picture of no kind": (
        *(lambda: load_image(3.5), TypeError),
        "source must be a path, a URL, bytes, an upload, a PIL image or an array, got 3.5",
    ),
    "nothing uploaded, 7": (
        *(lambda: load_image({}), ValueError),
        "source is empty: nothing has been uploaded yet",
    ),
    "nothing uploaded, 8": (
        *(lambda: load_image(()), ValueError),
        "source is empty: nothing has been uploaded yet",
    ),
    "a dictionary of something": (
        *(lambda: load_image({"a": 1}), TypeError),
        "source must be a path, .*, got a dict",
    ),
    "array of no shape": (
        *(lambda: load_image(np.zeros(5)), ValueError),
        r"source must be an array of shape \(H, W\), .*, got \(5,\)$",
    ),
    "channels first": (
        *(lambda: load_image(torch.zeros(3, 9, 9)), ValueError),
        r"source .*, got \(3, 9, 9\); permute or transpose \(1, 2, 0\) puts the colours",
    ),
    "empty array": (
        *(lambda: load_image(np.zeros((0, 4))), ValueError),
        r"source must not be empty, got an array of shape \(0, 4\)",
    ),
    "array of whole numbers": (
        *(lambda: load_image(np.zeros((4, 4), int)), ValueError),
        "source must be a uint8 or float array, got int64",
    ),
    "array above 1": (
        *(lambda: load_image(np.full((4, 4), 255.0)), ValueError),
        r"source must have values in \[0, 1\] if it is float, got 255 to 255",
    ),
    "array with NaN": (
        *(lambda: load_image(np.full((4, 4), np.nan)), ValueError),
        r"source must have values in \[0, 1\] if it is float, got nan",
    ),
    # to a network's input and back
    "no pictures": (
        *(lambda: preprocess([]), ValueError),
        "images must be at least one picture, got none",
    ),
    "normalised already": (
        *(lambda: preprocess(IMAGES), ValueError),
        r"images\[0\] must be an array of shape .*, got \(3, 8, 8\)",
    ),
    "size of zero": (
        *(lambda: preprocess(np.zeros((4, 4)), 0), ValueError),
        "size must be a whole number of at least 1, got 0",
    ),
    "true size": (
        *(lambda: preprocess(np.zeros((4, 4)), True), ValueError),
        "size must be a whole number of at least 1, got True",
    ),
    "size of three sides": (
        *(lambda: preprocess(np.zeros((4, 4)), (4, 4, 3)), ValueError),
        r"size must be 2 whole numbers of at least 1 \(height, width\), got .4, 4, 3",
    ),
    "unknown fit": (
        *(lambda: preprocess(np.zeros((4, 4)), fit="pad"), ValueError),
        "fit must be one of crop, stretch, got 'pad'",
    ),
    "too long a picture": (
        *(lambda: preprocess(np.zeros((1, 9999))), ValueError),
        'fit must be "stretch" for a picture of 9999×1',
    ),
    "one mean": (
        *(lambda: preprocess(np.zeros((4, 4)), mean=0.5), ValueError),
        "mean must be one number per channel, got 0.5",
    ),
    "mean of no kind": (
        *(lambda: preprocess(np.zeros((4, 4)), mean="imagenet"), ValueError),
        "mean must be one number per channel, got 'imagenet'",
    ),
    "std of zero": (
        *(lambda: preprocess(np.zeros((4, 4)), std=(1, 0, 1)), ValueError),
        r"std must be 3 numbers above 0 .one per channel, as in mean., got \(1, 0, 1\)",
    ),
    "std with NaN": (
        *(lambda: deprocess(IMAGES, std=(1, 1, float("nan"))), ValueError),
        "std must be 3 numbers above 0",
    ),
    "array to deprocess": (
        *(lambda: deprocess(IMAGES.numpy()), ValueError),
        r"images must be a tensor of shape \(3, H, W\) or .*, got an array of shape",
    ),
    "map to deprocess": (
        *(lambda: deprocess(IMAGES[:, :1]), ValueError),
        r"images must be a tensor .*, got a tensor of shape \(2, 1, 8, 8\)",
    ),
    "NaN to deprocess": (
        *(lambda: deprocess(with_nan()), ValueError),
        "images must be finite, got NaN or infinite values",
    ),
    "box of no fit": (
        *(lambda: fit_box((0, 0, 1, 1), (4, 4), fit="pad"), ValueError),
        "fit must be one of crop, stretch, got 'pad'",
    ),
    # figures
    "unknown scale": (
        *(lambda: figures.map_limits([np.eye(2)], "own"), ValueError),
        "scale must be one of each, shared, got 'own'",
    ),
    "map with NaN": (
        *(lambda: figures.map_limits([np.eye(2), np.full((2, 2), np.nan)]), ValueError),
        r"maps\[1\] is empty or holds NaN or infinite values",
    ),
    "nothing to plot": (
        *(lambda: figures.plot_images([]), ValueError),
        "images must not be empty: there is nothing to plot",
    ),
    "fewer titles than pictures": (
        *(lambda: figures.plot_images([np.zeros((2, 2, 3))] * 2, ["a"]), ValueError),
        "titles must have one text for each of 2 images, got 1",
    ),
    "fewer maps than pictures": (
        *(lambda: figures.plot_maps([np.zeros((2, 2))] * 2, [np.eye(2)]), ValueError),
        "maps must have one map for each of 2 images, got 1",
    ),
    "signed map of three channels": (
        *(lambda: figures.plot_maps([np.zeros((8, 8))] * 2, IMAGES), ValueError),
        r"saliency must be a map \(H, W\) with H = W, got the shape \(3, 8, 8\)",
    ),
    "oblong map": (
        *(lambda: figures.overlay(np.zeros((8, 8)), np.ones((4, 8))), ValueError),
        r"saliency must be a map \(H, W\) with H = W, got the shape \(4, 8\)",
    ),
}


@pytest.mark.parametrize("mistake", ROWS)
def test_one_clear_sentence_and_nothing_is_lost(mistake, recwarn):
    call, kind, message = ROWS[mistake]
    before = toys.state(MODEL, IMAGES)
    with pytest.raises(kind, match=f"^{message}") as error:
        call()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert toys.state(MODEL, IMAGES) == before
    assert not [w for w in recwarn if w.category is not ResourceWarning]
