"""Where the course's data lies: inside the installed package, or beside it in a clone."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
INSTALLED = (PACKAGE / "data").is_dir()
DATA = (PACKAGE if INSTALLED else PACKAGE.parent) / "data"
