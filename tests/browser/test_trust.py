"""Lesson 08's lab in a real browser: hide pixels, let the network forget, ask again."""

import re

import pytest
from in_browser import redraws, save_screenshot
from playwright.sync_api import expect

NAME = "08_can_we_trust_the_map"
pytestmark = [pytest.mark.browser, pytest.mark.installed, pytest.mark.nightly]


def test_a_map_is_put_to_the_test(run_notebook):
    page = run_notebook(NAME)
    lab = page.locator(".course-lab")
    said = lab.locator("[role=status]").last
    expect(said).to_contain_text("guided backprop for German shepherd")

    layers, hidden = (lab.locator(".noUi-handle").nth(n) for n in (0, 1))
    hidden.focus()
    redraws(lab, "more pixels hidden", lambda: page.keyboard.press("ArrowRight"))
    expect(said).to_contain_text("12 % hidden")
    layers.focus()
    redraws(lab, "all layers randomised", lambda: page.keyboard.press("End"))
    expect(said).to_contain_text("All randomised: rank correlation")

    method, fill = (lab.locator("select").nth(n) for n in (2, 3))
    redraws(lab, "another method", lambda: method.select_option(label="Grad-CAM"))
    expect(said).to_contain_text(re.compile(r"Grad-CAM for German shepherd: [\d.]+% prob"))
    redraws(lab, "another fill", lambda: fill.select_option(label="black"))
    expect(lab.locator(".lab-error")).to_have_count(0)
    save_screenshot(lab, NAME)
