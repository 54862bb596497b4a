"""Files that are written whole or not at all."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

DRAFT = ".draft"
PATIENCE = (0.05, 0.2, 0.5)  # seconds between tries


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a draft beside `path`, which then takes its place in one step.

    A failure, an interrupt or a power cut leaves what was there before.

    Args:
        path: of the finished file.
        write: called with the path of the draft, which has the same ending.

    Example:
        >>> write_whole(Path("notes.txt"), lambda draft: draft.write_text("done"))
    """
    own = sha256(os.fsencode(path.name)).hexdigest()[:8]  # a long name leaves no room
    draft = path.with_name(f".{own}{DRAFT}{path.suffix}")
    try:
        write(draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())  # else the name may reach the disk before the content
        _rename(draft, path)
    finally:
        with suppress(OSError):  # of the folder, which the first error has told
            draft.unlink(missing_ok=True)


def _rename(draft: Path, path: Path) -> None:
    """Let the draft take its place; Windows refuses while a viewer or scanner reads it."""
    for seconds in PATIENCE:
        try:
            draft.replace(path)
            return
        except PermissionError:
            time.sleep(seconds)
    draft.replace(path)
