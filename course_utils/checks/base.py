"""What all exercise checks share: a verdict, a careful call of an answer, a comparison.

A check is a function under `@exercise(name)` that takes the learner's answer and returns a
closing sentence, or raises `Wrong`. It may be handed anything: within `LIMIT` seconds it
gives a `Verdict` in one sentence, and leaves the process as it was (see `guard`).

- `call(answer, *arguments, intact=False, after=None)` hands over deep copies of all
  arguments, networks too. To look at what the answer has done to its copies:
  ``after=lambda network, images: …``, called with them; it may raise `Wrong`.
  ``intact=True`` refuses changed tensors, lists, weights, modes, hooks, modules, and
  PyTorch's own functions left replaced. An iterator comes back as a list, at most `MOST`.
- `check_tensor`, `read` (bounded for any iterable), `compare`, `compare_tensor`, `close`
  judge the result; `as_tensor` admits arrays and lists where a tensor is wanted. The
  sentence of `compare` where no known mistake fits is a `Vague`.
- ``with each_argument(answer, case, target=4, rate=0.1):`` around call and comparison,
  where `case` is the dict of arguments by name: if they end in a `Vague`, looks whether
  one of the named arguments makes no difference to the answer, and says that instead.
- `exercise(name)`: the variables of the notebook that a wrong answer uses are named to the
  learner. With `patience=5` the answer has five times as long: it asks networks of the
  course.
"""

import copy
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from .._machinery.arguments import described
from .guard import OutOfTime, OwnInterrupt, guarded, hand_over, usual_state
from .hints import first_line, hint, notebook_variables, own_line, raised_by_itself

LIMIT = 4.0  # seconds for all that a check does
MOST = 10_000  # items that are read from an answer that gives one after the other

PASSED, WRONG, NOT_TRIED = "passed", "not right yet", "not tried yet"
_SIGNS = {PASSED: "✔", WRONG: "✘", NOT_TRIED: "…"}


class Wrong(Exception):  # noqa: N818 - not an error of the program
    """Raised by a check; its text is the sentence that helps the learner."""


class Vague(Wrong):
    """A `Wrong` whose sentence knows no cause."""


class NotTried(Exception):  # noqa: N818
    """Raised where an answer returns nothing yet."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check; a notebook shows it as one line."""

    exercise: str
    state: str
    message: str

    def __repr__(self) -> str:
        return f"{_SIGNS[self.state]} {self.exercise}: {self.state}. {self.message}"

    def __bool__(self) -> bool:
        return self.state == PASSED


def exercise(name: str, patience: int = 1) -> Callable:
    """Make a check of a function that returns a closing sentence or raises `Wrong`.

    Example:
        >>> @exercise("Exercise 0")
        ... def double(answer):
        ...     compare(call(answer, 2), 4, {}, "Twice 2 is 4.")
        ...     return "Every number is doubled."
        >>> double(lambda x: 2 * x)
        ✔ Exercise 0: passed. Every number is doubled.
    """

    def decorate(check: Callable) -> Callable:
        @functools.wraps(check)
        def run(*answers) -> Verdict:
            state, sentence = _judged(check, answers, patience * LIMIT)
            if state == WRONG:
                sentence += _about_notebook(answers)
            return Verdict(name, state, " ".join(sentence.splitlines()))

        run.exercise, run.patience = name, patience
        return run

    return decorate


def _judged(check: Callable, answers: tuple, limit: float) -> tuple[str, str]:
    """The state and the sentence, whatever the answers do."""
    wanted = list(inspect.signature(check).parameters)
    if len(answers) != len(wanted):
        return WRONG, f"Pass to the check: {', '.join(wanted)}."
    try:
        with guarded(limit):
            return PASSED, check(*answers)
    except NotTried as nothing:
        return NOT_TRIED, str(nothing)
    except Wrong as wrong:
        return WRONG, str(wrong)
    except OutOfTime as error:
        line = own_line(error)
        where = f" It was at `{line}`." if line else ""
        words = f"Your function does not come to an end within {limit:g} seconds"
        return WRONG, f"{words}: is there a loop without end?{where}"
    except KeyboardInterrupt:  # somebody has pressed Ctrl-C
        raise
    except OwnInterrupt as error:
        return WRONG, _stopped(error.__cause__)
    except BaseException as error:
        return WRONG, f"The check could not read your answer: {first_line(error)}"


