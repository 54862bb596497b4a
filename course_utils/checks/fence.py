"""What an answer may use and do while it is marked.

The operating system limits time, memory, files and processes. Python's audit hooks, which
no code can take off again, refuse what no exercise needs: other processes, the network,
files of others, the course's solutions, and a look at the frames of the check. That stops
what learners try; it is no jail, so mark in a container.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from .hints import _LIBRARY, is_own

PACKAGE = __package__  # course_utils.checks

# -- the limits of the process ---------------------------------------------------------


@dataclass(frozen=True)
class LimitsOfAnswer:
    """What the process of an answer may use.

    Args:
        seconds: for all calls that a check makes.
        memory: bytes more than the process begins with.
        home: the folder in which it may write.
        hidden: folders in which it may not read.
    """

    seconds: float = 12.0
    memory: int = 2 * 2**30
    home: Path | None = None
    hidden: tuple[Path, ...] = ()

    def enter(self, keep: int) -> None:
        """In the new process: close all files but `keep`, and set the limits."""
        import resource  # which Windows has not

        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nothing, stream)
        last = os.sysconf("SC_OPEN_MAX") if hasattr(os, "sysconf") else 1024
        os.closerange(3, keep)
        os.closerange(keep + 1, min(last, 65536))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted = {
            "RLIMIT_AS": pages * os.sysconf("SC_PAGE_SIZE") + self.memory,
            "RLIMIT_CPU": int(self.seconds) + 10,
            "RLIMIT_FSIZE": 2**26,
            "RLIMIT_CORE": 0,
        }
        for name, value in wanted.items():
            with suppress(ValueError):  # stricter limits are in force already
                resource.setrlimit(getattr(resource, name), (value, value))


# -- the fence -------------------------------------------------------------------------

REFUSED = re.compile(
    r"os\.(fork|forkpty|exec|posix_spawn|spawn|system|startfile|kill|killpg|setxattr)"
    r"|subprocess\.Popen|pty\.spawn|signal\.pthread_kill"
    r"|socket\.(connect|bind|sendto|sendmsg|getaddrinfo|gethostbyname)"
)
CHANGES = re.compile(
    r"os\.(remove|rename|rmdir|mkdir|link|symlink|truncate|chmod|chown|utime)"
)
PEEKS = re.compile(
    r"sys\.(_getframe|_current_frames|_current_exceptions|settrace|setprofile)"
    r"|gc\.get_(objects|referrers|referents)|ctypes\..*|object\.__getattr__"
)
FRAMES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PROCESSES = re.compile(r"/proc/\d+/")


class _Fence:
    """The audit hook; it is there from `up` on, for the rest of the process."""

    def __init__(self, limits: LimitsOfAnswer):
        self.home = limits.home and os.path.realpath(limits.home)
        self.hidden = [os.path.realpath(folder) for folder in limits.hidden]
        self.up = self.busy = False

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.up and not self.busy:
            self.busy = True
            try:
                self._look(event, arguments)
            finally:
                self.busy = False

    def _look(self, event: str, arguments: tuple) -> None:
        if event == "open":
            self._file(arguments[0], bool((arguments[2] or 0) & WRITING))
        elif REFUSED.fullmatch(event):
            raise PermissionError(f"{event} is not allowed while an answer is marked")
        elif CHANGES.fullmatch(event):
            paths = [path for path in arguments[:2] if isinstance(path, (str, bytes))]
            for path in paths:
                self._file(path, writing=True)
        elif event == "import" and str(arguments[0]).startswith(PACKAGE):
            raise PermissionError("the checks cannot be imported while an answer is marked")
        elif PEEKS.fullmatch(event) and _peeks(event, arguments):
            raise PermissionError(f"{event} is not allowed while an answer is marked")

    def _file(self, path, writing: bool) -> None:
        if isinstance(path, int):
            return
        path = os.path.realpath(os.fsdecode(path))
        if writing and path != os.devnull and not (self.home and _in(path, self.home)):
            raise PermissionError(f"no writing outside of the home folder: {path}")
        if PROCESSES.match(path) or any(_in(path, folder) for folder in self.hidden):
            raise PermissionError("this file cannot be read while an answer is marked")


def _in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def _peeks(event: str, arguments: tuple) -> bool:
    """Whether it is the learner who looks, directly or by way of Python's library."""
    if event == "object.__getattr__" and arguments[1] not in FRAMES:
        return False
    frame = sys._getframe(3)
    while frame and frame.f_code.co_filename.startswith(_LIBRARY):
        if "site-packages" in frame.f_code.co_filename:
            return False
        frame = frame.f_back
    return frame is not None and is_own(frame.f_code.co_filename)


@contextmanager
def fenced(limits: LimitsOfAnswer) -> Iterator[None]:
    """While open, the fence is up and the checks are out of reach, in this process."""
    fence = _Fence(limits)
    sys.addaudithook(fence)
    names = [n for n in sys.modules if n == PACKAGE or n.startswith(f"{PACKAGE}.")]
    modules = {name: sys.modules.pop(name) for name in names}
    parent = sys.modules[PACKAGE.rpartition(".")[0]]
    package = vars(parent).pop("checks", None)
    try:
        fence.up = True
        yield
    finally:
        fence.up = False
        sys.modules.update(modules)
        if package is not None:
            parent.checks = package
