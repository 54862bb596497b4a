"""Helpers of the course *Saliency maps, hands on*.

One module a topic, named after its lesson. Everything of the public contract can be
imported from here; what draws or asks (figures, labs, checks) is a module of its own,
loaded when it is first used.
"""

import importlib

from .gradients import deconvnet, guided_backprop, input_gradient, vanilla_saliency
from .images import IMAGENET_MEAN, IMAGENET_STD, deprocess, load_image, preprocess
from .models import Unit, class_name, class_names, find_classes, load_model
from .samples import Samples, load_samples, two_class_picture
from .targets import target_scores

__version__ = "0.1.0"

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Samples",
    "Unit",
    "class_name",
    "class_names",
    "deconvnet",
    "deprocess",
    "find_classes",
    "guided_backprop",
    "input_gradient",
    "load_image",
    "load_model",
    "load_samples",
    "preprocess",
    "target_scores",
    "two_class_picture",
    "vanilla_saliency",
]

_ON_DEMAND = ("checks", "figures", "labs")


def __getattr__(name: str):
    if name in _ON_DEMAND:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