def _about_notebook(answers: tuple) -> str:
    found = dict.fromkeys(name for a in answers for name in notebook_variables(a))
    names = [f"`{name}`" for name in found]
    if not names:
        return ""
    kind = "a variable" if len(names) == 1 else "variables"
    used = f" Your function uses {' and '.join(names)}, {kind} of the notebook"
    return f"{used}; use its arguments."


@contextmanager
def about(case: str) -> Iterator[None]:
    """While open, the sentence of a `Wrong` begins with the case that it is about."""
    try:
        yield
    except Wrong as wrong:
        sentence = str(wrong)
        raise type(wrong)(f"{case}: {sentence[0].lower()}{sentence[1:]}") from wrong


def call(answer: Callable, *arguments, intact: bool = False, after: Callable | None = None):
    """What the learner's function returns for deep copies of `arguments`.

    Args:
        answer: the learner's function.
        *arguments: what it is called with.
        intact: refuse an answer that changes them, or replaces PyTorch's functions.
        after: called with the copies once the answer has returned.
    """
    if not callable(answer) or isinstance(answer, (type, nn.Module)):
        raise Wrong(f"Pass the function itself to the check, not {described(answer)}.")
    leaves = (a.detach() if isinstance(a, Tensor) else a for a in arguments)
    copies = copy.deepcopy(tuple(leaves))
    for given, own in zip(arguments, copies, strict=True):
        if isinstance(given, Tensor) and given.requires_grad:
            own.requires_grad_()
    with usual_state() as replaced:
        result = _result(answer, copies)
        left = replaced()
    if result is None or result is Ellipsis:
        nothing = "Your function returns nothing: write its body, and end with `return`."
        raise NotTried(nothing)
    if intact and left:
        raise Wrong(f"It leaves PyTorch's own {left[-1]} replaced: restore it, by `with`.")
    if intact:
        for given, own in zip(arguments, copies, strict=True):
            _check_intact(given, own)
    if after:
        after(*copies)
    return result


def _result(answer: Callable, copies: tuple):
    try:
        result = hand_over(answer, copies)
        if inspect.iscoroutine(result):
            result.close()
            raise Wrong(
                "Your function is `async` and gives a coroutine: write plain `def`."
            )
        return _listed(result) if isinstance(result, Iterator) else result
    except (KeyboardInterrupt, OutOfTime):  # these two are not for `call` to judge
        raise
    except Wrong:
        raise
    except BaseException as error:
        if isinstance(error, NotImplementedError) and raised_by_itself(error):
            return None
        raise Wrong(_stopped(error)) from error


def _listed(values: Iterable) -> list:
    found = list(islice(values, MOST + 1))
    if len(found) > MOST:
        raise Wrong(
            f"Your function gives more than {MOST:,} values: does it come to an end?"
        )
    return found


def _stopped(error: BaseException) -> str:
    line = own_line(error)
    where = f" at `{line}`" if line else ""
    return (
        f"Your function stopped{where} with {first_line(error).rstrip('.')}.{hint(error)}"
    )


def _check_intact(given, own) -> None:
    """Refuse an answer that has changed `own`, its copy of `given`."""
    if isinstance(given, Tensor) and not torch.equal(given.detach(), own.detach()):
        raise Wrong("Your function changes the tensor it was given; work on a clone().")
    if isinstance(given, np.ndarray) and not np.array_equal(given, own):
        raise Wrong("Your function changes the caller's array; work on a copy().")
    if isinstance(given, (list, dict, set)) and given != own:
        raise Wrong(
            f"Your function changes the {type(given).__name__} it is given; copy it."
        )
    if isinstance(given, nn.Module):
        _check_network(given, own)


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _check_network(given: nn.Module, own: nn.Module) -> None:
    before, after = list(given.modules()), list(own.modules())
    if [type(module) for module in before] != [type(module) for module in after]:
        raise Wrong("Your function replaces a module of the network; leave it alone.")
    for old, new in zip(before, after, strict=True):
        if any(len(getattr(new, h)) > len(getattr(old, h)) for h in _HOOKS):
            raise Wrong("Your function leaves hooks behind, which change later gradients.")
        if old.training != new.training:
            mode = "training" if new.training else "evaluation"
            raise Wrong(f"Your function leaves the network in {mode} mode; restore it.")
        if getattr(old, "inplace", None) != getattr(new, "inplace", None):
            words = f"Your function sets inplace to {new.inplace} in a network that is not "
            raise Wrong(f"{words}yours.")
    weights = zip(given.parameters(), own.parameters(), strict=True)
    if not all(torch.equal(old, new) for old, new in weights):
        raise Wrong("Your function changes the network's weights; leave them as they are.")


