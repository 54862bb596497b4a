"""Ways into the package: an editor, an interpreter without torch, an installed wheel."""

import inspect
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import jedi
import nbformat
import pytest
from address import ROOT
from elsewhere import wheel

import course_utils

PACKAGES = sysconfig.get_path("purelib")
PROJECT = jedi.Project(ROOT, sys_path=[str(ROOT), PACKAGES])


# -- an editor -------------------------------------------------------------------------


@pytest.mark.parametrize("name", course_utils.__all__)
def test_an_editor_finds_every_public_name(name):
    script = jedi.Script(f"from course_utils import {name}\n{name}(", project=PROJECT)
    (definition,) = script.goto(2, 0, follow_imports=True)
    assert definition.module_path.is_relative_to(ROOT / "course_utils")
    assert definition.module_path.name != "__init__.py"
    assert definition.name == name
    assert script.infer(2, 0)
    thing = getattr(course_utils, name)
    if inspect.isfunction(thing) or inspect.isclass(thing):
        (signature,) = script.get_signatures(2, len(name) + 1)
        shown = [parameter.name for parameter in signature.params]
        parameters = inspect.signature(thing).parameters.values()
        assert [p.name for p in parameters if p.name not in shown and p.kind < 4] == []
        assert signature.docstring(raw=True)


def test_an_editor_completes_every_public_name():
    found = jedi.Script("import course_utils\ncourse_utils.", project=PROJECT).complete()
    assert set(course_utils.__all__) <= {completion.name for completion in found}
    found = jedi.Script("from course_utils import vanilla_", project=PROJECT).complete()
    assert [completion.name for completion in found] == ["vanilla_saliency"]


def test_type_checkers_are_told_that_the_package_has_types():
    assert (ROOT / "course_utils" / "py.typed").exists()


def test_every_listed_name_exists_once():
    names = course_utils.__all__
    assert len(set(names)) == len(names)
    assert all(hasattr(course_utils, name) for name in names)


# -- an interpreter without torch ------------------------------------------------------

ENVIRONMENT_CHECK = next(
    cell.source
    for cell in nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", 4).cells
    if cell.id == "environment-check"
)
WITHOUT_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Blocker())
"""


def run(code: str, folder: Path, *paths: str | Path) -> subprocess.CompletedProcess:
    """Run `code` where nothing can be imported but Python's own library and `paths`."""
    code = f"import sys; sys.path[:0] = {[*map(str, paths)]}\n{code}"
    command = [sys.executable, "-I", "-S", "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.installed
def test_lesson_00_says_what_is_missing_where_nothing_is_installed(tmp_path):
    done = run(f"{ENVIRONMENT_CHECK}\nprint(ready)", tmp_path, ROOT)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("✔ Python>=3.")
    assert "✘ torch is missing: run  pip install 'torch>=2.6'" in lines
    assert "✔ the network and the photographs (data/)" in lines
    assert lines[-2:] == ["Fix the lines marked ✘, then restart the kernel.", "False"]


@pytest.mark.installed
@pytest.mark.parametrize("blocked", [True, False], ids=["no torch", "no package at all"])
def test_without_torch_every_other_name_says_what_is_missing(blocked, tmp_path):
    code = f"""{WITHOUT_TORCH if blocked else ""}
import course_utils
course_utils.check_environment()
for name in course_utils.__all__:
    try:
        getattr(course_utils, name)
    except ModuleNotFoundError as error:
        assert error.name, error
        print(error)
    else:
        print(name, "works")
assert not hasattr(course_utils, "no_such_name")
from course_utils import vanilla_saliency
"""
    done = run(code, tmp_path, ROOT, *([PACKAGES] if blocked else []))
    told = done.stdout.splitlines()[-len(course_utils.__all__) :]
    missing = "torch" if blocked else "numpy"
    for name, line in zip(course_utils.__all__, told, strict=True):
        said = f"course_utils.{name} needs {missing}, which is not installed; "
        said += "course_utils.check_environment() lists what is missing"
        assert line == (f"{name} works" if name == "check_environment" else said)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"ModuleNotFoundError: course_utils.vanilla_saliency needs {missing}"
    )


@pytest.mark.installed
@pytest.mark.parametrize("letters", ["cp1252", "ascii", "utf-8"])
def test_the_check_can_be_read_whatever_letters_the_output_has(letters, tmp_path):
    code = "import course_utils; course_utils.check_environment()"
    code = f"import sys; sys.stdout.reconfigure(encoding={letters!r})\n{code}"
    done = run(code, tmp_path, ROOT)
    assert done.returncode == 0, done.stderr
    right, wrong = ("ok", "!!") if letters != "utf-8" else ("✔", "✘")
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{right} Python")
    assert lines[1].startswith(f"{wrong} torch is missing")
    assert lines[-1] == f"Fix the lines marked {wrong}, then restart the kernel."


# -- a package that is installed, and broken -------------------------------------------

NMS = "operator torchvision::nms does not exist"  # what torchvision says of a foreign torch


@pytest.fixture
def broken(tmp_path) -> Path:
    """A folder with a torchvision that does not fit its torch."""
    package = tmp_path / "broken" / "torchvision"
    package.mkdir(parents=True)
    text = f"raise RuntimeError({NMS!r} + chr(10) + 'and more')\n"
    (package / "__init__.py").write_text(text)
    return package.parent


