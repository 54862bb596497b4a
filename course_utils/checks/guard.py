"""What surrounds an answer while it runs: a time limit, and a process in its usual state.

An answer may loop without end, switch gradients off or replace `torch.relu`; an earlier
cell may have done so already. `time_limit` ends the first kind, `usual_state` sets all
that the checks rely on and puts back what it found.
"""

import builtins
import ctypes
import io
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .hints import is_own

# -- a time limit ----------------------------------------------------------------------

AGAIN = 0.05  # seconds until an answer that caught `OutOfTime` gets it once more


class OutOfTime(BaseException):  # noqa: N818 - nor an `Exception`: answers catch those
    """Raised inside an answer that is still running at the end of its time."""


def hand_over(answer: Callable, arguments: tuple):
    """Call the learner's function: from here on it is the learner's time."""
    return answer(*arguments)


def _above_base(frame) -> Iterator:
    """The frames of what runs now, from the innermost down to the base of the checks."""
    while frame and frame.f_globals.get("__name__") != f"{__package__}.base":
        yield frame
        frame = frame.f_back


def _in_answer(frame) -> bool:
    """Whether the learner's code is at work: not the check itself, nor an import.

    To stop those would judge a slow machine, and leave modules half loaded.
    """
    codes = [inner.f_code for inner in _above_base(frame)]
    if any(code.co_filename.startswith("<frozen importlib") for code in codes):
        return False
    return any(code is hand_over.__code__ or is_own(code.co_filename) for code in codes)


