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
    with _lock(model):
        training = {module: module.training for module in model.modules()}
        trainable = {p: p.requires_grad for p in model.parameters()}

        def restore() -> None:
            for module, flag in training.items():
                module.training = flag
            for parameter, flag in trainable.items():
                parameter.requires_grad_(flag)

        try:
            try:
                for module in training:
                    module.training = False
                for parameter in trainable:
                    parameter.requires_grad_(False)
                with _plainly({p.device.type for p in trainable}):
                    yield
            finally:
                restore()
        finally:  # again, as an interrupt may have ended the first
            restore()


@contextmanager
def _plainly(devices: set[str]) -> Iterator[None]:
    """Gradients on, inference mode and autocast off, nothing compiled."""
    with ExitStack() as stack:
        for device in devices:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield


def _lock(model: nn.Module) -> threading.RLock:
    plain = getattr(model, "_orig_mod", model)  # of a compiled network
    with _guard:
        return _locks.setdefault(plain, threading.RLock())


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


def mixes_images(model: nn.Module) -> bool:
    """Whether batch norm without running statistics makes answers depend on the batch."""
    norms = (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    return any(norm.running_mean is None for norm in norms)
