"""What learners' commonest errors mean, where they arose, and what they have to do with.

One table from an error's text to a sentence; the learner's own line; and the variables of
the notebook that a function reads by mistake.
"""

import dis
import functools
import inspect
import linecache
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, MethodType

import numpy as np
from torch import Tensor, nn

# A pattern in "Kind: text" of an error → what to do.
_HINTS = {
    # gradients
    r"grad and does not have a grad_fn|Tensors does not require grad": "The graph "
    "is cut on the way: argmax(), detach(), item(), no_grad() and torch.tensor(…) cut "
    "it, and without requires_grad_() on the pixels there is none.",
    r"through the graph a second time": "The first backward() uses the graph up: pass "
    "retain_graph=True, or run the network again.",
    r"leaf Variable that requires grad": "A tensor with requires_grad_() cannot be changed "
    "in place (+=, [...] = …): make a new one, such as image + step.",
    r"not have been used in the graph": "The score does not depend on the tensor that you "
    "differentiate by: give the network that very tensor, not a copy or a part of it.",
    r"implicitly created only for scalar outputs": "backward() and autograd.grad begin at "
    "one number: take the sum() first.",
    r"Can't call numpy\(\) on Tensor": "Take .detach() before .numpy().",
    r"floating point and complex dtype can require": "Only floats have gradients: call "
    ".float() first.",
    r"only change requires_grad flags of leaf": "Begin with a tensor of its own: "
    ".detach().clone().requires_grad_().",
    r"modified by an inplace operation": "A value that backward() needs was changed in "
    "place (+=, inplace=True): work on a clone().",
    r"'tuple' object has no attribute|tuple index out of range|can't multiply sequence|"
    r"'tuple' and 'Tensor'|'(float|int|Tensor)' and 'tuple'|only concatenate tuple": "Is "
    "this from torch.autograd.grad? It returns a tuple, one gradient per input: take [0].",
    r"'?NoneType'? (object|and)|and 'NoneType'": "Something is None here. `.grad` is None "
    "unless this very tensor called requires_grad_(): [None], .clone() and slices make "
    "another one, so take them first. A function without `return` gives None, too.",
    # shapes and indices
    r"indexing tensors could not be broadcast": "The index tensors differ in length: "
    "torch.arange(len(labels)) fits any batch.",
    r"must match exactly|same length|equal length": "The two hold different numbers of "
    "values: take sizes from their .shape.",
    r"size of tensor a|could not be broadcast|shape mismatch|not broadcastable": "The "
    "shapes do not fit together: they are compared from the last axis on, so three numbers "
    "for the colours need .view(3, 1, 1), and one number per class or map needs "
    "[:, None, None].",
    r"Expected dtype int\d* for index|used as indices must be|indices must be integers|"
    r"only integers, slices": "An index consists of whole numbers: labels.long().",
    r"same number of dimensions as input": "gather() wants an index with as many axes as "
    "the scores: labels[:, None].",
    r"out of bounds|index out of range|out of range: index": "An index is larger than its "
    "axis: print the .shape. The check uses small pictures and a few classes, and a "
    "network's scores are (N, classes).",
    r"Dimension out of range|too many indices": "The tensor has fewer axes than you think; "
    "print its .shape.",
    r"view size is not compatible": "Use reshape() in place of view() here.",
    r"is invalid for input of size": "The new shape holds another number of values.",
    r"shapes cannot be multiplied|Expected 3D|expected 4D|Given groups=|Expected more than "
    r"1": "A network takes a batch, (N, 3, H, W): image[None] adds the batch axis.",
    r"return_types\.(max|min|median|sort)": "max(dim=…) gives values and indices: take "
    ".values, or call amax(dim=…).",
    r"[Cc]ould not infer output dtype": "True and False have no mean: call .float() first.",
    r"'Tensor' and 'list'|'list' and 'Tensor'": "One of the two is a list: torch.stack "
    "makes it a tensor.",
    r"divmod": "divmod wants whole numbers: int(…) makes one of a tensor.",
    r"cannot be converted to Scalar|only one element tensors|only (size-1|length-1|0-dim)|"
    r"only integer tensors of a single": "One number is wanted here, and there are more.",
    r"Boolean value of Tensor|truth value of an array": "`if` and `and` want one truth "
    "value, not a whole tensor: use torch.where, a mask, or .any().",
    # kinds of numbers, devices, memory
    r"(should be|have|must be|expected) .*(same|scalar) (d?type|type)|same dtype": "Two "
    "kinds of numbers meet: .to(image.dtype) makes them one.",
    r"can't be cast to": "The result has decimals, the tensor holds whole numbers: call "
    ".float() first.",
    r"on the same device": "The tensors lie on different devices: .to(image.device).",
    r"MemoryError|not enough memory|out of memory": "There is not so much memory.",
    r"RecursionError": "Your function calls itself without end.",
    # Python
    r"unexpected keyword": "Whom you call here has no argument of that name.",
    r"method' object is not|_or_method'|'method'": "Are the brackets missing after the "
    "name of a method, as in x.max()?",
    r"'\w+' object is not callable": "What you call here is no function: has a variable "
    "taken its name?",
    r"NameError": "Run the cell that defines this name first, or use the arguments.",
    r"SystemExit": "End with `return`, not exit().",
    r"StopIteration": "next() found nothing more.",
}

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_LIBRARY = sysconfig.get_path("stdlib")


