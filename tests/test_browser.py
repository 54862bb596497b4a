"""Lessons in a real JupyterLab and a real browser: they run, and their labs answer.

JupyterLab serves a copy of the course; Chromium, driven by Playwright, opens the lessons
and turns every control of a lab. No network is used. Screenshots lie in build/screenshots.
"""

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
from pathlib import Path

import pytest
from address import ROOT
from lessons import NOTEBOOKS, lesson_paths, read_lesson
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
SCREENSHOTS = ROOT / "build" / "screenshots"
NAMES = [path.stem for path in lesson_paths()]
WITH_LAB = [name for name in NAMES if not name.startswith("00")]

# Nothing is asked of the network, and cells out of sight are drawn too.
JUPYTERLAB = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
READY = "jupyterapp.shell.currentWidget?.sessionContext?.isReady"
ERRORS = """() => jupyterapp.shell.currentWidget.content.model.toJSON().cells.flatMap(
    cell => (cell.outputs || []).filter(output => output.output_type === 'error')
        .map(error => `${cell.id}: ${error.ename}: ${error.evalue}`))"""
REDRAWN = "([image, old]) => image.src !== old && image.complete && image.naturalWidth"

pytestmark = [pytest.mark.browser, pytest.mark.installed]


# -- server and browser ----------------------------------------------------------------


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
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[tuple[str, str]]:
    """A JupyterLab of its own on a copy of the course: its address and token."""
    home = tmp_path_factory.mktemp("home")
    course = copy_of_course(tmp_path_factory.mktemp("server") / "course")
    settings = home / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(JUPYTERLAB))
    places = {
        "HOME": home,
        "IPYTHONDIR": home / "ipython",
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
    }
    port, token, log = free_port(), secrets.token_hex(16), home / "log"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={course}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    command += ["--LabApp.extension_manager=readonly"]
    environment = os.environ | {name: str(place) for name, place in places.items()}
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api/status?token={token}", process, log)
        yield address, token
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window; without Chromium a reason to skip, in CI to fail."""
    if CHROMIUM is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("no Chromium found; on Debian: apt-get install chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    quiet += ["--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield chromium
        chromium.close()


@pytest.fixture
def open_notebook(browser, server) -> Iterator[Callable[[str], Page]]:
    """Open a lesson by name; its kernel is stopped after the test."""
    address, token = server
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()

    def open_it(name: str) -> Page:
        page.goto(f"{address}/doc/tree/notebooks/{name}.ipynb?reset&token={token}")
        page.wait_for_function(f"window.jupyterapp && {READY}", timeout=60_000)
        page.evaluate("() => jupyterapp.shell.currentWidget.context.ready")
        return page

    yield open_it
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    context.close()


@pytest.fixture
def run_notebook(open_notebook) -> Callable[[str], Page]:
    """Open a lesson and run all its cells, none of which may fail."""

    def run(name: str) -> Page:
        page = open_notebook(name)
        page.set_default_timeout(0)  # a lesson takes as long as it takes
        page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
        page.set_default_timeout(30_000)
        assert page.evaluate(ERRORS) == []
        return page

    return run


# -- looking and touching --------------------------------------------------------------


def picture_of(lab: Locator) -> Locator:
    picture = lab.locator("img")
    picture.scroll_into_view_if_needed()
    return picture


def redraws(lab: Locator, touch: Callable[[], None]) -> None:
    """Touch a control; the picture must be drawn anew, look different, and be no error."""
    picture = picture_of(lab)
    source, pixels = picture.get_attribute("src"), picture.screenshot()
    touch()
    arguments = [picture.element_handle(), source]
    lab.page.wait_for_function(REDRAWN, arg=arguments)
    expect(lab.locator(".lab-error")).to_have_count(0)
    for _ in range(20):  # a frame or two may pass before the new picture is on the screen
        if picture_of(lab).screenshot() != pixels:
            return
        time.sleep(0.1)
    pytest.fail("the picture looks the same after the control was changed")


def choose_another(select: Locator) -> None:
    """Choose the option after the chosen one."""
    count = select.locator("option").count()
    chosen = select.evaluate("element => element.selectedIndex")
    select.select_option(index=(chosen + 1) % count)


def push(handle: Locator) -> None:
    """Move a slider's handle by a step: up, or down where it is at the end."""
    at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
    handle.focus()
    handle.press("ArrowLeft" if at_end else "ArrowRight")


def controls(lab: Locator) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each visible control of a lab, as its label and a way to change it."""
    kinds = {
        "select": choose_another,
        ".noUi-handle": push,
        "input[type=checkbox]": Locator.click,
    }
    for kind, change in kinds.items():
        for control in lab.locator(kind).all():
            if control.is_visible() and control.is_enabled():
                yield kind, lambda control=control, change=change: change(control)


# -- tests -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_saved_lesson_shows_all_its_pictures(open_notebook, name):
    """Before anything runs, the still picture of a lab among them."""
    saved = [
        cell.get("outputs", []) for cell in read_lesson(NOTEBOOKS / f"{name}.ipynb").cells
    ]
    count = sum(
        "image/png" in output.get("data", {}) for outputs in saved for output in outputs
    )
    page = open_notebook(name)
    expect(page.locator(".jp-OutputArea-output img")).to_have_count(count)
    save_screenshot(page, name)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("00")])
def test_first_lesson_runs_and_shows_a_figure(run_notebook, name):
    page = run_notebook(name)
    figure = page.locator(".jp-OutputArea-output img").first
    figure.scroll_into_view_if_needed()
    assert figure.evaluate("image => image.naturalWidth") > 100
    save_screenshot(page, f"{name}-ran")


@pytest.mark.parametrize("name", WITH_LAB)
def test_every_control_of_the_lab_redraws_it(run_notebook, name):
    page = run_notebook(name)
    lab = page.locator(".course-lab")
    assert picture_of(lab).evaluate("image => image.naturalWidth") > 100
    save_screenshot(lab, f"{name}-lab")
    for search in lab.locator("input[type=text]").all():
        redraws(lab, lambda search=search: search.fill("panda"))
    found = list(controls(lab))
    assert found, "a lab has a control"
    for _, change in found:
        redraws(lab, change)
    save_screenshot(lab, f"{name}-lab-touched")


def save_screenshot(what: Page | Locator, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    what.screenshot(path=SCREENSHOTS / f"{name}.png")
