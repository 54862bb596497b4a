"""Lesson 01's lab in a real browser: the odd item dragged to another cell, and turned."""

import pytest
from in_browser import drag, redraws, save_screenshot, unfold
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def test_the_odd_item_is_dragged_and_moved_by_keys(open_lab_in):
    lab = open_lab_in("theory", "TheoryLab")
    display = lab.locator("canvas.course-touch")
    titles = lab.locator("figcaption")
    expect(titles.nth(2)).to_have_text("✔ centre-surround")
    from_here, to_there = (3.5 / 6, 1.5 / 6), (0.5 / 6, 4.5 / 6)
    redraws(lab, "the odd item", lambda: drag(display, from_here, to_there))
    expect(titles.nth(2)).to_have_text("✔ centre-surround")
    redraws(lab, "a cell to the right", lambda: display.press("ArrowRight"))
    unfold(lab)
    readouts = lab.locator(".widget-readout").all_inner_texts()
    assert {"5", "2"} <= set(readouts), "the sliders of row and column follow"
    save_screenshot(lab, "01-dragged")


@pytest.mark.nightly
def test_a_bar_is_turned_by_keys(open_lab_in):
    lab = open_lab_in("theory", "TheoryLab")
    redraws(lab, "bars", lab.locator(".course-strip input").nth(1).click)
    display, tilt = lab.locator("canvas.course-touch"), lab.locator("text=odd tilt")
    expect(lab.locator("figcaption").first).to_contain_text("turn it")
    redraws(lab, "turned", lambda: [display.press("]") for _ in range(4)])
    unfold(lab)
    expect(tilt).to_be_visible()
    expect(lab.locator(".is-failed")).to_have_count(0)
