"""JupyterLab on a copy of the course, and Chromium to look at it: fixtures for tests.

`conftest.py` hands them to every test file, so that one server and one browser serve all.
"""

import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from address import ROOT
from PIL import Image

if TYPE_CHECKING:  # only browser tests need Playwright
    from playwright.sync_api import Browser, Locator, Page

SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
# Nothing is asked of the network, and cells out of sight are drawn too.
JUPYTERLAB = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]
READY = "jupyterapp.shell.currentWidget?.sessionContext?.isReady"
ERRORS = """() => jupyterapp.shell.currentWidget.content.model.toJSON().cells.flatMap(
    cell => (cell.outputs || []).filter(output => output.output_type === 'error')
        .map(error => `${cell.id}: ${error.ename}: ${error.evalue}`))"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def copy_of_course(place: Path) -> Path:
    names = (".git", ".venv*", "build", "*.egg-info", "__pycache__")
    return Path(shutil.copytree(ROOT, place, ignore=shutil.ignore_patterns(*names)))


def wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(120):
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[tuple[str, str]]:
    """A JupyterLab of its own on a copy of the course: its address and token."""
    course = copy_of_course(tmp_path_factory.mktemp("server") / "course")
    with jupyterlab(tmp_path_factory.mktemp("home"), course) as place:
        yield place


@contextmanager
def jupyterlab(
    home: Path, course: Path, python: str = sys.executable, app: str = "jupyterlab"
) -> Iterator[tuple[str, str]]:
    """A JupyterLab that serves a folder, and keeps its own files in another one.

    Also the `app` "notebook", and that of another environment's `python`.
    """
    settings = home / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(JUPYTERLAB))
    kind = {"jupyterlab": "LabApp", "notebook": "JupyterNotebookApp"}[app]
    port, token = free_port(), secrets.token_hex(16)
    command = [python, "-m", app, "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={course}"]
    command += [f"--{kind}.expose_app_in_browser=True"]
    command += ["--LabApp.extension_manager=readonly"]
    address = f"http://127.0.0.1:{port}"
    with running(command, home, f"{address}/api/status?token={token}"):
        yield address, token


@contextmanager
def running(command: list[str], home: Path, url: str) -> Iterator[None]:
    """A server that keeps its own files in a folder, from when it answers at an address."""
    places = {
        "HOME": home,
        "IPYTHONDIR": home / "ipython",
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
    }
    log = home / "log"
    environment = os.environ | {name: str(place) for name, place in places.items()}
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        wait_for(url, process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:  # a connection may keep it from stopping
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Chromium without a window; without Chromium a reason to skip, in CI to fail."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no Chromium found; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


@pytest.fixture
def open_notebook(browser, server) -> Iterator[Callable[[str], "Page"]]:
    """Open a lesson by name; its kernel is stopped after the test."""
    address, token = server
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()

    def open_it(name: str) -> "Page":
        page.goto(f"{address}/doc/tree/notebooks/{name}.ipynb?reset&token={token}")
        page.wait_for_function(f"window.jupyterapp && {READY}", timeout=60_000)
        page.evaluate("() => jupyterapp.shell.currentWidget.context.ready")
        return page

    yield open_it
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    context.close()


@pytest.fixture
def run_notebook(open_notebook) -> Callable[[str], "Page"]:
    """Open a lesson and run all its cells, none of which may fail."""

    def run(name: str) -> "Page":
        page = open_notebook(name)
        page.set_default_timeout(0)  # a lesson takes as long as it takes
        page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
        page.set_default_timeout(30_000)
        assert page.evaluate(ERRORS) == []
        return page

    return run


# -- looking and touching --------------------------------------------------------------


def picture_of(lab: "Locator") -> "Locator":
    """The panels of a lab, which are drawn once the first of them has a size."""
    panels = lab.locator(".course-panels")
    panels.locator("canvas, .course-bar").first.wait_for()
    panels.scroll_into_view_if_needed()
    return panels


def answered(lab: "Locator") -> bool:
    """Whether the lab's scene is the answer to its last question."""
    return lab.locator(".course-stage:not(.is-busy)").count() == 1


def redraws(lab: "Locator", what: str, touch: Callable[[], None]) -> None:
    """Touch a control or the picture; the picture must change, and no error be said."""
    picture = picture_of(lab)
    pixels = picture.screenshot()
    touch()
    for _ in range(300):
        time.sleep(0.1)
        assert not lab.locator(".is-failed").count(), f"{what}: {answer_of(lab)}"
        if answered(lab) and picture.screenshot() != pixels:
            return
    pytest.fail(f"{what}: the picture looks as it did before")


def answer_of(lab: "Locator") -> str:
    """The answer line of a lab."""
    return lab.locator(".course-answer").inner_text()


def drag(panel: "Locator", *places: tuple[float, float]) -> None:
    """Press on a panel and draw along places, which are shares of its width and height."""
    panel.scroll_into_view_if_needed()
    box, mouse = panel.bounding_box(), panel.page.mouse
    spots = [(box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in places]
    mouse.move(*spots[0])
    mouse.down()
    for spot in spots[1:]:
        mouse.move(*spot, steps=8)
    mouse.up()


def unfold(lab: "Locator") -> None:
    """Show the controls that are folded away."""
    for title in lab.locator(".jupyter-widget-Collapse-header, .p-Collapse-header").all():
        title.click()


def save_screenshot(what: "Page | Locator", name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    what.screenshot(path=SCREENSHOTS / f"{name}.png")


def red_picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 200), (220, 30, 30)).save(file, "PNG")
    return file.getvalue()


def upload(lab: "Locator", name: str, kind: str, content: bytes) -> None:
    """Choose a file as a learner does: the button, then the browser's own dialogue."""
    with lab.page.expect_file_chooser() as chooser:
        lab.get_by_role("button", name="Upload a picture").click()
    chooser.value.set_files({"name": name, "mimeType": kind, "buffer": content})


# -- notebooks of a test's own -------------------------------------------------------------


def write_notebook(server: tuple[str, str], name: str, cells: list[str]) -> None:
    """Put a notebook of code cells beside the lessons."""
    made = [
        {"cell_type": "code", "id": f"cell-{n}", "source": source, "metadata": {}}
        | {"outputs": [], "execution_count": None}
        for n, source in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3"}
    content = {"cells": made, "metadata": {"kernelspec": kernel}}
    content |= {"nbformat": 4, "nbformat_minor": 5}
    body = {"type": "notebook", "format": "json", "content": content}
    address, token = server
    request = urllib.request.Request(
        f"{address}/api/contents/notebooks/{name}.ipynb",
        json.dumps(body).encode(),
        {"Authorization": f"token {token}", "Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture
def open_lab_in(server, run_notebook) -> Callable[[str, str], "Locator"]:
    """Open a lab in a notebook of its own: from its module and the name of its class."""

    def open_it(module: str, name: str, arguments: str = "") -> "Locator":
        source = f"from course_utils.labs.{module} import {name}\n{name}({arguments})"
        write_notebook(server, f"lab_{module}", [source])
        page = run_notebook(f"lab_{module}")
        page.set_viewport_size({"width": 1366, "height": 768})
        lab = page.locator(".course-lab")
        picture_of(lab)
        return lab

    return open_it
