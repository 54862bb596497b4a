"""Jobs in processes of their own, some at a time, each with a limit."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait

FORK = "fork"
ASK_AGAIN = 1.0  # seconds
ENDED, OVERDUE, BROKEN = "ended", "overdue", "broken"


def can_fork() -> bool:
    """Whether this system can do it (Windows cannot)."""
    return FORK in multiprocessing.get_all_start_methods()


class Interrupts:
    """Ctrl-C, noticed also where Python loses it.

    A KeyboardInterrupt that is raised in a destructor, or in the callback of a weak
    reference, is printed and dropped; `check` raises it again.
    """

    def __init__(self):
        self.pressed = False

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Notice Ctrl-C in the block; the main thread alone can."""
        usual = signal.getsignal(signal.SIGINT)

        def press(number, frame):
            self.pressed = True
            signal.default_int_handler(number, frame)

        signal.signal(signal.SIGINT, press)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)

    def check(self) -> None:
        """Raise the KeyboardInterrupt that was lost, if one was."""
        if self.pressed:
            raise KeyboardInterrupt


def _child(job: Callable, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    os.setpgid(0, 0)
    with pipe:
        job(pipe.send)


def in_processes(
    jobs: Mapping[str, Callable], at_once: int, seconds: float, interrupts: Interrupts
) -> Iterator[tuple[str, list, str]]:
    """Run jobs, `at_once` at a time; yield the name, what it sent, and how it ended.

    Args:
        jobs: name → a function, which is called with a function that sends a value.
        at_once: how many run side by side.
        seconds: after which a job is killed; what it has sent is kept.
        interrupts: asked every second; a pressed Ctrl-C ends all jobs.
    """
    todo, running = list(jobs.items()), {}
    fork = multiprocessing.get_context(FORK)
    try:
        while todo or running:
            interrupts.check()
            while todo and len(running) < at_once:
                name, job = todo.pop(0)
                ours, theirs = fork.Pipe(duplex=False)
                process = fork.Process(target=_child, args=(job, theirs))
                process.start()
                theirs.close()
                running[ours] = (name, process, [], time.monotonic() + seconds)
            yield from _finished(running)
    finally:
        for pipe, (_, process, _, _) in running.items():
            _end(process, pipe)


def _finished(running: dict) -> Iterator[tuple[str, list, str]]:
    """Wait for news; yield the jobs that are over."""
    soonest = min(ends for *_, ends in running.values())
    patience = min(max(soonest - time.monotonic(), 0), ASK_AGAIN)
    for pipe in wait([*running], timeout=patience):
        name, process, sent, _ = running[pipe]
        try:
            sent.append(pipe.recv())
        except (EOFError, OSError):
            process.join()
            running.pop(pipe)
            _end(process, pipe)
            yield name, sent, ENDED if process.exitcode == 0 else BROKEN
    for pipe, (name, process, sent, ends) in list(running.items()):
        if time.monotonic() > ends:
            running.pop(pipe)
            _end(process, pipe)
            yield name, sent, OVERDUE


def _end(process, pipe: Connection) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    pipe.close()
