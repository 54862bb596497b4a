"""The command line of `map_folder`: ``python -m course_utils.your_own photos``."""

import argparse
import sys
import warnings
from collections.abc import Sequence

import torch

from .._machinery.arguments import naming
from ..inputs import Inputs
from ..methods import METHODS
from ..models import load_model
from .folder import FolderRun, map_folder
from .networks import own_network

OPTIONS = {"name": "--model", "weights": "--weights", "targets": "--target"}  # arguments


def main(arguments: Sequence[str] | None = None) -> int:
    """Map a folder as the command line says; returns the exit code."""
    settings = vars(_parser().parse_args(arguments))
    name, weights, path = (settings.pop(key) for key in ("model", "weights", "inputs"))
    if len(settings["size"] or ()) == 1:
        settings["size"] = settings["size"][0]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with warnings.catch_warnings(), naming(**OPTIONS):
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = lambda message, *_: _say(f"note: {message}")
            load = own_network if ":" in name else load_model
            model = load(name, weights, device)
            inputs = None if path is None else Inputs.load(path)
            run = map_folder(model=model, inputs=inputs, progress=_report, **settings)
    except KeyboardInterrupt:
        _say("Stopped. The maps so far are kept; the same command goes on from there.")
        return 130
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        _say(str(error))
        return 1
    _tell(run)
    return 3 if run.skipped else 0


def _report(done: int, total: int, run: FolderRun) -> None:
    _say(f"{done} of {total} pictures, {done / run.seconds:.1f} per second")


def _tell(run: FolderRun) -> None:
    """All that did not go as one might think, and the sum."""
    for word in ("skipped", "passed_over", "remade"):
        for name, reason in getattr(run, word).items():
            _say(f"{word.replace('_', ' ')}: {name} ({reason})")
    for name in run.orphaned:
        _say(f"orphaned: {name} (its map is there, the picture is gone)")
    for name in run.blank:
        _say(f"blank: {name} (its map is zero everywhere, or not finite)")
    _say(f"{run!r} in {run.out}, {run.seconds:.1f} s")


def _say(words: str) -> None:
    """One line, whatever the names of files are."""
    text = words.encode("utf-8", "backslashreplace").decode()
    print(text.replace("\r", r"\r").replace("\n", r"\n"), file=sys.stderr, flush=True)


def _class(text: str) -> int | str:
    """A class by its number or its name."""
    try:
        return int(text)
    except ValueError:
        return text


def _parser() -> argparse.ArgumentParser:
    """The options; all but the network's are arguments of `map_folder`."""
    parser = argparse.ArgumentParser(
        prog="python -m course_utils.your_own",
        description="Write a saliency map for every picture of a folder: PICTURE.map.npz, "
        "and maps.csv with what each explains, or the reason why a picture has no map. "
        "If stopped, the same command goes on.",
        epilog="Exit code: 0 done, 1 mistake, 3 some pictures skipped, 130 interrupted.",
    )
    add = parser.add_argument
    add("folder", help="pictures, with the folders inside it")
    add("--out", help="folder of the maps (default: beside the pictures)")
    add("--method", default="vanilla", help=f"{', '.join(METHODS)} (default: vanilla)")
    own = "of torchvision, or MODULE:NAME, a class or function of yours that makes one"
    add("--model", default="squeezenet1_1", help=f"{own} (default: %(default)s)")
    add("--weights", help="bundled, torchvision, random, or the path of a checkpoint")
    beside = (
        "what Inputs.save wrote (default: NET.inputs.json beside the checkpoint NET.pt)"
    )
    add("--inputs", metavar="FILE", help=beside)
    add("--size", type=int, nargs="+", metavar="PIXELS", help="side, or height and width")
    for name in ("--mean", "--std"):
        add(name, type=float, nargs="+", metavar="NUMBER", help="of the training pictures")
    add("--fit", help="crop, which cuts off what does not fit, or stretch")
    add("--names", nargs="+", metavar="NAME", help="of the classes, in their order")
    top = "a class, by number or name (default: the top class of each picture)"
    add("--target", type=_class, dest="targets", metavar="TARGET", help=top)
    add("--batch", type=int, default=16, help="pictures at once (default: %(default)s)")
    add("--png", action="store_true", help="also draw each map, PICTURE.map.png")
    add("--workers", type=int, help="share the work among so many workers of Ray")
    return parser


if __name__ == "__main__":
    sys.exit(main())
