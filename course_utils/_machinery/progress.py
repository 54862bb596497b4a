"""The one way in which a long computation reports, and is told to stop."""

from collections.abc import Callable
from typing import Any

from .arguments import function

# progress(done, total, so_far): `so_far` is the result as it stands. When it returns
# False, the computation stops and returns that. Exceptions propagate to the caller.
Progress = Callable[[int, int, Any], bool | None]


def goes_on(progress: Progress | None, done: int, total: int, so_far: Any = None) -> bool:
    """Report, and say whether to go on.

    Example:
        >>> goes_on(None, 1, 2), goes_on(lambda done, total, so_far: False, 1, 2)
        (True, False)
    """
    if progress is not None:
        function("progress", progress, "progress(done, total, so_far)")
    return progress is None or progress(done, total, so_far) is not False
