"""Lesson 04's lab in a real browser: start, watch the picture grow, stop, save."""

import json
import re

import pytest
from in_browser import picture_of, redraws, save_screenshot
from PIL import Image
from playwright.sync_api import expect

NAME = "04_class_visualization"
pytestmark = [pytest.mark.browser, pytest.mark.installed, pytest.mark.nightly]


def test_a_picture_grows_is_stopped_and_saved(run_notebook, tmp_path):
    page = run_notebook(NAME)
    lab = page.locator(".course-lab")
    start, stop, save = (
        lab.get_by_role("button", name=n) for n in ("start", "stop", "save")
    )
    expect(stop).to_be_disabled()
    search = lab.locator("input[type=text]").first
    redraws(lab, "search", lambda: search.fill("goldfish"))

    redraws(lab, "start", start.click)  # the picture grows
    expect(start).to_be_disabled()
    expect(lab).to_contain_text(re.compile(r"\d+ of 128 steps in [\d.]+ s, score [\d.]+"))
    redraws(lab, "waiting", lambda: None)  # and grows
    stop.click()
    expect(lab.locator("[role=status]").last).to_contain_text("Stopped after")
    expect(start).to_be_enabled()
    expect(stop).to_be_disabled()
    save_screenshot(lab, f"{NAME}-stopped")

    file = tmp_path / "fish.png"
    lab.locator(".course-lab-save input").fill(str(file))
    lab.locator(".course-lab-save input").press("Enter")
    save.click()
    expect(lab.locator("[role=status]").last).to_contain_text("Saved")
    assert picture_of(lab).is_visible()
    assert Image.open(file).size[0] > 100
    assert json.loads(file.with_suffix(".json").read_text())["target"] == 1
