"""For every test, the lessons' own cells (run by nbval) among them."""

import os

# Without it the debugger in a kernel writes a warning about frozen modules to stderr.
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
