"""An answer in a process of its own, which hands over plain values and nothing else.

A mark must not depend on the good will of the code that is marked. Inside `apart`, `call`
forks. The child makes the learner's function, calls it, and sends back what came out: as
tensors, arrays, numbers, texts, lists, or records of the course. The check, the right
results and the comparison stay in the parent, which never runs the learner's code. So
whatever an answer patches, prints or raises, the parent sees a value or a sentence.

The child lives within limits: seconds, memory, and the `fence`. Systems without `fork`
(Windows) cannot do this.
"""

import ast
import builtins
import io
import linecache
import os
import pickle
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .._machinery.arguments import described
from ..shortcuts import Planted
from ..suspects import Interview, Suspect
from . import base
from .fence import LimitsOfAnswer, fenced
from .hints import first_line, notebook_variables, own_line

GRACE = 5.0  # seconds that the child may be late
MOST_BYTES = 2**26  # that an answer hands over
MOST_WORDS = 1000  # characters of a sentence

# -- the learner's function ------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A learner's cell: its id, its text, and which of its statements are needed."""

    name: str
    source: str
    needed: tuple[int, ...]


@dataclass
class Answer:
    """Stands for the learner's function; `real` is there in the child alone."""

    name: str
    real: object = None
    its_notebook_variables: list[str] = field(default_factory=list)

    def __call__(self, *arguments):
        """What a check that wraps the answer calls."""
        return self.real(*arguments)


def define(cells: list[Cell], names: dict, answers: list[Answer]) -> None:
    """Run the learner's cells among the course's `names`, and find the answers."""
    try:
        for cell in cells:
            place, lines = f"<{cell.name}>", cell.source.splitlines(keepends=True)
            linecache.cache[place] = (len(cell.source), None, lines, place)
            tree = ast.parse(cell.source, place)
            tree.body = [tree.body[index] for index in cell.needed]
            exec(compile(tree, place, "exec"), names)
    except base.OutOfTime:
        raise
    except BaseException as error:
        where = f" at `{line}`" if (line := own_line(error)) else ""
        words = f"The cell `{cell.name}` stopped{where} with {first_line(error)}."
        raise base.Wrong(words) from error
    for answer in answers:
        if answer.name not in names:
            raise base.Wrong(f"There is no `{answer.name}` in the notebook.")
        answer.real = names[answer.name]


# -- the child -------------------------------------------------------------------------


@dataclass
class Apart:
    """Takes the place of `base._called`: asks a child for each call of an answer."""

    cells: list[Cell]
    names: Mapping
    limits: LimitsOfAnswer
    answers: list[Answer] = field(default_factory=list)
    ends: float = 0.0

    def __call__(self, answer, arguments: tuple, intact: bool, after: Callable | None):
        """What `call` returns or raises, found out by a child."""
        lists = _lists_of(after)
        seconds = max(self.ends - time.monotonic(), 0.5)

        def work() -> bytes:
            said = self._judged(answer, arguments, intact, after, seconds)
            return _packed({**said, "lists": lists}, arguments)

        said = _unpacked(_asked_of_child(work, seconds, self.limits), arguments)
        for own, found in zip(self.answers, said["variables"], strict=False):
            own.its_notebook_variables = [str(name) for name in found]
        if said["state"] == base.NOT_TRIED:
            raise base.NotTried(said["sentence"])
        if said["state"] != base.PASSED:
            raise base.Wrong(said["sentence"]) from said["cause"]
        for own, filled in zip(lists, said["lists"], strict=True):
            own[:] = filled
        return said["result"]

    def _judged(self, answer, arguments, intact, after, seconds: float) -> dict:
        """In the child: make the function, call it, and say what came out."""
        result = cause = None

        def once(_answer) -> str:
            nonlocal result, cause
            define(self.cells, dict(self.names), self.answers)
            real = answer.real if isinstance(answer, Answer) else answer
            try:
                result = base._called(real, arguments, intact, after)
            except base.Wrong as wrong:
                cause = _plain_error(wrong.__cause__)
                raise
            return ""

        with fenced(self.limits):
            state, sentence = base._judged(once, (answer,), round(seconds) or 1)
        variables = [notebook_variables(answer.real) for answer in self.answers]
        found = {"state": state, "sentence": sentence, "variables": variables}
        return found | {"result": result if state == base.PASSED else None, "cause": cause}


@contextmanager
def apart(
    cells: list[Cell], names: Mapping, wanted: list[str], limits: LimitsOfAnswer
) -> Iterator[list[Answer]]:
    """While open, checks call the learner's functions in processes of their own.

    Args:
        cells: of the learner.
        names: what the course's cells before them have defined.
        wanted: the names of the learner's functions.
        limits: what a child may use; the seconds are those of all calls together.

    Yields:
        What to hand to the check in place of the functions.
    """
    answers = [Answer(name) for name in wanted]
    ends = time.monotonic() + limits.seconds
    usual, base._caller = base._caller, Apart(cells, names, limits, answers, ends)
    try:
        yield answers
    finally:
        base._caller = usual