@contextmanager
def each_argument(answer: Callable, case: Mapping, **others) -> Iterator[None]:
    """A `Vague` about `case` becomes a sentence about an argument that is not used.

    Args:
        answer: the learner's function.
        case: its arguments by name, in order.
        **others: another value of some of them, for which the right result differs.
    """
    try:
        yield
    except Vague:
        for name, other in others.items():
            with suppress(Wrong, NotTried, TypeError, ValueError, RuntimeError):
                results = [
                    call(answer, *arguments.values())
                    for arguments in (case, {**case, name: other})
                ]
                ignored = close(*results, within=1e-6)
                if ignored:
                    break
        else:
            raise
        raise Wrong(_ignored(name, case[name], other)) from None


def _ignored(name: str, value, other) -> str:
    simple = isinstance(value, (int, float, str, tuple))
    both = f"for {value} and for {other}" if simple else "with another one"
    return f"`{name}` makes no difference to your result, which is the same {both}: use it."


def check_tensor(result, shape: tuple[int, ...], known: Mapping | None = None) -> Tensor:
    """`result`, a tensor of `shape`; `known`: another shape → the sentence about it."""
    if isinstance(result, tuple) and hasattr(result, "values"):
        raise Wrong("`max(dim=…)` gives indices as well: take `.values`, or use `amax`.")
    if isinstance(result, (list, tuple)) and all(isinstance(r, Tensor) for r in result):
        raise Wrong("Expected a tensor, got a list of them: torch.stack makes it one.")
    if not isinstance(result, Tensor):
        raise Wrong(f"Expected a tensor, got {described(result)}.")
    came, shape = tuple(result.shape), tuple(shape)
    if came != shape:
        if known and came in known:
            raise Wrong(known[came])
        raise Wrong(f"The shape should be {shape}; yours is {came}.")
    if not torch.isfinite(result).all():
        raise Wrong("Your tensor holds NaN or infinite values.")
    return result.detach()


def as_tensor(result):
    """An array, or a list of numbers, rows or tensors, as a tensor; others stay.

    For answers whose values alone count, not the graph behind them.
    """
    values = result
    with suppress(TypeError, ValueError, RuntimeError):
        if type(result) in (list, tuple):  # not the pair that `max(dim=…)` gives
            plain = [r.detach() if isinstance(r, Tensor) else r for r in result]
            values = np.array([np.asarray(row) for row in plain])
        if isinstance(values, np.ndarray):
            return torch.from_numpy(values.astype(float))
    return result


def read(result, convert: Callable, expected: str):
    """`convert(result)`, or a sentence that says what was expected instead."""
    plain = isinstance(result, (Tensor, np.ndarray, str, bytes, list, tuple, dict, set))
    try:
        if not plain and isinstance(result, Iterable):
            result = _listed(result)
        return convert(result.detach() if isinstance(result, Tensor) else result)
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(f"Expected {expected}, got {described(result)}.") from error


def compare(result, right, mistakes: Mapping, otherwise: str, within=1e-4) -> None:
    """Pass if `result` is `close` to `right`; otherwise raise the sentence that helps most.

    `mistakes`: sentence → what one gets by that mistake; `otherwise`: when none fits.
    """
    if not close(result, right, within):
        for text, wrong in mistakes.items():
            if close(result, wrong, within):
                raise Wrong(text)
        raise Vague(otherwise)


def compare_tensor(result, right, mistakes, otherwise, shapes=None) -> None:
    """`check_tensor` for the shape of `right`, with the wrong `shapes`, then `compare`."""
    compare(check_tensor(result, right.shape, shapes), right, mistakes, otherwise)


def close(a, b, within: float = 1e-4) -> bool:
    """Whether `a` equals `b`; numbers up to `within`, a share of the largest in `b`."""
    if not isinstance(b, (Tensor, np.ndarray, float)):
        return a == b
    a, b = (torch.as_tensor(v, dtype=torch.float64, device="cpu") for v in (a, b))
    if a.shape != b.shape:
        return False
    scale = b.abs().max().item() or 1.0
    return torch.allclose(a, b, rtol=1e-3, atol=within * scale)
