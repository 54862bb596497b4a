"""Is everything installed that the course needs? Says what is missing and how to fix it.

This module imports only the standard library: it has to work where torch is missing.
"""

import importlib
import importlib.metadata
import platform
import re
import sys
import tomllib
from contextlib import suppress
from functools import cache

from ._machinery.data import DATA, INSTALLED, PACKAGE

NETWORK = "models/squeezenet1_1.safetensors"
DATA_FILES = ("photos.json", NETWORK, "models/imagenet_classes.json")
# Packages that are imported under another name than they are installed under.
MODULES = {"pillow": "PIL", "scikit-learn": "sklearn", "ipython": "IPython"}


def check_environment(versions: bool = False) -> bool:
    """Print one line for each thing the course needs; True if all of them are there.

    With `versions`, also the installed releases. (Without them the text is the same on
    every machine where all is well.)

    Example:
        >>> check_environment()  # doctest: +SKIP
        ✔ Python>=3.11
        …
    """
    lines = _lines(versions)
    right, wrong = _marks()
    for ok, text in lines:
        print(right if ok else wrong, text)
    good = all(ok for ok, _ in lines)
    fix = f"Fix the lines marked {wrong}, then restart the kernel."
    print("Everything is installed." if good else fix)
    return good


def problems() -> list[str]:
    """What is wrong, a sentence each; an empty list if all is well."""
    return [text for ok, text in _lines(versions=False) if not ok]


class BrokenPackageError(ImportError):
    """A package is there and cannot be imported: torchvision, beside a foreign torch."""


def require(*modules: str) -> None:
    """Import modules; the error that this raises names the first that cannot be.

    Raises:
        ModuleNotFoundError: It is missing.
        BrokenPackageError: It is installed, and its import raises some other error.
    """
    for module in modules:
        error = _import_error(module)
        if isinstance(error, ModuleNotFoundError):
            raise error
        if error is not None:
            raise BrokenPackageError(_first_line(error), name=module) from error


@cache
def _import_error(module: str) -> Exception | None:
    """What importing a module raises. Asked once: a second try ends in another error."""
    try:
        importlib.import_module(module)
    except Exception as error:
        return error
    return None


def _first_line(error: Exception) -> str:
    """The type of an error, and the first line of its message."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}".removesuffix(": ")


def _lines(versions: bool) -> list[tuple[bool, str]]:
    """For each thing the course needs, whether it is there, and a line that says so."""
    lines = [_check(requirement, versions) for requirement in _requirements()]
    text = "the network and the photographs (data/)"
    if missing := [name for name in DATA_FILES if not (DATA / name).exists()]:
        text = f"data/{missing[0]} is missing: install or clone the course again"
    return [*lines, (not missing, text)]


def _marks() -> tuple[str, str]:
    """✔ and ✘, or words where the output has no such letters (Windows, into a file)."""
    try:
        "✔✘".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return "ok", "!!"
    return "✔", "✘"


def course_version() -> str:
    """The version of the course, which pyproject.toml alone states.

    Of a package that was copied without it: "unknown", for nothing else needs it.
    """
    with suppress(OSError, importlib.metadata.PackageNotFoundError):
        if INSTALLED:
            return importlib.metadata.version("saliency-course")
        return _project()["version"]
    return "unknown"


def _requirements() -> list[str]:
    """Those of the installed package, or of the clone in which this module lies."""
    if INSTALLED:
        known = importlib.metadata.metadata("saliency-course")
        packages = [r for r in known.get_all("Requires-Dist") if "extra ==" not in r]
        return ["Python" + known["Requires-Python"], *packages]
    project = _project()
    return ["Python" + project["requires-python"], *project["dependencies"]]


def _project() -> dict:
    """What pyproject.toml says of the clone in which this module lies."""
    text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


def _check(requirement: str, versions: bool) -> tuple[bool, str]:
    """Whether a requirement such as ``numpy>=1.26,<3`` is met, and a line that says so."""
    name, *bounds = re.findall(r"^[\w.-]+|(?:>=|<)[\d.]+", requirement)
    wanted = name + ",".join(sorted(bounds, reverse=True))  # as in pyproject.toml
    fix = f"install {wanted}" if name == "Python" else f"run  pip install '{wanted}'"
    try:
        python = name == "Python"
        release = platform.python_version() if python else importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False, f"{name} is missing: {fix}"
    if not all((_parts(release) >= _parts(bound)) == (bound[0] == ">") for bound in bounds):
        return False, f"{name} {release} is not supported: {fix}"
    if not python and (error := _import_error(MODULES.get(name, name))) is not None:
        told = f"{name} {release} cannot be imported ({_first_line(error)})"
        return False, f"{told}: {_repair(name, wanted)}"
    return True, wanted + (f" ({release})" if versions else "")


def _repair(name: str, wanted: str) -> str:
    """What to do about a package that is installed and cannot be imported."""
    if name in ("torch", "torchvision"):
        both = "install torch and torchvision again, both from one index"
        return f"{both}; docs/troubleshooting.md says how"
    return f"run  pip install --force-reinstall '{wanted}'"


def _parts(release: str) -> list[int]:
    """The numbers in a release such as ``2.6.0+cpu`` or a bound such as ``>=2.6``."""
    return [int(part) for part in re.search(r"\d+(\.\d+)*", release)[0].split(".")]
