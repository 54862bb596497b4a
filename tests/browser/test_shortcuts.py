"""Lesson 09's lab in a real browser: turn a dial, train, stop, go on, look at pictures."""

import re

import pytest
from in_browser import redraws, save_screenshot
from playwright.sync_api import expect

NAME = "09_a_planted_shortcut"
pytestmark = [pytest.mark.browser, pytest.mark.installed, pytest.mark.nightly]


def test_a_probe_is_stopped_trained_and_asked(run_notebook):
    page = run_notebook(NAME)
    lab = page.locator(".course-lab")
    start, stop = (lab.get_by_role("button", name=n) for n in ("start", "stop"))
    said = lab.locator("[role=status]").last
    expect(stop).to_be_disabled()
    expect(said).to_contain_text("160 stand on their class")

    scene = lab.locator(".noUi-handle").first
    scene.focus()
    redraws(lab, "a weaker shortcut", lambda: scene.press("Home"))
    expect(said).not_to_contain_text("160 stand on their class")
    redraws(lab, "the full shortcut", lambda: scene.press("End"))
    expect(said).to_contain_text("160 stand on their class")

    redraws(lab, "start", start.click)
    expect(start).to_be_disabled()
    expect(lab).to_contain_text(re.compile(r"\d+ of \d+ steps in [\d.]+ s, pictures"))
    stop.click()
    expect(said).to_contain_text("no probe yet")
    expect(start).to_be_enabled()
    save_screenshot(lab, f"{NAME}-stopped")

    start.click()  # goes on where it was
    expect(said).to_contain_text("test of its own kind 1.00", timeout=120_000)
    variant = lab.locator("select").first
    redraws(lab, "the scene", lambda: variant.select_option("scene swapped"))
    expect(said).to_contain_text("Says bear, wrong")
    asked = lab.locator("select").nth(1)
    redraws(lab, "the class", lambda: asked.select_option("dog"))
    expect(said).to_contain_text("Maps of “dog”")
    expect(lab.locator(".lab-error")).to_have_count(0)
    save_screenshot(lab, f"{NAME}-looked-at")
