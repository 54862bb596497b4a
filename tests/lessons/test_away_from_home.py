"""Every lesson runs in a folder that is not the course's: on Colab, and from a wheel.

The notebooks are those that Colab opens. Two of them run in `make test`, all of them in
`make test-all`.
"""

import nbformat
import pytest
from elsewhere import python_without_course, release, run_notebook, wheel
from lessons import lesson_paths, read_lesson
from minutes import NOTEBOOKS

STUDENT = NOTEBOOKS.parent / "student"
NAMES = [path.relative_to(NOTEBOOKS).as_posix() for path in lesson_paths()]
QUICK = ("03_squeezenet_batch_maps.ipynb", "deeper/exact_occlusion.ipynb")
LESSONS = [
    pytest.param(n, id=n, marks=[] if n in QUICK else pytest.mark.nightly) for n in NAMES
]
WHERE = """\
import course_utils
print(course_utils.__file__)
!python -m course_utils.your_own --help"""

pytestmark = [pytest.mark.installed, pytest.mark.slow]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A repository that holds this state of the course as its release."""
    return release(tmp_path_factory.mktemp("real") / "course")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the installed wheel."""
    return wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def place(tmp_path):
    """An empty folder to run in; its parents hold no course."""
    folder = tmp_path / "somewhere" / "content"
    folder.mkdir(parents=True)
    return folder


def where(lesson) -> str:
    """What the last cell printed: where the course was found, and what the command said."""
    return "".join(output.text for output in lesson.cells[-1].outputs)


def with_last_cell(name: str):
    lesson = read_lesson(STUDENT / name)
    lesson.cells.append(nbformat.v4.new_code_cell(WHERE))
    return lesson


@pytest.mark.parametrize("name", LESSONS)
def test_runs_on_colab(name, clone, place, tmp_path):
    lesson = with_last_cell(name)
    home = str(tmp_path / "fetched" / "course")
    fetched = {"COURSE_REPO": f"file://{clone}", "COURSE_HOME": home}
    python = python_without_course(tmp_path / "python")
    run_notebook(lesson, python, place, COLAB_RELEASE_TAG="test", **fetched)
    assert where(lesson).startswith(f"{home}/course_utils/__init__.py\nusage: python -m")
    assert list(place.iterdir()) == [], "a lesson leaves nothing behind"


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
def test_runs_from_a_wheel(name, installed, place, tmp_path):
    lesson = with_last_cell(name)
    run_notebook(lesson, python_without_course(tmp_path / "python", installed), place)
    assert where(lesson).startswith(f"{installed}/course_utils/__init__.py\nusage: ")
