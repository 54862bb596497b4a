"""How much memory a process of its own has taken: its source begins with `PEAK`."""

import sys

import pytest

# `VmHWM` is the process's own peak. `ru_maxrss` would not do: a child inherits that of its
# parent, and pytest's is so large that nothing the child takes would show.
PEAK = """
import re

def memory(kind="VmHWM"):
    with open("/proc/self/status") as file:
        return int(re.search(kind + r":\\s+(\\d+) kB", file.read())[1]) / 1024  # MiB
"""

measured = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="memory is measured by Linux's counter"
)
