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
READY = "jupyterapp.shell.currentWidget?.sessionContext?.isReady"
ERRORS = """() => jupyterapp.shell.currentWidget.content.model.toJSON().cells.flatMap(
    cell => (cell.outputs || []).filter(output => output.output_type === 'error')
        .map(error => `${cell.id}: ${error.ename}: ${error.evalue}`))"""

ANSWERED = """([lab, image, old]) => lab.querySelector('.lab-error')
    || (image.src !== old && image.complete && image.naturalWidth)"""


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
    quiet = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    quiet += ["--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
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
    picture = lab.locator("img")
    picture.scroll_into_view_if_needed()
    return picture


def redraws(lab: "Locator", what: str, touch: Callable[[], None]) -> None:
    """Touch a control; the picture must be drawn anew, look different, and be no error."""
    picture = picture_of(lab)
    source, pixels = picture.get_attribute("src"), picture.screenshot()
    touch()
    from playwright.sync_api import TimeoutError

    arguments = [lab.element_handle(), picture.element_handle(), source]
    try:
        lab.page.wait_for_function(ANSWERED, arg=arguments)
    except TimeoutError:
        pytest.fail(f"{what}: no new picture came")
    errors = lab.locator(".lab-error").all_inner_texts()
    assert errors == [], f"{what}: the status line shows an error"
    for _ in range(20):  # a frame or two may pass before the new picture is on the screen
        if picture_of(lab).screenshot() != pixels:
            return
        time.sleep(0.1)
    pytest.fail(f"{what}: the new picture looks like the old one")


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
