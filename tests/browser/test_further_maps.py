"""Lesson 08's lab in a real browser: chips, the divider, and a method's own control."""

import re

import pytest
from in_browser import drag, redraws, save_screenshot, unfold
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed, pytest.mark.nightly]


@pytest.fixture
def lab(open_lab_in):
    lab = open_lab_in("further_maps", "FurtherMapsLab")
    expect(lab.locator("canvas.course-touch")).to_have_count(1)
    return lab


def test_a_third_chip_takes_the_place_of_the_older_one(lab):
    answer = lab.locator(".course-answer")
    expect(answer).to_contain_text("vanilla gradient and Grad-CAM")
    chip = lab.get_by_role("button", name="guided backprop", exact=True)
    redraws(lab, "a chip", chip.click)
    expect(answer).to_contain_text("Grad-CAM and guided backprop")
    expect(lab.locator(".course-chips .mod-active")).to_have_count(2)
    save_screenshot(lab, "08-two-maps")


def test_the_divider_asks_about_a_place(lab):
    maps = lab.locator("canvas.course-touch")
    unfold(lab)
    redraws(lab, "a swipe", lambda: drag(maps, (0.5, 0.2), (0.25, 0.5)))
    readouts = lab.locator(".widget-readout")
    expect(readouts.get_by_text("56", exact=True)).to_be_visible()
    expect(readouts.get_by_text(re.compile(r"^11[0-4]$"))).to_be_visible()
    redraws(lab, "a step by key", lambda: maps.press("ArrowRight"))
    expect(readouts.get_by_text("64", exact=True)).to_be_visible()


def test_grad_cam_of_another_layer(lab):
    layers = lab.get_by_label("Grad-CAM at")
    redraws(lab, "fire6", lambda: layers.select_option(label="fire6"))
    expect(lab.locator(".is-failed")).to_have_count(0)