def _lists_of(after: Callable | None) -> list[list]:
    """The lists into which `after` writes what it sees: they must be filled here, too."""
    cells = getattr(after, "__closure__", None) or ()
    held = [getattr(after, "__self__", None), *(cell.cell_contents for cell in cells)]
    return [one for one in held if type(one) is list]


def _plain_error(error: BaseException | None) -> tuple[str, str] | None:
    """The kind of an error, as Python knows it, and its text."""
    if error is None:
        return None
    known = next(kind for kind in type(error).__mro__ if hasattr(builtins, kind.__name__))
    return known.__name__, str(error)[:MOST_WORDS]


def _asked_of_child(work: Callable[[], bytes], seconds: float, limits) -> bytes:
    """What a forked process writes that does the `work`; nothing if it dies."""
    read, write = os.pipe()
    child, leave = os.fork(), os._exit
    if child == 0:
        try:
            limits.enter(keep=write)
            with open(write, "wb") as pipe:  # noqa: PTH123 - a descriptor
                pipe.write(work())
        finally:
            leave(0)
    os.close(write)
    try:
        return _read_all(read, time.monotonic() + seconds + GRACE)
    finally:
        os.close(read)
        os.kill(child, signal.SIGKILL)  # if it is over, that does nothing
        os.waitpid(child, 0)


def _read_all(source: int, ends: float) -> bytes:
    parts, size = [], 0
    while size <= MOST_BYTES:
        ready, _, _ = select.select([source], [], [], max(ends - time.monotonic(), 0))
        if not ready:
            raise base.Wrong("Your function does not come to an end: it had to be killed.")
        part = os.read(source, 2**20)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    raise base.Wrong("Your function returns too much: more than 64 megabytes.")


# -- plain values, there and back ------------------------------------------------------

_NUMPY = [("numpy", "ndarray"), ("numpy", "dtype")] + [
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, names in (("multiarray", ("_reconstruct", "scalar")),)
    + (("numeric", ("_frombuffer",)),)
    for name in names
]
ADMITTED = {
    (__name__, "_tensor"),
    *(("builtins", name) for name in ("set", "frozenset", "complex", "range", "slice")),
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("course_utils.shortcuts", "Planted"),
    ("course_utils.shortcuts", "PictureRecipe"),
    *(("course_utils.suspects", name) for name in ("Interview", "Reply", "Verdict")),
    *_NUMPY,
}


def _tensor(values, requires_grad: bool) -> Tensor:
    tensor = torch.from_numpy(values.copy())  # numpy hands over arrays that are read-only
    return tensor.requires_grad_() if requires_grad else tensor


class _Pickler(pickle.Pickler):
    """Tensors of any class become plain ones; networks that are sealed stay sealed."""

    def reducer_override(self, value):
        if isinstance(value, Tensor):
            plain = Tensor.detach(value).as_subclass(Tensor).cpu().resolve_conj().numpy()
            return _tensor, (plain, value.requires_grad)
        if type(value) is Planted:  # without the pictures, which are made again
            return Planted, (value.recipes,)
        return NotImplemented

    def persistent_id(self, value):
        return (value.line_up, value.name) if type(value) is Suspect else None


class _Unpickler(pickle.Unpickler):
    """Reads nothing but what is `ADMITTED`: a pickle may otherwise call any function."""

    def __init__(self, file, arguments: tuple):
        super().__init__(file)
        talks = [one for one in arguments if isinstance(one, Interview)]
        suspects = [one for talk in talks for one in talk.line_up.values()]
        self.suspects = {(one.line_up, one.name): one for one in suspects}

    def find_class(self, module: str, name: str):
        if (module, name) in ADMITTED or module == "torch.return_types":
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, key):
        return self.suspects[key]


def _packed(said: dict, arguments: tuple) -> bytes:
    try:
        data = _pickled(said)
        _Unpickler(io.BytesIO(data), arguments).load()  # as the parent will
        return data
    except Exception:  # a network, a function, an object of the learner's own class
        got = described(said["result"])
        words = f"Expected plain values, such as a tensor, a number or a list, got {got}."
        said = {"state": base.WRONG, "sentence": words, "result": None, "cause": None}
        return _pickled({**said, "lists": [], "variables": []})


def _pickled(said: dict) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer).dump(said)
    return buffer.getvalue()


def _unpacked(data: bytes, arguments: tuple) -> dict:
    """What the child said, looked at closely: it may have written anything."""
    if not data:
        words = "The process of your function ended before it returned: no exit, please."
        raise base.Wrong(words)
    try:
        said = _Unpickler(io.BytesIO(data), arguments).load()
        state, sentence, cause = said["state"], said["sentence"], said["cause"]
        whole = {key: said[key] for key in ("result", "lists", "variables")}
        error = _error(*cause) if cause else None
        sentence = str(sentence)[:MOST_WORDS]
        return whole | {"state": state, "sentence": sentence, "cause": error}
    except Exception as error:
        raise base.Wrong(
            "Your function returns something else than plain values."
        ) from error


def _error(kind: str, text: str) -> Exception:
    known = getattr(builtins, kind, None)
    plain = isinstance(known, type) and issubclass(known, Exception)
    with suppress(TypeError):
        return (known if plain else Exception)(text)
    return Exception(text)
