"""Helpers of the course *Saliency maps, hands on*.

One module for each topic of a lesson, and the modules that they build on. Every public name
can be imported from here; the module that defines it is written to be read.
"""

from typing import TYPE_CHECKING

from .environment import BrokenPackageError, check_environment, course_version, require

__version__ = course_version()

try:
    require("numpy", "torch", "torchvision")
    from .attention import centre_surround, popout_display, spectral_residual
    from .class_visualization import Recipe, Visualization, visualize_class
    from .evaluation import (
        bootstrap_interval,
        deletion_insertion,
        pointing_game,
        randomization_test,
    )
    from .gradients import (
        deconvnet,
        guided_backprop,
        input_gradient,
        layer_gradient,
        vanilla_saliency,
    )
    from .images import IMAGENET_MEAN, IMAGENET_STD, deprocess, load_image, preprocess
    from .inputs import Inputs
    from .localization import GraphCut, Localization, averaged_saliency, iou, localize
    from .methods import METHODS, Method, compute_maps
    from .models import (
        Unit,
        class_name,
        class_names,
        find_classes,
        load_model,
        summarize,
    )
    from .more_maps import grad_cam, integrated_gradients, smooth_grad
    from .occlusion import OcclusionMap, occlusion
    from .samples import (
        Composite,
        Samples,
        composite,
        load_composites,
        load_samples,
        two_class_picture,
    )
    from .shortcuts import (
        PictureRecipe,
        Planted,
        animal_share,
        brightness_on,
        plant_shortcut,
        swap_effect,
        swap_table,
        train_probe,
    )
    from .targets import target_scores
    from .your_own import FolderRun, Sheet, compare_methods, map_folder, repeat_sheet
except (ModuleNotFoundError, BrokenPackageError) as error:
    _MISSING = error.name or ""
    if _MISSING.startswith(__name__):
        raise
    if isinstance(error, BrokenPackageError):
        _WHY, _HELP = f"cannot be imported ({error})", "says what to do"
    else:
        _WHY, _HELP = "is not installed", "lists what is missing"

    if not TYPE_CHECKING:  # to a type checker, every name would seem to exist

        def __getattr__(name: str):
            if name not in __all__:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
            raise ModuleNotFoundError(
                f"course_utils.{name} needs {_MISSING}, which {_WHY}; "
                f"course_utils.check_environment() {_HELP}",
                name=_MISSING,
            )


# fmt: off
__all__ = [
    "IMAGENET_MEAN", "IMAGENET_STD", "METHODS", "Composite", "FolderRun",
    "GraphCut", "Inputs", "Localization", "Method", "OcclusionMap", "PictureRecipe",
    "Planted", "Recipe", "Samples", "Sheet", "Unit", "Visualization", "animal_share",
    "averaged_saliency", "bootstrap_interval",
    "brightness_on", "centre_surround", "check_environment", "class_name",
    "class_names", "compare_methods", "composite", "compute_maps", "deconvnet",
    "deletion_insertion", "deprocess", "find_classes", "grad_cam",
    "guided_backprop", "input_gradient", "integrated_gradients", "iou",
    "layer_gradient", "load_composites", "load_image", "load_model", "load_samples",
    "localize", "map_folder", "occlusion", "plant_shortcut", "pointing_game",
    "popout_display", "preprocess", "randomization_test", "repeat_sheet", "smooth_grad",
    "spectral_residual", "summarize", "swap_effect", "swap_table", "target_scores",
    "train_probe", "two_class_picture", "vanilla_saliency", "visualize_class",
]
# fmt: on
