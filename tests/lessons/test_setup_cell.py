"""The setup cell, run in fresh processes: at home, on a stand-in for Colab, elsewhere.

The processes use the interpreter behind the environment, isolated (`-I`), so that neither
the installed course nor anything else is importable; the cell needs Python alone.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from address import read_release
from elsewhere import WHO, release
from lessons import setup_cell

BARE_PYTHON = getattr(sys, "_base_executable", sys.executable)

COLAB = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')"
TELL = "print('at', sys.modules['course_utils'].__file__, sys.path.count(sys.path[0]))"
# The clone holds a package of this name that imports nothing: torch is not here.
USE = f"import course_utils; {TELL}"

FIRST_MAP = """
import course_utils
from course_utils import load_model, load_samples, preprocess, vanilla_saliency
maps = vanilla_saliency(load_model(), preprocess(load_samples(1).images))
print(course_utils.__file__, tuple(maps.shape))
"""
# What `!python -m …` in a notebook does: another process, with this one's environment.
CHILD = f"import subprocess; subprocess.run([{BARE_PYTHON!r}, '-m', 'course_utils.tool'])"

pytestmark = pytest.mark.installed


@pytest.fixture
def place(tmp_path) -> Path:
    """An empty folder to run in; its parent holds no course."""
    folder = tmp_path / "somewhere" / "empty"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def repository(tmp_path) -> Path:
    """A git repository with a small course_utils: its release, and what came later."""
    folder = tmp_path / "repository"
    package = folder / "course_utils"
    package.mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (package / "tool.py").write_text("print('the tool runs')\n")
    for state in ("released", "newest"):
        (package / "__init__.py").write_text(f"STATE = {state!r}\n")
        for command in (["add", "."], [*WHO, "commit", "-q", "-m", state]):
            subprocess.run(["git", *command], cwd=folder, check=True)
        if state == "released":
            subprocess.run(["git", "tag", read_release()], cwd=folder, check=True)
    return folder


def run(code: str, place: Path, python=(BARE_PYTHON, "-I"), **environment: str):
    """Run `code` as a notebook's process would, outside of every installed course."""
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(place), **environment}
    return subprocess.run(
        [*python, "-c", code], cwd=place, env=surroundings, capture_output=True, text=True
    )


def on_colab(code: str, place: Path, repository: Path, **environment: str):
    home = {"COURSE_HOME": str(place / "clone"), **environment}
    # A path would be cloned whole, with a warning; an address is cloned as on Colab.
    return run(code, place, COURSE_REPO=f"file://{repository}", **home)


def test_silent_where_the_course_is_installed(place):
    code = f"{setup_cell()}\nbefore = list(sys.path)\n{setup_cell()}\n"
    code += "assert before == sys.path and 'repo' not in globals()"
    done = run(code, place, python=[sys.executable])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_colab_clones_once_and_a_second_run_does_nothing(place, repository):
    code = "\n".join([COLAB, setup_cell(), "import course_utils", setup_cell(), USE])
    done = on_colab(code, place, repository)
    assert done.stderr == ""
    assert done.stdout == f"at {place}/clone/course_utils/__init__.py 1\n"


STATE = f"{COLAB}\n{setup_cell()}\nimport course_utils; print(course_utils.STATE)"


def test_colab_clones_the_release_of_the_notebook(place, repository):
    done = on_colab(STATE, place, repository)
    assert (done.stdout, done.stderr) == ("released\n", "")


def test_colab_says_when_there_is_no_such_release(place, repository):
    subprocess.run(["git", "tag", "-d", read_release()], cwd=repository, check=True)
    said, state = on_colab(STATE, place, repository).stdout.splitlines()
    assert said == f"There is no release {read_release()}; the newest state is used."
    assert state == "newest"


@pytest.mark.parametrize("before", [{}, {"PYTHONPATH": "elsewhere"}], ids=["none", "one"])
def test_commands_find_the_course_too(place, repository, before):
    code = f"{COLAB}\n{setup_cell()}\n{CHILD}\nprint(os.environ['PYTHONPATH'])"
    done = on_colab(code, place, repository, **before)
    path = os.pathsep.join([f"{place}/clone", *before.values()])
    assert done.stdout.splitlines() == ["the tool runs", path]


def test_colab_is_known_by_its_variable_too(place, repository):
    home = {"COURSE_HOME": str(place / "clone"), "COLAB_RELEASE_TAG": "release"}
    done = run(setup_cell(), place, COURSE_REPO=f"file://{repository}", **home)
    assert done.stderr == ""
    assert (place / "clone" / "course_utils").is_dir()


def test_colab_uses_an_older_clone_that_is_there(place, repository):
    old = place / "clone" / "course_utils"
    old.mkdir(parents=True)
    (old / "__init__.py").write_text("STATE = 'old'\n")
    done = on_colab(STATE, place, repository)
    assert (done.stdout, done.stderr) == ("old\n", "")


def test_colab_restarted_finds_its_clone(place, repository):
    code = "\n".join([COLAB, setup_cell(), USE])
    first = on_colab(code, place, repository)
    again = on_colab(code, place, place / "gone")  # nothing can be fetched any more
    assert again.stdout == first.stdout != ""


def test_colab_says_what_failed(place):
    done = on_colab("\n".join([COLAB, setup_cell()]), place, place / "no-repository")
    assert done.returncode != 0
    assert "no-repository" in done.stderr


def test_elsewhere_says_what_to_run(place):
    done = run(setup_cell(), place)
    assert done.returncode != 0
    assert done.stderr == "The course is not installed: run `make lab` in its folder.\n"


def test_uninstalled_copy_of_the_course_is_found(repository):
    (repository / "notebooks").mkdir()
    done = run(f"{setup_cell()}\n{USE}", repository / "notebooks")
    assert done.stdout == f"at {repository}/course_utils/__init__.py 1\n"


def test_first_map_on_colab(place, tmp_path):
    """The course from its clone, beside the packages that Colab has of its own."""
    # Without `site` (-S) the installed course is out of reach, and its folder added by
    # hand brings back the packages alone.
    packages = f"import sys; sys.path.append({sysconfig.get_path('purelib')!r})"
    code = "\n".join([COLAB, packages, setup_cell(), FIRST_MAP])
    course = release(tmp_path / "real")
    home = {"COURSE_HOME": str(place / "clone"), "COURSE_REPO": f"file://{course}"}
    done = run(code, place, python=[sys.executable, "-I", "-S"], **home)
    assert done.stdout == f"{place}/clone/course_utils/__init__.py (1, 224, 224)\n", (
        done.stderr
    )