class _Watch:
    """How often the alarm has rung, and whether somebody has pressed Ctrl-C."""

    def __init__(self):
        self.done = self.interrupted = False
        self.fired, self.hurry = 0, lambda: None

    def ring(self, _signal, frame) -> None:
        """The alarm: raise in the learner's code."""
        if self.done or not _in_answer(frame):
            return
        self.fired += 1
        if self.fired > 1:  # a bare `except:` has caught it: raise at a later line
            trace = self._tracer(self.fired % 8)  # another line each time
            sys.settrace(trace)
            for inner in _above_base(frame):
                if is_own(inner.f_code.co_filename):
                    inner.f_trace = trace
        raise OutOfTime

    def _tracer(self, lines: int):
        def trace(frame, event, _value):
            nonlocal lines
            if event == "line" and is_own(frame.f_code.co_filename) and not self.done:
                lines -= 1
                if lines <= 0:
                    raise OutOfTime
            return trace

        return trace


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the block once it has run for `seconds`, until it ends.

    In the main thread a signal does it, where the system has timers; it ends a
    `time.sleep` as well. Elsewhere (Windows, other threads) a second thread does it, at
    the next step of Python, which a bare `except:` around a long call may swallow. A call
    into C that never returns cannot be stopped. Handlers, timers and tracers (debugger,
    coverage) are put back. Ctrl-C ends the block as ever; a KeyboardInterrupt that nobody's
    Ctrl-C has caused becomes `OwnInterrupt`.
    """
    watch, tracer = _Watch(), sys.gettrace()
    main = threading.current_thread() is threading.main_thread()
    alarm = _by_signal if main and hasattr(signal, "setitimer") else _by_thread
    try:
        with _noticing_interrupts(watch, main), alarm(watch, seconds):
            yield
    except KeyboardInterrupt as error:
        if not watch.interrupted:
            raise OwnInterrupt from error
    except BaseException:
        if not watch.interrupted:
            raise
    finally:
        if sys.gettrace() is not tracer:
            sys.settrace(tracer)
    if watch.interrupted:  # also where the answer has swallowed it
        raise KeyboardInterrupt


class OwnInterrupt(Exception):  # noqa: N818
    """A KeyboardInterrupt that the answer has raised by itself."""


@contextmanager
def _noticing_interrupts(watch: _Watch, main: bool) -> Iterator[None]:
    usual = signal.getsignal(signal.SIGINT)
    if not (main and callable(usual)):
        yield
        return

    def interrupt(number, frame):
        watch.interrupted = True
        watch.hurry()  # an answer that swallows the interrupt runs out of time
        usual(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


@contextmanager
def _by_signal(watch: _Watch, seconds: float) -> Iterator[None]:
    begin, handler = time.monotonic(), signal.signal(signal.SIGALRM, watch.ring)
    rest, interval = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    watch.hurry = lambda: signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
    try:
        yield
    finally:
        watch.done = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if rest:  # somebody's timer was running: it goes on
            rest = max(rest - (time.monotonic() - begin), 1e-6)
            signal.setitimer(signal.ITIMER_REAL, rest, interval)


@contextmanager
def _by_thread(watch: _Watch, seconds: float) -> Iterator[None]:
    thread, ended = ctypes.c_ulong(threading.get_ident()), threading.Event()
    throw = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def wait() -> None:
        pause = seconds
        while not ended.wait(pause):
            if _in_answer(sys._current_frames().get(thread.value)):
                watch.fired += 1
                throw(thread, ctypes.py_object(OutOfTime))
            pause = AGAIN

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield
    finally:
        while waiting.is_alive():
            with suppress(OutOfTime):  # one more may be under way
                ended.set()
                waiting.join()
        with suppress(OutOfTime):
            # The last one may still be: this one takes its place, and comes for certain.
            # (To throw None would empty it too, but then Python 3.11 hangs when traced.)
            while watch.fired:
                throw(thread, ctypes.py_object(OutOfTime))


# -- the state of the process ----------------------------------------------------------

# Where answers replace functions, and what stood there when the checks were imported.
_PLACES = (builtins, torch, F, np, Tensor, nn.Module, nn.ReLU)
_NOT_OURS = {"_", "input"}  # a shell sets these for each cell


def _functions() -> list[dict]:
    return [dict(vars(place)) for place in _PLACES]


_ORIGINALS = _functions()


def _replaced(before: list[dict]) -> Iterator[tuple]:
    """(place, name, what stood there), or an empty tuple where nothing did."""
    for place, names in zip(_PLACES, before, strict=True):
        now = dict(vars(place))
        for name in names.keys() - _NOT_OURS:
            if now.get(name, now) is not names[name]:
                yield place, name, names[name]
        if isinstance(place, type):  # x.relu is inherited: to replace it adds a name
            yield from ((place, name, ()) for name in now.keys() - names.keys())


def _put_back(before: list[dict]) -> None:
    for place, name, value in _replaced(before):
        with suppress(AttributeError, TypeError):
            delattr(place, name) if value == () else setattr(place, name, value)


def _set_device(device: torch.device) -> None:
    if device == torch.get_default_device():
        return
    torch.set_default_device(None if device == CPU else device)
    try:
        torch.get_default_device()
    except AttributeError:  # in PyTorch 2.6 the way back to none leads nowhere
        torch.set_default_device(device)


# How to read a setting, how to make it, and what the checks want ("as it is": leave it).
_AS_IT_IS, CPU = object(), torch.device("cpu")
_SETTINGS = (
    (torch.get_default_device, _set_device, CPU),
    (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False),
    (
        lambda: torch.is_autocast_enabled("cpu"),
        lambda on: torch.set_autocast_enabled("cpu", on),
        False,
    ),
    (torch.get_num_threads, torch.set_num_threads, _AS_IT_IS),
    (torch.get_rng_state, torch.set_rng_state, _AS_IT_IS),
    (np.random.get_state, np.random.set_state, _AS_IT_IS),
    (random.getstate, random.setstate, _AS_IT_IS),
    (np.geterr, lambda how: np.seterr(**how), np.geterr()),
    (os.getcwd, os.chdir, _AS_IT_IS),
    (sys.getrecursionlimit, sys.setrecursionlimit, _AS_IT_IS),
)


@contextmanager
def usual_state() -> Iterator[Callable[[], list[str]]]:
    """Gradients on, float32, no warnings, …: set here, and put back as it was before.

    Yields a function: which functions of Python, PyTorch and NumPy have been replaced.
    """
    found = [(make, read()) for read, make, _ in _SETTINGS]
    functions = _functions()
    # Leaving `inference_mode` restores the gradient mode as well, whoever changed it.
    with warnings.catch_warnings(), torch.inference_mode(False):
        try:
            warnings.simplefilter("ignore")
            for _, make, wanted in _SETTINGS:
                if wanted is not _AS_IT_IS:
                    make(wanted)
            yield lambda: sorted(name for _, name, _ in _replaced(functions))
        finally:
            _put_back(functions)  # first: the rest may need them
            for make, value in found:
                make(value)


# -- what it prints, and all of it together --------------------------------------------

MOST_PRINTED = 2000  # characters


class _Cut(io.TextIOBase):
    """A stream that hands on the first characters only."""

    def __init__(self, stream):
        self.stream, self.left = stream, MOST_PRINTED

    def write(self, text: str) -> int:
        if self.left > 0:
            self.stream.write(text[: self.left])
            self.left -= len(text)
            if self.left <= 0:
                self.stream.write("\n… and more, which the check leaves out.\n")
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


@contextmanager
def guarded(seconds: float) -> Iterator[None]:
    """All that a check runs in: see `usual_state` and `time_limit`; it prints little."""
    with (
        usual_state(),
        redirect_stdout(_Cut(sys.stdout)),
        redirect_stderr(_Cut(sys.stderr)),
        time_limit(seconds),
    ):
        _put_back(_ORIGINALS)  # an earlier cell may have replaced some
        yield
