"""Jobs in processes of their own, some at a time, each with a limit."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait

FORK = "fork"
ENDED, OVERDUE, BROKEN = "ended", "overdue", "broken"


def can_fork() -> bool:
    """Whether this system can do it (Windows cannot)."""
    return FORK in multiprocessing.get_all_start_methods()


def _child(job: Callable, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    os.setpgid(0, 0)
    with pipe:
        job(pipe.send)


def in_processes(
    jobs: Mapping[str, Callable], at_once: int, seconds: float
) -> Iterator[tuple[str, list, str]]:
    """Run jobs, `at_once` at a time; yield the name, what it sent, and how it ended.

    Args:
        jobs: name → a function, which is called with a function that sends a value.
        at_once: how many run side by side.
        seconds: after which a job is killed; what it has sent is kept.
    """
    todo, running = list(jobs.items()), {}
    fork = multiprocessing.get_context(FORK)
    try:
        while todo or running:
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
    for pipe in wait([*running], timeout=max(soonest - time.monotonic(), 0)):
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
