"""Lesson 06's lab in a real browser: a window dragged by hand, then the map that grows."""

import re

import pytest
from in_browser import answer_of, drag, redraws, save_screenshot, unfold
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def test_a_window_is_dragged_by_pointer_and_by_keys(open_lab_in):
    lab = open_lab_in("occlusion", "OcclusionLab")
    photo = lab.locator("canvas.course-touch")
    expect(photo).to_have_attribute("role", "application")
    expect(photo).to_have_attribute("aria-label", re.compile("drag the window"))
    redraws(lab, "the window", lambda: drag(photo, (0.2, 0.25), (0.2, 0.3)))
    expect(lab.locator(".course-answer")).to_contain_text("top class German shepherd")
    redraws(lab, "back over the dog", lambda: drag(photo, (0.2, 0.3), (0.75, 0.3)))
    expect(lab.locator(".course-answer")).to_contain_text("top class lorikeet")
    save_screenshot(lab, "06-dragged")

    said = answer_of(lab)
    for _ in range(12):
        photo.press("ArrowLeft")
    redraws(lab, "a larger window", lambda: photo.press("+"))
    expect(lab.locator(".course-answer")).not_to_have_text(said)
    assert lab.page.evaluate("() => document.activeElement.className") == "course-touch"
    unfold(lab)
    expect(lab).to_contain_text("window hidden")
    readouts = lab.locator(".widget-readout").all_inner_texts()
    assert "56" in readouts, "the slider of the window follows"


@pytest.mark.nightly
def test_a_map_grows_is_stopped_and_looked_at(open_lab_in):
    lab = open_lab_in("occlusion", "OcclusionLab")
    start, stop = (lab.get_by_role("button", name=n) for n in ("start", "stop"))
    expect(stop).to_be_disabled()
    unfold(lab)
    stride = lab.locator(".noUi-handle").nth(1)
    stride.focus()
    stride.press("ArrowLeft")  # from 8 to 4: long enough to be stopped

    redraws(lab, "start", start.click)
    expect(start).to_be_disabled()
    expect(lab).to_contain_text(re.compile(r"\d+ of 2025 steps in [\d.]+ s"))
    redraws(lab, "the map under way", lambda: None)
    stop.click()
    expect(lab.locator(".course-answer")).to_contain_text("Stopped after")
    expect(start).to_be_enabled()
    expect(lab.locator("canvas")).to_have_count(2)
    photo = lab.locator("canvas.course-touch")
    redraws(lab, "another window", lambda: drag(photo, (0.2, 0.25), (0.2, 0.3)))
    expect(lab.locator(".is-failed")).to_have_count(0)
    save_screenshot(lab, "06-looked-at")
