"""The one way in which the course runs a network: on a copy of its images, traceless."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .arguments import ArgumentError, described

_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_guard = threading.Lock()  # of `_locks`


@contextmanager
def explaining(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, frozen parameters and gradients on; afterwards all is restored.

    In training mode batch norm would mix the images of a batch, and dropout would change
    every map; so maps are computed in evaluation mode. Frozen parameters spare the
    backward pass half of its work and leave every `.grad` alone. Autocast is off, and
    compiled parts run as they were written: hooks and the ReLU rules need that.

    One thread at a time is inside for each network; others wait. The same thread may enter
    again.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError("model", f"must be a torch.nn.Module, got {described(model)}")
    with _guard:
        lock = _locks.setdefault(getattr(model, "_orig_mod", model), threading.RLock())
    # What is on the stack is undone to the last, also where interrupts come one by one.
    with lock, ExitStack() as undone:
        for module in model.modules():
            undone.callback(setattr, module, "training", module.training)
            module.training = False
        devices = set()
        for parameter in model.parameters():
            undone.callback(parameter.requires_grad_, parameter.requires_grad)
            parameter.requires_grad_(False)
            devices.add(parameter.device.type)
        for device in devices:
            if torch.is_autocast_enabled(device):
                undone.enter_context(torch.autocast(device, enabled=False))
        undone.enter_context(torch.compiler.set_stance("force_eager"))
        undone.enter_context(torch.inference_mode(False))
        undone.enter_context(torch.enable_grad())
        yield


def run(model: nn.Module, images: Tensor):
    """What the network returns for these images, whatever that is.

    The one place where images enter a network. It gets a copy: a network may work in place
    on what it is given. One that fails raises a RuntimeError.
    """
    try:
        return model(images.clone())
    except (ArgumentError, Warning):  # of a hook of the course; of a filter of the caller
        raise
    except Exception as error:
        words = f"images of shape {tuple(images.shape)} do not go through "
        words += f"{type(model).__name__} ({_reason(error)})"
        if isinstance(error, TypeError) and "argument" in str(error):
            words += "; wrap it in a module that takes the images alone"
        raise RuntimeError(words) from error


def _reason(error: Exception) -> str:
    """The first line of an error, with its kind where the line alone says too little."""
    line, kind = (str(error).splitlines() or [""])[0], type(error).__name__
    if line and isinstance(error, (RuntimeError, AssertionError)):
        return line
    return f"{kind}: {line}" if line else kind
