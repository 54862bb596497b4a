"""Helpers of the course *Saliency maps, hands on*.

One module a topic, named after its lesson. Every public name can be imported from here;
its module is loaded when the name is first used, so that ``import course_utils`` is
instant and works even where torch is still missing (see `check_environment`).
"""

import importlib
import sys
from types import ModuleType

__version__ = "0.1.0"

_MODULES = {
    "attention": ("centre_surround", "popout_display", "spectral_residual"),
    "class_visualization": ("Visualization", "visualize_class"),
    "environment": ("check_environment",),
    "evaluation": (
        "bootstrap_interval",
        "deletion_insertion",
        "pointing_game",
        "randomization_test",
    ),
    "gradients": (
        "deconvnet",
        "grad_cam",
        "guided_backprop",
        "input_gradient",
        "integrated_gradients",
        "layer_gradient",
        "smooth_grad",
        "vanilla_saliency",
    ),
    "images": ("IMAGENET_MEAN", "IMAGENET_STD", "deprocess", "load_image", "preprocess"),
    "box_folders": ("evaluate_folder",),
    "localization": ("Localization", "averaged_saliency", "iou", "localize"),
    "map_folders": ("FolderRun", "map_folder"),
    "methods": ("METHODS", "Method", "compute_maps"),
    "models": (
        "Unit",
        "class_name",
        "class_names",
        "find_classes",
        "load_model",
        "summarize",
    ),
    "occlusion": ("OcclusionMap", "occlusion"),
    "samples": (
        "Composite",
        "Samples",
        "composite",
        "load_composites",
        "load_samples",
        "two_class_picture",
    ),
    "sheets": ("Sheet", "compare_methods", "repeat_sheet"),
    "shortcuts": (
        "Planted",
        "Recipe",
        "animal_share",
        "brightness_on",
        "plant_shortcut",
        "swap_effect",
        "swap_table",
        "train_probe",
    ),
    "targets": ("target_scores",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # noqa: PLE0605 - the names stand in _MODULES, once


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value  # the next look-up finds it without asking here
    return value


class _Package(ModuleType):
    """Keeps the function `occlusion` apart from its module, which has the same name.

    Whoever imports a module binds it to its package; a public name goes before.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and name in _HOME):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
