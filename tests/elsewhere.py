"""The course where it is not installed: clones, wheels, and a Python that lacks it.

Google Colab has the packages that the course needs and fetches the course itself; so do
these stand-ins, and a wheel is installed where nothing else of the course is.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
from address import ROOT, read_release
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

WHO = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
# Not `site.getsitepackages()`: on Colab's pins there are two such folders.
PACKAGES = [path for path in sys.path if path.endswith("site-packages")]


def course_files(*parts: str) -> list[str]:
    """The files of the course as it lies here, committed or not."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run([*command, *parts], cwd=ROOT, capture_output=True, check=True)
    names = filter(None, done.stdout.decode().split("\0"))
    return [name for name in names if (ROOT / name).is_file()]


def release(folder: Path) -> Path:
    """A git repository in `folder` with the course as it lies here, tagged as released."""
    subprocess.run(["git", "init", "-q", folder], check=True)
    here = ["git", f"--git-dir={folder}/.git", f"--work-tree={ROOT}"]
    subprocess.run([*here, "add", "--all"], cwd=ROOT, check=True)
    subprocess.run([*here, *WHO, "commit", "-q", "-m", "as it is"], cwd=ROOT, check=True)
    subprocess.run([*here, "tag", read_release()], cwd=ROOT, check=True)
    return folder


def wheel(folder: Path) -> Path:
    """A folder in `folder` where the course is installed from a wheel, built of a copy."""
    parts = ["course_utils", "data", "pyproject.toml", "README.md", "LICENSE"]
    for name in course_files(*parts):
        copy = folder / "source" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["-q", "--no-deps", "--no-index"]
    build = ["wheel", *options, "--no-build-isolation", "-w", folder, folder / "source"]
    subprocess.run([*pip, *build], check=True)
    (built,) = folder.glob("*.whl")
    install = ["install", *options, "--target", folder / "site", built]
    subprocess.run([*pip, *install], check=True)
    return folder / "site"


def python_without_course(folder: Path, *places: Path) -> Path:
    """A Python in `folder` that finds this one's packages and `places`, not the course."""
    venv.create(folder, symlinks=os.name != "nt", with_pip=False)
    (packages,) = folder.glob("[Ll]ib/**/site-packages")
    # Folders that a .pth names are not searched for further ones, such as the course's.
    lines = [*map(str, places), *PACKAGES]
    (packages / "packages.pth").write_text("\n".join(lines) + "\n")
    return folder


def run_notebook(lesson: nbformat.NotebookNode, python: Path, place: Path, **environment):
    """Run every cell in the folder `place`, by the `python` of an environment."""
    kernel = python / "kernels" / "elsewhere"
    kernel.mkdir(parents=True, exist_ok=True)
    programs = python / ("Scripts" if os.name == "nt" else "bin")
    command = [str(programs / "python"), "-m", "ipykernel_launcher"]
    environment["PATH"] = os.pathsep.join([str(programs), os.environ["PATH"]])
    environment.setdefault("PYTHONPATH", "")
    spec = {"argv": [*command, "-f", "{connection_file}"], "env": environment}
    spec |= {"display_name": "elsewhere", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    specs = KernelSpecManager(kernel_dirs=[str(kernel.parent)])
    manager = KernelManager(kernel_name="elsewhere", kernel_spec_manager=specs)
    folder = {"metadata": {"path": str(place)}}
    try:
        NotebookClient(lesson, timeout=600, km=manager, resources=folder).execute()
    finally:
        manager.shutdown_kernel(now=True)
