"""By what a function or a network of the caller's is known again in a later run.

Maps that were made by another function must not be taken for this one's, even if it has
the same name. Functions of this package are known by name and settings, the caller's own
by their code as well: with defaults, and the numbers, texts, arrays, networks and functions
of the same file that the code refers to. What it keeps in lists, dictionaries and objects
cannot be told apart, for it may change while the function runs; functions of other files
count by name. An argument of a `functools.partial` counts, whatever it is.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from inspect import Parameter, signature
from numbers import Number
from types import CodeType, FunctionType, MethodType

import numpy as np
from torch import Tensor, nn

from .._machinery.arguments import described
from ..methods import Method
from ..models import fingerprint

PACKAGE = __name__.partition(".")[0]
KNOWN = ("torch", "torchvision", PACKAGE)  # whose code is their version's
CALL = ("model", "images", "targets", "progress")  # what changes from call to call


def function_record(function: Callable) -> dict:
    """A function in words, with a digest of its code if it is not of this package."""
    words = {"words": function_name(function)}
    inner = function
    while isinstance(inner, (Method, partial)):
        inner = inner.maps if isinstance(inner, Method) else inner.func
    if _module(inner).partition(".")[0] == PACKAGE:
        return words
    return words | {"code": digest(function)}


def function_name(function: Callable) -> str:
    """A function's name with its settings, such as ``smooth_grad(samples=3, …)``.

    Of a function of this package all settings are named, since a later version may have
    other defaults; otherwise those that a `functools.partial` gives.
    """
    if isinstance(function, Method):
        return function.name + _settings(function.maps)
    if isinstance(function, partial):
        fixed = [_word(value) for value in function.args]
        name = function_name(function.func).partition("(")[0]
        return name + _settings(function, fixed)
    name = getattr(function, "__name__", type(function).__name__)
    return name + (_settings(function) if _module(function).startswith(PACKAGE) else "")


def _settings(function: Callable, fixed: list[str] = ()) -> str:
    """In brackets, the keyword arguments that `function` has when it is called."""
    given = dict(function.keywords) if isinstance(function, partial) else {}
    inner = function.func if isinstance(function, partial) else function
    if _module(inner).startswith(PACKAGE):
        parameters = list(signature(inner).parameters.values())[len(fixed) :]
        defaults = {
            p.name: p.default for p in parameters if p.default is not Parameter.empty
        }
        given = {k: v for k, v in (defaults | given).items() if k not in CALL}
    words = [*fixed, *(f"{key}={_word(value)}" for key, value in given.items())]
    return f"({', '.join(words)})" if words else ""


def _word(value) -> str:
    return function_name(value) if callable(value) else described(value)


def _module(function: Callable) -> str:
    return getattr(function, "__module__", None) or ""


def network_record(model: nn.Module) -> dict:
    """A network's class, weights, layers with their settings, and code of the caller's.

    Settings are the numbers, texts and functions that a layer keeps as attributes: one
    that counts its passes there is another network after each of them.
    """
    plain = (bool, Number, str, tuple, type(None))
    settings = [
        f"{path}.{key} = {_word(value)}"
        for path, layer in model.named_modules()
        for key, value in sorted(vars(layer).items())
        if key[0] != "_"
        and key != "training"
        and (isinstance(value, plain) or callable(value))
    ]
    kinds = {kind for layer in model.modules() for kind in type(layer).__mro__}
    own = [k for k in kinds if _module(k).partition(".")[0] not in (*KNOWN, "builtins")]
    codes = sorted(
        f"{kind.__qualname__}.{name} {digest(function)}"
        for kind in own
        for name, function in vars(kind).items()
        if isinstance(function, FunctionType)
    )
    record = {"class": type(model).__name__, "weights": fingerprint(model)}
    record |= {"layers": digest((repr(model), *settings))}
    return record | ({"code": digest(tuple(codes))} if own else {})


def digest(value) -> str:
    """Eight digits that stand for a function with its code, or for any other value."""
    inner = value
    while isinstance(inner, (Method, partial)):
        inner = inner.maps if isinstance(inner, Method) else inner.func
    text = "\n".join(_parts(value, _module(inner), []))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _parts(value, home: str, seen: list, inner: bool = False) -> Iterator[str]:
    """What `value` consists of, as texts; `inner` leaves out what may change in a run."""
    each = partial(_parts, home=home, seen=seen, inner=inner)
    below = partial(each, inner=True)
    yield type(value).__name__
    if value is None or isinstance(value, (str, bytes, Number)):
        yield repr(value)
    elif isinstance(value, (Tensor, np.ndarray)):
        array = value.detach().cpu().float().numpy() if isinstance(value, Tensor) else value
        yield f"{array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"
    elif isinstance(value, nn.Module):
        yield f"{fingerprint(value)} {value!r}"
    elif isinstance(value, (tuple, frozenset)):
        texts = ["\n".join(each(part)) for part in value]
        yield from texts if isinstance(value, tuple) else sorted(texts)
    elif isinstance(value, (list, set, dict)):
        if not inner:
            items = value.items() if isinstance(value, dict) else value
            yield from each(frozenset(items) if isinstance(value, set) else tuple(items))
    elif any(value is other for other in seen):
        yield "again"
    elif isinstance(value, CodeType):
        yield f"{value.co_code.hex()} {value.co_names}"
        yield from below(value.co_consts)
    else:
        seen.append(value)
        yield from _callable_parts(value, home, each, below)


def _callable_parts(value, home: str, each: Callable, below: Callable) -> Iterator[str]:
    if isinstance(value, partial):
        yield from each((value.func, value.args, value.keywords))
    elif isinstance(value, Method):
        yield from each((value.name, value.maps))
    elif isinstance(value, MethodType):
        yield from below((value.__func__, value.__self__))
    elif isinstance(value, FunctionType) and _module(value) == home:
        keywords = tuple((value.__kwdefaults__ or {}).items())
        yield from below((value.__code__, value.__defaults__, keywords, _referred(value)))
    else:
        yield f"{_module(value)}.{getattr(value, '__qualname__', '')}"
        call = getattr(type(value), "__call__", None)  # noqa: B004 - the code itself
        if isinstance(call, FunctionType) and not isinstance(value, type):
            yield from below((call, tuple(getattr(value, "__dict__", {}).items())))


def _referred(function: FunctionType) -> tuple:
    """What the code refers to by name: in the functions around it, and in its module."""
    names, codes = {}, [function.__code__]
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        with suppress(ValueError):  # not assigned yet
            names[name] = cell.cell_contents
    for code in codes:  # the functions within it, too
        codes += [part for part in code.co_consts if isinstance(part, CodeType)]
        known = (name for name in code.co_names if name in function.__globals__)
        names |= {name: function.__globals__[name] for name in known}
    return tuple(sorted(names.items(), key=lambda item: item[0]))
