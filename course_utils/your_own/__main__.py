"""The command line of `map_folder`: ``python -m course_utils.your_own photos``."""

import argparse
import sys
from collections.abc import Sequence

import torch

from ..methods import METHODS
from ..models import class_names, load_model
from .folder import FolderRun, map_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Map a folder as the command line says; returns the exit code."""
    settings = vars(_parser().parse_args(arguments))
    name, weights = settings.pop("model"), settings.pop("weights")
    if weights in (None, "bundled", "torchvision"):
        settings["names"] = class_names()
    try:
        model = load_model(name, weights, "cuda" if torch.cuda.is_available() else "cpu")
        run = map_folder(model=model, progress=_report, **settings)
    except KeyboardInterrupt:
        _say("Stopped. The maps so far are kept; the same command goes on from there.")
        return 130
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        _say(str(error))
        return 1
    for name, reason in run.skipped.items():
        _say(f"skipped: {name} ({reason})")
    for name in run.blank:
        _say(f"blank: {name} (its map is zero everywhere, or not finite)")
    _say(f"{run!r} in {run.out}, {run.seconds:.1f} s")
    return 3 if run.skipped else 0


def _report(done: int, total: int, run: FolderRun) -> None:
    _say(f"{done} of {total} pictures, {done / run.seconds:.1f} per second")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    """The options; all but the network's are arguments of `map_folder`."""
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.your_own",
        description="Write a saliency map for every picture of a folder: PICTURE.map.npz, "
        "and maps.csv with what each explains. If stopped, the same command goes on.",
        epilog="Exit code: 0 done, 1 mistake, 3 some pictures skipped, 130 interrupted.",
    )
    add = parser.add_argument
    add("folder", help="pictures, with the folders inside it")
    add("--out", help="folder of the maps (default: beside the pictures)")
    add("--method", default="vanilla", help=f"{', '.join(METHODS)} (default: vanilla)")
    add("--model", default="squeezenet1_1", help="of torchvision (default: %(default)s)")
    add("--weights", help="bundled, torchvision, random, or the path of a checkpoint")
    top = "a class (default: the top class of each picture)"
    add("--target", type=int, dest="targets", metavar="TARGET", help=top)
    add("--size", type=int, default=224, help="side in pixels (default: %(default)s)")
    add("--batch", type=int, default=16, help="pictures at once (default: %(default)s)")
    add("--png", action="store_true", help="also draw each map, PICTURE.map.png")
    add("--workers", type=int, help="share the work among so many workers of Ray")
    return parser


if __name__ == "__main__":
    sys.exit(main())
