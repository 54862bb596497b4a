"""The files around the course: they agree with one another and keep their promises."""

import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from address import ROOT, change_address, disagreements, read_address, slug, text_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {"torch": "pytorch"}  # where conda-forge calls a package differently
FILES = [path for path in text_files() if path.name != "test_project.py"]

OURS_ALONE = {
    # (?!n"): in a notebook's JSON a line may end in "M:\n".
    "a path of one machine": r"(?<![\w.~])/(?:home|root|Users|work|tmp)/\w"
    r"|[A-Z]:\\(?!n\")\w",
    "a package index": r"(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|anaconda\.org"
    r"|download\.pytorch\.org/whl|deb\.debian\.org)",
    "a conflict that git left": r"^(?:<{7}|>{7}) ",
}


def read_yaml(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


# -- one source for requirements and version -------------------------------------------


def as_conda(requirement: str) -> str:
    """`torch>=2.6` as conda-forge names it: `pytorch>=2.6`."""
    name, versions = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name) + versions


def test_conda_environment_follows_pyproject():
    listed = read_yaml("environment.yml")["dependencies"]
    extras = PROJECT["optional-dependencies"]["lab"]
    wanted = {as_conda(r) for r in [*PROJECT["dependencies"], *extras]}
    wanted |= {f"python{PROJECT['requires-python']}", "pip"}
    assert {item for item in listed if isinstance(item, str)} == wanted
    assert listed[-1] == {"pip": ["-e ."]}, "pip installs the course, nothing else"


def test_one_version_everywhere():
    import course_utils

    version = PROJECT["version"]
    assert course_utils.__version__ == version
    assert read_yaml("CITATION.cff")["version"] == version


def test_every_package_is_installed():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = tomllib.loads(text)["tool"]["setuptools"]["packages"]
    packages = (ROOT / "course_utils").rglob("__init__.py")
    names = [".".join(p.parent.relative_to(ROOT).parts) for p in packages]
    assert sorted(listed) == sorted([*names, "course_utils.data"])


def test_environment_check_understands_every_requirement():
    for requirement in [f"Python{PROJECT['requires-python']}", *PROJECT["dependencies"]]:
        assert re.fullmatch(r"[\w-]+(>=[\d.]+)(,<[\d.]+)?", requirement)


# -- licence and citation --------------------------------------------------------------


def test_licence_names_code_text_and_pictures():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    for part in ("MIT License", "CC BY 4.0", "data/CREDITS.md"):
        assert part in text
    assert (ROOT / "data" / "CREDITS.md").is_file()


def test_citation_can_be_read():
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    assert {"message", "title", "authors"} <= citation.keys()
    assert all(author.keys() == {"name"} for author in citation["authors"])


# -- the address -----------------------------------------------------------------------


def test_every_link_leads_to_the_address():
    assert disagreements() == [], "run: make address URL=" + read_address()


@pytest.mark.parametrize("url", ["https://github.com/a/b", "https://github.com/a/b.git"])
def test_slug_of_an_address(url):
    assert slug(url) == "a/b"


def test_slug_refuses_other_hosts():
    with pytest.raises(SystemExit, match="must be https://github.com/OWNER/NAME"):
        slug("https://gitlab.com/a/b")


def test_change_of_address_reaches_every_file(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    files = {
        "pyproject.toml": '[project]\nversion = "2.0"\n'
        '[project.urls]\nRepository = "https://github.com/a/b"\n',
        "README.md": "git clone https://github.com/a/b\ncd b\n",
        "one.ipynb": '"https://colab.research.google.com/github/a/b/blob/main/x.ipynb"',
        "two.md": "https://raw.githubusercontent.com/a/b/v2.0/docs/one.jpg\n"
        "https://github.com/a/b/blob/v2.0/data/CREDITS.md\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert sorted(change_address("https://github.com/new/home", tmp_path)) == sorted(files)
    assert read_address(tmp_path) == "https://github.com/new/home"
    assert (tmp_path / "README.md").read_text().endswith("new/home\ncd home\n")
    assert disagreements(tmp_path) == []


@pytest.mark.parametrize(
    "link",
    [
        "git clone https://github.com/other/b",
        "https://raw.githubusercontent.com/other/b/v2.0/docs/one.jpg",
        "https://github.com/other/b/blob/v2.0/docs/page.md",
        "https://colab.research.google.com/github/other/b/blob/v2.0/student/x.ipynb",
        "https://colab.research.google.com/github/a/b/blob/v1.9/student/x.ipynb",
        "https://github.com/a/b/blob/v1.9/docs/page.md",
    ],
)
def test_links_to_another_course_or_release_are_found(link, tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    project = '[project]\nversion = "2.0"\n[project.urls]\n'
    project += 'Repository = "https://github.com/a/b"\n'
    (tmp_path / "pyproject.toml").write_text(project)
    good = link.replace("other", "a").replace("v1.9", "v2.0")
    (tmp_path / "page.md").write_text(f"{good}\nhttps://github.com/x/y/blob/main/docs/z\n")
    assert disagreements(tmp_path) == []
    (tmp_path / "page.md").write_text(f"{link}\n")
    assert len(disagreements(tmp_path)) == 1


# -- what must not be in the course ----------------------------------------------------


@pytest.mark.parametrize("what", OURS_ALONE)
def test_files_speak_of_the_course_alone(what):
    pattern = re.compile(OURS_ALONE[what], re.MULTILINE)
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in FILES
        for match in pattern.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == [], f"take {what} out of these files"


def test_files_end_in_a_newline():
    bad = [p.name for p in FILES if p.stat().st_size and p.read_bytes()[-1:] != b"\n"]
    assert bad == []


# -- commands --------------------------------------------------------------------------


def run_make(*arguments: str) -> str:
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_help_lists_every_command():
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    listed = [line.split()[1] for line in run_make().splitlines()]
    assert sorted(listed) == sorted(commands)


def test_old_python_is_refused_in_words(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    place = [f"PYTHON={old}", f"VENV={tmp_path}/venv"]
    run = subprocess.run(["make", "lab", *place], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert "needs Python 3.11 or newer" in run.stdout
    assert not (tmp_path / "venv").exists()


def test_lessons_tool_refuses_an_unknown_lesson():
    command = [sys.executable, ROOT / "tools" / "lessons.py", "no-such-lesson"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode != 0
    assert "no lesson's name starts with 'no-such-lesson'" in run.stderr
