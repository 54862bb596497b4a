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
    r"|download\.pytorch\.org/whl(?!/cpu$|/cpu\W)|deb\.debian\.org)",
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
        "paper.md": "![](site.yml/badge.svg)](https://a.github.io/b/) a/b/issues/new",
        "one.ipynb": '"https://colab.research.google.com/github/a/b/blob/main/x.ipynb"',
        "two.md": "https://raw.githubusercontent.com/a/b/v2.0/docs/one.jpg\n"
        "https://github.com/a/b/blob/v2.0/data/CREDITS.md\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert sorted(change_address("https://github.com/new/home", tmp_path)) == sorted(files)
    assert read_address(tmp_path) == "https://github.com/new/home"
    assert (tmp_path / "README.md").read_text().endswith("new/home\ncd home\n")
    assert (
        (tmp_path / "paper.md")
        .read_text()
        .startswith("![](site.yml/badge.svg)](https://new.github.io/home/")
    )
    assert disagreements(tmp_path) == []
    (tmp_path / "README.md").write_text("git clone https://github.com/other/b\n")
    (tmp_path / "paper.md").write_text(
        "site.yml/badge.svg)](https://other.github.io/home/)\n"
    )
    assert len(disagreements(tmp_path)) == 2


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


# -- workflows -------------------------------------------------------------------------

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TESTS = ".github/workflows/tests.yml"


def lines_of(workflow: str) -> list[str]:
    """The commands of a workflow's steps, each on one line."""
    jobs = read_yaml(workflow)["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def targets() -> set[str]:
    return {line.split()[1] for line in run_make().splitlines()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_use_commands_and_files_that_exist(path):
    commands = "\n".join(lines_of(path.relative_to(ROOT)))
    assert set(re.findall(r"\bmake ([a-z-]+)", commands)) <= targets()
    files = re.findall(r"(?<![\w/.])(?:\.ci|notebooks|tests)/[\w/.]+", commands)
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert read_yaml(path.relative_to(ROOT))["permissions"] == {"contents": "read"}


def test_the_oldest_torch_and_python_of_the_workflow_are_those_of_pyproject():
    matrix = read_yaml(TESTS)["jobs"]["systems"]["strategy"]["matrix"]
    oldest, newest = matrix["include"]
    assert (oldest["torch"], newest["torch"]) == ("oldest", "newest")
    lowest = dict(r.split(">=") for r in PROJECT["dependencies"] if r.startswith("torch"))
    assert oldest["packages"] == " ".join(f"{n}=={v}.*" for n, v in lowest.items())
    assert PROJECT["requires-python"] == f">={oldest['python']}"
    assert newest["packages"] == " ".join(lowest)


def test_the_workflow_runs_the_quick_tests_of_make_check():
    commands = " ".join(run_make("-n", "check").replace("\\\n", " ").split())
    (theirs,) = (line for line in lines_of(TESTS) if "tests/unit" in line)
    assert theirs.removeprefix("python ") in commands


def test_wheels_without_cuda_have_one_address():
    pattern = re.compile(r"https://download\.pytorch\.org/whl[\w/.-]*")
    found = {url for path in FILES for url in pattern.findall(path.read_text("utf-8"))}
    assert found == {"https://download.pytorch.org/whl/cpu"}
    for variable, wanted in (("CPU=1", True), ("CPU=", False)):
        commands = run_make("-n", "lab", variable, f"VENV={ROOT}/build/no-such-venv")
        assert ("download.pytorch.org" in commands) == wanted


def test_forms_ask_something_under_names_of_their_own():
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
    read = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in forms}
    assert read.pop("config") == {"blank_issues_enabled": False}
    assert len({form["name"] for form in read.values()}) == len(read) == 4
    for form in read.values():
        assert any(part["type"] != "markdown" for part in form["body"])
        ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
        assert len(set(ids)) == len(ids)
    conduct = (ROOT / "CODE_OF_CONDUCT.md").read_text(encoding="utf-8")
    assert f"*{read['conduct']['name']}*" in conduct


def test_hooks_run_files_that_exist():
    hooks = read_yaml(".pre-commit-config.yaml")["repos"][0]["hooks"]
    named = re.findall(r"\btests/[\w/.]+", " ".join(hook["entry"] for hook in hooks))
    assert named and all((ROOT / name).is_file() for name in named)


# -- pages around the course -----------------------------------------------------------


def test_the_changelog_begins_with_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+), ", text, re.MULTILINE)[1] == PROJECT["version"]


def test_the_paper_cites_what_it_lists_and_names_its_authors():
    text = (ROOT / "paper" / "paper.md").read_text(encoding="utf-8")
    listed = (ROOT / "paper" / "paper.bib").read_text(encoding="utf-8")
    head = yaml.safe_load(text.split("---")[1])
    authors = read_yaml("CITATION.cff")["authors"]
    assert [a["name"] for a in head["authors"]] == [a["name"] for a in authors]
    cited = set(re.findall(r"@([a-z]+\d{4})\b", text.split("---", 2)[2]))
    assert cited == set(re.findall(r"^@\w+\{(\w+),", listed, re.MULTILINE))


PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += ["docs/adopting.md", "docs/troubleshooting.md"]


@pytest.mark.parametrize("name", PAGES)
def test_links_of_pages_lead_to_files(name):
    page = ROOT / name
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_s_hours_are_those_of_the_lessons():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"\]\(notebooks/([\w/]+)\.ipynb\).* (\d+) \|$", text, re.MULTILINE)
    minutes = [int(m) for name, m in rows if not name.startswith("deeper")]
    optional = [int(m) for name, m in rows if name.startswith("deeper")]
    assert (len(minutes), len(optional)) == (13, 4)
    assert "thirteen lessons take about nine\nhours" in text
    assert 8.75 <= sum(minutes) / 60 <= 9.5
    assert "four optional notebooks add an hour and a half" in text
    assert 1.4 <= sum(optional) / 60 <= 1.6
