"""A lab that was saved, closed and opened again, in a real JupyterLab without a kernel."""

import json
import urllib.request

import pytest
from in_browser import READY, picture_of, save_screenshot
from playwright.sync_api import expect

from course_utils.labs.base import OLD

NAME = "reopened"
CELLS = [
    "from course_utils.labs.batch_maps import BatchMapsLab\nprint('a word')",
    "BatchMapsLab()",
    "print('before')\nlab = BatchMapsLab()\ndisplay(lab)\nprint('after')",
]
LOST = "Error displaying widget"

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def write_notebook(server) -> None:
    """Put a notebook with two labs beside the lessons."""
    cells = [
        {"cell_type": "code", "id": f"cell-{n}", "source": source, "metadata": {}}
        | {"outputs": [], "execution_count": None}
        for n, source in enumerate(CELLS)
    ]
    kernel = {"name": "python3", "display_name": "Python 3"}
    content = {"cells": cells, "metadata": {"kernelspec": kernel}}
    content |= {"nbformat": 4, "nbformat_minor": 5}
    body = {"type": "notebook", "format": "json", "content": content}
    address, token = server
    request = urllib.request.Request(
        f"{address}/api/contents/notebooks/{NAME}.ipynb",
        json.dumps(body).encode(),
        {"Authorization": f"token {token}", "Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=30).close()


def test_it_shows_its_picture_once_alive_and_once_reopened(server, run_notebook):
    write_notebook(server)
    page = run_notebook(NAME)
    labs, notes = page.locator(".course-lab"), page.locator(".course-lab-note")
    stills = page.locator(".jp-OutputArea-output > img")
    expect(labs).to_have_count(2)
    picture_of(labs.first)
    expect(notes).to_have_count(2)
    expect(stills).to_have_count(2)
    for hidden in (*notes.all(), *stills.all()):
        expect(hidden).to_be_hidden()
    save_screenshot(page, f"{NAME}-alive")

    opacity = "image => getComputedStyle(image).opacity"
    assert labs.first.locator("img").evaluate(opacity) == "1"
    labs.first.evaluate("(lab, old) => lab.classList.add(old)", OLD)
    page.wait_for_timeout(1000)
    assert labs.first.locator("img").evaluate(opacity) == "0.35"

    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    page.reload()
    page.wait_for_function(f"window.jupyterapp && ({READY}) !== undefined")
    expect(page.locator(".jp-OutputArea-output > img")).to_have_count(2)
    for shown in (*stills.all(), *notes.all()):
        shown.scroll_into_view_if_needed()
        expect(shown).to_be_visible()
    page.wait_for_timeout(3000)  # by then JupyterLab has missed the widgets
    expect(page.get_by_text("before", exact=True)).to_be_visible()
    expect(page.get_by_text("after", exact=True)).to_be_visible()
    for lost in page.get_by_text(LOST).all():
        expect(lost).to_be_hidden()
    save_screenshot(page, f"{NAME}-reopened")
