"""For all tests: the scripts in tools/ can be imported, and figures need no screen."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
os.environ["MPLBACKEND"] = "Agg"
os.environ["COURSE_PROGRESS"] = "off"
# Threads that wait for one another cost more than they save on pictures this small.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from in_browser import (  # noqa: E402, F401
    browser,
    open_lab_in,
    open_notebook,
    run_notebook,
    server,
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, elsewhere, what only Linux can try."""
    if item.get_closest_marker("linux") and sys.platform != "linux":
        pytest.skip("needs file names, links, pipes or signals that only Linux has")
