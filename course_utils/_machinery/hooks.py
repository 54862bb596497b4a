"""The one way in which the course looks at what the layers of a network give."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import nn


@contextmanager
def watching(
    layers: Mapping[str, nn.Module], see: Callable, with_inputs: bool = False
) -> Iterator[None]:
    """While open, calls ``see(path, output)`` whenever one of `layers` has finished.

    `see` looks at once: a later layer may work in place and overwrite `output`. What it
    returns, unless that is None, is handed on in place of `output`. No hook outlives the
    block, however it ends. With `with_inputs` the call is ``see(path, output, inputs)``,
    where `inputs` is the tuple of the layer's positional arguments.

    Example:
        >>> model, shapes = load_model(), {}
        >>> with watching(dict(model.named_children()), lambda path, output: (
        ...     shapes.update({path: tuple(output.shape)})
        ... )):
        ...     _ = model(torch.zeros(1, 3, 224, 224))
        >>> shapes
        {'features': (1, 512, 13, 13), 'classifier': (1, 1000, 1, 1)}
    """
    hooks = []

    def remove() -> None:
        for hook in hooks:
            hook.remove()

    def hook_of(path: str) -> Callable:
        def call(module, inputs, output):
            return see(path, output, inputs) if with_inputs else see(path, output)

        return call

    try:
        try:
            for path, layer in layers.items():
                hooks.append(layer.register_forward_hook(hook_of(path)))
            yield
        finally:
            remove()
    finally:  # again, as an interrupt may have ended the first
        remove()
