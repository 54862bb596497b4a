"""The one way in which the course runs a network: on a copy of its images, traceless."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch._dynamo import OptimizedModule
from torch.nn.parameter import UninitializedTensorMixin

from .arguments import ArgumentError, described

_lock = threading.RLock()  # one for all networks, as two may share their layers


@contextmanager
def explaining(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, frozen parameters and gradients on; afterwards all is restored.

    In training mode batch norm would mix the images of a batch, and dropout would change
    every map; so maps are computed in evaluation mode. Frozen parameters spare the
    backward pass half of its work and leave every `.grad` alone. Autocast is off, and
    compiled parts run as they were written: hooks and the ReLU rules need that.

    One thread at a time is inside, others wait; the same thread may enter again. Buffers
    that a pass changes, as traced batch norm does, get their values back.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentError("model", f"must be a torch.nn.Module, got {described(model)}")
    modules = [m for m in model.modules() if hasattr(m, "training")]
    if any(isinstance(p, UninitializedTensorMixin) for p in model.parameters()):
        words = f"must have weights; {type(model).__name__} is lazy: run it once first"
        raise ArgumentError("model", words)
    # A tensor that was made in inference mode can neither be changed nor take a gradient.
    parameters = [p for p in model.parameters() if not p.is_inference()]
    buffers = [buffer for buffer in model.buffers() if not buffer.is_inference()]
    undone = ExitStack()
    try:
        try:
            undone.enter_context(_lock)
            for buffer in buffers:
                both = buffer, buffer.clone()
                undone.callback(lambda b, old: torch.equal(b, old) or b.copy_(old), *both)
            for module in modules:
                undone.callback(setattr, module, "training", module.training)
            for module in modules:
                if type(module).train is not nn.Module.train:  # it has a mode of its own
                    undone.callback(module.train, module.training)
                    module.train(False)
                module.training = False
            for parameter in parameters:
                undone.callback(parameter.requires_grad_, parameter.requires_grad)
                parameter.requires_grad_(False)
            for device in filter(torch.is_autocast_enabled, ("cpu", "cuda", "mps", "xpu")):
                undone.enter_context(torch.autocast(device, enabled=False))
            # By torch.compile(module), or by module.compile():
            if any(
                isinstance(m, OptimizedModule) or m._compiled_call_impl for m in modules
            ):
                undone.enter_context(torch.compiler.set_stance("force_eager"))
            undone.enter_context(torch.inference_mode(False))
            undone.enter_context(torch.enable_grad())
            yield
        finally:
            undone.close()
    finally:  # again, as an interrupt may have come before the first
        undone.close()


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
