"""Is everything there that the course needs? Says what is missing and how to mend it.

This module imports nothing but the standard library until it is asked: it must be able
to speak where torch is not installed.
"""

import importlib.metadata
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA_FILES = (
    "photos.json",
    "models/squeezenet1_1.safetensors",
    "models/imagenet_classes.json",
)


def check_environment(versions: bool = False) -> bool:
    """Print one line for each thing the course needs; True if all are there.

    Args:
        versions: also print which release is installed. (Without it the text is the same
            on every machine where all is well.)

    Example:
        >>> check_environment()  # doctest: +SKIP
        ✔ Python >=3.11
        …
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    lines = [_check_python(project["requires-python"], versions)]
    lines += [_check_package(spec, versions) for spec in project["dependencies"]]
    lines.append(_check_data())
    for ok, text in lines:
        print("✔" if ok else "✘", text)
    good = all(ok for ok, _ in lines)
    print("All is there." if good else "Mend the lines marked ✘, then restart the kernel.")
    return good


def _check_python(wanted: str, versions: bool) -> tuple[bool, str]:
    lowest = tuple(map(int, wanted.removeprefix(">=").split(".")))
    release = "{}.{}.{}".format(*sys.version_info[:3])
    if sys.version_info >= lowest:
        return True, f"Python {wanted}" + (f" ({release})" if versions else "")
    return False, f"Python {release} is too old: install Python {wanted}"


def _check_package(spec: str, versions: bool) -> tuple[bool, str]:
    from packaging.requirements import Requirement

    wanted = Requirement(spec)
    try:
        release = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return False, f"{wanted.name} is missing: run  pip install '{spec}'"
    if wanted.specifier.contains(release, prereleases=True):
        return True, spec + (f" ({release})" if versions else "")
    return False, f"{wanted.name} {release} does not fit: run  pip install '{spec}'"


def _check_data() -> tuple[bool, str]:
    missing = [name for name in DATA_FILES if not (ROOT / "data" / name).exists()]
    if missing:
        return False, f"data/{missing[0]} is missing: clone the course's repository anew"
    return True, "the network and the photographs (data/)"
