"""A lab that was saved, closed and opened again, in a real JupyterLab without a kernel."""

import pytest
from in_browser import READY, picture_of, save_screenshot, write_notebook
from playwright.sync_api import expect

NAME = "reopened"
CELLS = [
    "from course_utils.labs.occlusion import OcclusionLab\nprint('a word')",
    "OcclusionLab()",
    "print('before')\nlab = OcclusionLab()\ndisplay(lab)\nprint('after')",
]
LOST = "Error displaying widget"

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def test_it_shows_its_picture_once_alive_and_once_reopened(server, run_notebook):
    write_notebook(server, NAME, CELLS)
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
