"""Lesson 06's lab in a real browser: start, watch the map grow, stop, look at a window."""

import re

import pytest
from in_browser import redraws, save_screenshot
from playwright.sync_api import expect

NAME = "06_occlusion"
pytestmark = [pytest.mark.browser, pytest.mark.installed, pytest.mark.nightly]


def test_a_map_grows_is_stopped_and_looked_at(run_notebook):
    page = run_notebook(NAME)
    lab = page.locator(".course-lab")
    start, stop = (lab.get_by_role("button", name=n) for n in ("start", "stop"))
    said = lab.locator("[role=status]").last
    expect(stop).to_be_disabled()
    expect(said).to_contain_text("Press start to measure")

    handles = lab.locator(".noUi-handle")
    stride, row, column = handles.nth(1), handles.nth(2), handles.nth(3)
    redraws_nothing = "Press start to measure 2025 windows"
    stride.focus()
    stride.press("ArrowLeft")  # from 8 to 4: long enough to be stopped
    expect(said).to_contain_text(redraws_nothing)

    redraws(lab, "start", start.click)
    expect(start).to_be_disabled()
    expect(lab).to_contain_text(re.compile(r"\d+ of 2025 steps in [\d.]+ s"))
    redraws(lab, "the map under way", lambda: None)
    stop.click()
    expect(said).to_contain_text("Stopped after")
    expect(start).to_be_enabled()
    save_screenshot(lab, f"{NAME}-stopped")

    for handle, key in ((row, "Home"), (column, "End")):
        handle.focus()
        redraws(lab, "another window", lambda key=key: page.keyboard.press(key))
    expect(said).to_contain_text("Hidden at row 0, column 176")
    expect(lab.locator(".lab-error")).to_have_count(0)
    save_screenshot(lab, f"{NAME}-looked-at")
