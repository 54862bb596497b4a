"""A network of the caller's by name, as the command line gives it: ``mynet:Surface``."""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from .._machinery.arguments import ArgumentError, described
from ..models import load_model


def own_network(
    name: str, weights: str | Path | None, device: str | torch.device | None = None
) -> nn.Module:
    """The network that a class or a function of a module of yours makes.

    Args:
        name: ``"MODULE:NAME"``; the module is looked for in the working directory, too.
        weights: the path of a checkpoint, or ``"random"``.
        device: where to put the network; None leaves it where it was made.

    Example:
        >>> own_network("mynet:Surface", "surface.pt")  # doctest: +SKIP
        Surface(...)
    """
    if weights is None:
        words = 'must be the path of a checkpoint, or "random", for a network of your own'
        raise ArgumentError("weights", words)
    make = _maker(name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # as `load_model` has it
        try:
            model = make()
        except Exception as error:
            kind = f"{type(error).__name__}: {error}"
            words = (
                f"must make a network when called without arguments; {name} gives {kind}"
            )
            raise ArgumentError("name", words) from error
    if not isinstance(model, nn.Module):
        words = f"must make a torch.nn.Module, got {described(model)} from {name}"
        raise ArgumentError("name", words)
    if weights == "random":
        return model.eval().requires_grad_(False).to(device)
    return load_model(model, weights, device)


def _maker(name: str) -> Callable:
    """The class or function that ``MODULE:NAME`` names."""
    module, _, attribute = name.partition(":")
    path = Path(module)
    if path.suffix == ".py" or len(path.parts) > 1:
        right = ".".join(path.with_suffix("").parts)
        raise ArgumentError(
            "name", f"must be MODULE:NAME, got {name}; write {right}:{attribute}"
        )
    here = str(Path.cwd())
    sys.path[:0] = [] if here in sys.path else [here]
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        why = f"there is no {module}.py in {here}"
        why = why if missing else f"its import fails with {type(error).__name__}: {error}"
        raise ArgumentError("name", f"must be MODULE:NAME, got {name}; {why}") from error
    if callable(make := getattr(found, attribute, None)):
        return make
    networks = [
        key
        for key, value in vars(found).items()
        if inspect.isclass(value)
        and issubclass(value, nn.Module)
        and value.__module__ == found.__name__
    ]
    words = f"must be MODULE:NAME, got {name}; networks in {module} are "
    raise ArgumentError("name", words + (", ".join(networks) or "none"))
