"""Lesson 10's lab in a real browser: turn a dial, train, stop, go on, drag the animal."""

import re

import pytest
from in_browser import answer_of, drag, redraws, save_screenshot, unfold
from playwright.sync_api import Locator, expect

pytestmark = [pytest.mark.browser, pytest.mark.installed]

START = "button.mod-primary"


@pytest.fixture
def trained(open_lab_in) -> Locator:
    """The lab with a probe that was trained on few pictures."""
    lab = open_lab_in("shortcuts", "ShortcutLab")
    lab.locator(START).click()
    expect(lab.locator(".course-answer")).to_contain_text("Says", timeout=120_000)
    return lab


def test_the_animal_is_dragged_by_pointer_and_by_keys(trained):
    lab, said = trained, trained.locator(".course-answer")
    picture, needle = lab.locator("canvas.course-touch"), lab.locator(".course-bar")
    expect(picture).to_have_attribute("aria-label", re.compile("drag the animal"))
    expect(said).to_contain_text("Says dog, right")
    before = needle.locator("em").inner_text()
    redraws(lab, "the animal", lambda: drag(picture, (0.5, 0.5), (0.3, 0.3), (0.2, 0.7)))
    expect(needle.locator("em")).not_to_have_text(before)
    expect(lab).to_contain_text(re.compile(r"Grad-CAM \d"))  # the hand rests: maps come

    redraws(lab, "the scene", lambda: lab.locator(".course-strip input").first.check())
    expect(said).to_contain_text("Says bear, wrong")
    unfold(lab)
    column = lab.locator(".noUi-handle").nth(5)
    at = column.get_attribute("aria-valuenow")
    redraws(lab, "a key", lambda: picture.press("ArrowRight"))
    expect(column).not_to_have_attribute("aria-valuenow", at)
    redraws(lab, "a larger animal", lambda: picture.press("+"))
    assert lab.page.evaluate("() => document.activeElement.className") == "course-touch"
    save_screenshot(lab, "09-dragged")


@pytest.mark.nightly
def test_a_probe_is_stopped_trained_and_asked(open_lab_in):
    lab = open_lab_in("shortcuts", "ShortcutLab")
    start, stop = lab.locator(START), lab.get_by_role("button", name="stop")
    said = lab.locator(".course-answer")
    expect(stop).to_be_disabled()
    tied = re.compile("their class's ground\\s*160")
    expect(lab).to_contain_text(tied)

    scene = lab.locator(".noUi-handle").first
    scene.focus()
    redraws(lab, "a weaker shortcut", lambda: scene.press("Home"))
    expect(lab).not_to_contain_text(tied)
    redraws(lab, "the full shortcut", lambda: scene.press("End"))
    expect(lab).to_contain_text(tied)

    redraws(lab, "start", start.click)
    expect(start).to_be_disabled()
    expect(lab).to_contain_text(re.compile(r"\d+ of \d+ steps in [\d.]+ s, pictures"))
    stop.click()
    expect(said).to_contain_text("No probe yet")
    expect(start).to_be_enabled()
    save_screenshot(lab, "09-stopped")

    start.click()  # goes on where it was
    expect(said).to_contain_text("Says dog, right", timeout=120_000)
    redraws(lab, "the scene", lambda: lab.locator(".course-strip input").first.check())
    expect(said).to_contain_text("Says bear, wrong")
    unfold(lab)
    asked = lab.locator("select").last
    redraws(lab, "the class", lambda: asked.select_option("dog"))
    animal = lab.locator("select").first
    redraws(lab, "the animal", lambda: animal.select_option("bear"))
    expect(said).to_contain_text("Says bear, right")
    assert "−" not in answer_of(lab)
    save_screenshot(lab, "09-looked-at")