@pytest.mark.installed
def test_the_check_names_a_package_that_cannot_be_imported(broken, tmp_path):
    code = f"{ENVIRONMENT_CHECK}\nprint(ready)"
    done = run(code, tmp_path, broken, ROOT, PACKAGES)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("✘")]
    assert line == (
        f"✘ torchvision {version('torchvision')} cannot be imported (RuntimeError: {NMS}): "
        "install torch and torchvision again, both from one index; "
        "docs/troubleshooting.md says how"
    )
    assert done.stdout.endswith("restart the kernel.\nFalse\n")
    assert NMS in (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


@pytest.mark.installed
def test_every_other_name_says_which_package_is_broken(broken, tmp_path):
    done = run("from course_utils import load_model", tmp_path, broken, ROOT, PACKAGES)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: course_utils.load_model needs torchvision, which cannot be "
        f"imported (RuntimeError: {NMS}); course_utils.check_environment() says what to do"
    )


def make_environment(folder: Path, script: str, *variables: str, **environment: str):
    """Run the rule behind `make lab`, with a shell script in place of its Python."""
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    venv = folder / "venv"
    command = ["make", f"VENV={venv}", f"PYTHON={sys.executable}", *variables]
    return subprocess.run(
        [*command, str(venv / "lab-ready")],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.installed
@pytest.mark.linux
def test_make_lab_stops_at_an_installation_that_is_broken(broken, tmp_path):
    installs_nothing = '[ "$1 $2" = "-m pip" ] && exit 0'
    imports = f'PYTHONPATH="{broken}" exec "{sys.executable}" "$@"'
    done = make_environment(tmp_path, f"{installs_nothing}\n{imports}")
    assert done.returncode != 0
    first, *rest = done.stderr.splitlines()
    assert first.startswith(f"torchvision {version('torchvision')} cannot be imported")
    assert NMS in first
    # A make that another one has started says make[1].
    assert all(re.match(r"make(\[\d+\])?: ", line) for line in rest), rest
    assert not (tmp_path / "venv" / "lab-ready").exists()


def index(folder: Path, *wheels: str) -> str:
    """The address of a new package index, of wheels that hold nothing."""
    for wheel_name in wheels:
        name, release = wheel_name.split("-")
        info = f"{name}-{release}.dist-info"
        (folder / name).mkdir(parents=True)
        file = f"{wheel_name}-py3-none-any.whl"
        with zipfile.ZipFile(folder / name / file, "w") as archive:
            head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n"
            archive.writestr(f"{info}/METADATA", head)
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        (folder / name / "index.html").write_text(f'<a href="{file}">{file}</a>')
    return folder.as_uri()


@pytest.mark.installed
@pytest.mark.linux
@pytest.mark.parametrize("setting", ["PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"])
def test_torch_and_torchvision_come_from_one_index(setting, tmp_path):
    ours = index(tmp_path / "ours", "torch-2.6.0+cpu", "torchvision-0.21.0+cpu")
    other = index(tmp_path / "other", "torchvision-0.29.0")
    if setting == "PIP_FIND_LINKS":
        other += "/torchvision"
    script = f"""case "$*" in
"-m pip install torch"*) exec "{sys.executable}" "$@" --dry-run --ignore-installed;;
*) exit 0;;
esac"""
    variables = "CPU=1", f"CPU_WHEELS={ours}"
    settings = {setting: other, "PIP_CONFIG_FILE": os.devnull}
    done = make_environment(tmp_path, script, *variables, **settings)
    assert done.returncode == 0, done.stderr
    assert "Would install torch-2.6.0+cpu torchvision-0.21.0+cpu" in done.stdout


# -- an installed wheel ----------------------------------------------------------------

FIRST_MAP = """
import course_utils
from course_utils import check_environment, load_model, load_samples, preprocess
from course_utils import class_names, checks, figures, labs, vanilla_saliency
from course_utils.models import DATA
maps = vanilla_saliency(load_model(), preprocess(load_samples(2).images))
ready = check_environment()
print(course_utils.__file__, DATA, tuple(maps.shape), len(class_names()), ready)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder in which the course is installed from a wheel."""
    return wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.installed
@pytest.mark.slow
def test_an_installed_wheel_makes_a_map(site, tmp_path):
    done = run(FIRST_MAP, tmp_path, site, PACKAGES)
    assert done.returncode == 0, done.stderr
    *_, installed, last = done.stdout.splitlines()
    package = site / "course_utils"
    assert last == f"{package / '__init__.py'} {package / 'data'} (2, 224, 224) 1000 True"
    assert installed == "Everything is installed."
    assert not (tmp_path / "build").exists()


@pytest.mark.installed
@pytest.mark.slow
def test_a_wheel_holds_the_package_and_its_data_and_nothing_else(site):
    def files(folder: Path) -> set[str]:
        names = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
        return {n.as_posix() for n in names if "__pycache__" not in n.parts}

    package = site / "course_utils"
    data = {f"data/{name}" for name in files(ROOT / "data")}
    assert files(package) == files(ROOT / "course_utils") | data
    assert {p.name.partition("-")[0] for p in site.iterdir()} == {
        "course_utils",
        "saliency_course",
    }
