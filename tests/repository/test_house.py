"""The house: arrows run one way, files stay short, and no job is done twice by hand."""

import ast
import re
from graphlib import TopologicalSorter

import pytest
from address import ROOT

PACKAGE = ROOT / "course_utils"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
MODULES = {name.removesuffix(".__init__"): path for name, path in NAMES.items()}


def imports(name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in its text."""
    path, found = MODULES[name], set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            home = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            home = f"{home}.{node.module}" if node.module else home
            inner = {f"{home}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= inner or {home}
    return found - {name}


def floor(name: str) -> str:
    return name.split(".")[1] if name.count(".") else "door"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_below_the_labs_and_checks_knows_of_them(name):
    if floor(name) not in ("labs", "checks"):
        assert not {floor(other) for other in imports(name)} & {"labs", "checks"}
        text = MODULES[name].read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) ipywidgets", text, re.MULTILINE)


def test_imports_go_in_no_circle():
    graph = {name: imports(name) for name in MODULES if name != "course_utils"}
    for name in graph:
        if MODULES[name].name != "__init__.py":  # a package is loaded before its modules
            graph[name] = {n for n in graph[name] if not name.startswith(f"{n}.")}
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_is_too_long_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 500


BY_HAND = {
    "forward hooks": (r"register_forward_hook", ["hooks.py"]),
    "whole files": (r"\.replace\((path|file|target)\)", ["files.py"]),
    "mixtures": (r"class Mixture|np\.linalg\.cholesky", []),
    "logistic regression": (r"LBFGS|softplus\(-", []),
    "Spearman": (r"rankdata\(.*\n.*@", []),
    "locks and launches": (r"fcntl|torch\.distributed|torchrun", []),
    "networks that run": (r"\bmodel\((images|image|pixels|x)\b", ["network.py"]),
    "softmax of outputs": (r"\.(log_)?softmax\(", ["fills.py", "targets.py"]),  # a bell
    "warnings": (r"warnings\.warn\(", ["arguments.py"]),
}


@pytest.mark.parametrize("job", BY_HAND)
def test_a_small_job_is_done_in_one_place_or_by_a_library(job):
    pattern, places = BY_HAND[job]
    files = [path for path in FILES if "checks" not in path.parts]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert [name for name, text in texts.items() if re.search(pattern, text)] == places