def is_own(filename: str) -> bool:
    """Whether the code is the learner's: not PyTorch's, Python's or the course's."""
    libraries = filename.startswith((_PACKAGE, _LIBRARY, "<frozen", "<__array"))
    return not libraries and "site-packages" not in filename


def own_line(error: BaseException) -> str:
    """The last line of the learner's own code that led to `error`, or nothing."""
    line = ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if is_own(name):
            line = linecache.getline(name, number, frame.f_globals).strip()
    return line


def raised_by_itself(error: BaseException) -> bool:
    """Whether the learner's own code raises `error`, not something that it calls."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return is_own(frame.f_code.co_filename)


def first_line(error: BaseException) -> str:
    """The kind and the text of an error, cut to one line."""
    try:
        text = (str(error).strip() or "no message").splitlines()[0]
    except Exception:
        text = "no message"
    return f"{type(error).__name__}: {text[:200]}"


def hint(error: BaseException) -> str:
    """What to do about `error`, after a space; nothing where the table does not know."""
    text = first_line(error)
    return next((f" {words}" for key, words in _HINTS.items() if re.search(key, text)), "")


# -- variables of the notebook ---------------------------------------------------------

_VALUES = (Tensor, np.ndarray, nn.Module, list, tuple, dict, set, int, float, str)


def _codes(function: Callable, seen: set) -> Iterator[tuple[CodeType, dict]]:
    """The code of a function, of those inside it, and of the notebook's that it calls."""
    code, names = function.__code__, function.__globals__
    inner = [code]
    for code in inner:
        inner += [c for c in code.co_consts if isinstance(c, CodeType)]
        yield code, names
        for name in _globals_of(code):
            other = names.get(name)
            own = type(other) is FunctionType and other.__globals__ is names
            if own and other not in seen:
                seen.add(other)
                yield from _codes(other, seen)


def _globals_of(code: CodeType) -> list[str]:
    steps = dis.get_instructions(code)
    return [step.argval for step in steps if step.opname == "LOAD_GLOBAL"]


def notebook_variables(answer) -> list[str]:
    """The tensors, lists, networks, … of the notebook that a function with arguments reads.

    Functions, modules and classes do not count, nor do CONSTANTS.
    """
    elsewhere = inspect.getattr_static(answer, "its_notebook_variables", None)
    if elsewhere is not None:  # it runs in another process
        return elsewhere
    while type(answer) is functools.partial:
        answer = answer.func
    answer = answer.__func__ if type(answer) is MethodType else answer
    if type(answer) is not FunctionType:
        return []
    code = answer.__code__
    if not code.co_argcount and not code.co_flags & inspect.CO_VARARGS:
        return []
    found = {}  # in order
    for code, names in _codes(answer, {answer}):
        for name in _globals_of(code):
            if issubclass(type(names.get(name)), _VALUES) and not name.isupper():
                found[name] = None
    return list(found)
