"""Lesson 10's lab in a real browser: upload, start, stop, save; by keyboard too."""

import json
import re

import pytest
from in_browser import picture_of, red_picture, redraws, save_screenshot, upload
from PIL import Image
from playwright.sync_api import expect

from course_utils import repeat_sheet

NAME = "10_your_own"
pytestmark = [pytest.mark.browser, pytest.mark.installed, pytest.mark.nightly]


def test_a_learners_picture_becomes_a_sheet_that_is_stopped_and_saved(
    run_notebook, tmp_path
):
    page = run_notebook(NAME)
    lab = page.locator(".course-lab")
    start, stop, save = (
        lab.get_by_role("button", name=name) for name in ("start", "stop", "save")
    )
    status = lab.locator("[role=status]").last
    picture_of(lab)
    save_screenshot(lab, f"{NAME}-rest")

    redraws(lab, "upload", lambda: upload(lab, "wall.png", "image/png", red_picture()))
    redraws(lab, "start", start.click)
    expect(start).to_be_disabled()
    expect(lab).to_contain_text(re.compile(r"\d of 7 steps in [\d.]+ s"))
    stop.click()
    expect(status).to_contain_text("Stopped after")
    expect(start).to_be_enabled()
    save_screenshot(lab, f"{NAME}-stopped")

    methods = lab.locator("select[multiple]")
    methods.focus()
    methods.press("Home")  # the first method alone, by keyboard
    start.focus()
    redraws(lab, "a second start", lambda: start.press("Enter"))
    expect(status).to_contain_text("Done: 1 of 1 steps")
    save_screenshot(lab, f"{NAME}-done")

    folder = lab.locator(".course-lab-save input").last
    folder.fill(str(tmp_path / "sheets"))
    folder.press("Enter")
    save.click()
    expect(status).to_contain_text("Saved")
    path = tmp_path / "sheets" / "wall_png.json"
    assert Image.open(path.with_suffix(".png")).width > 300
    assert json.loads(path.read_text())["methods"] == ["vanilla_saliency"]
    assert len(repeat_sheet(path).maps) == 1


def test_a_path_is_typed_and_a_wrong_one_is_said(run_notebook, tmp_path):
    page = run_notebook(NAME)
    lab = page.locator(".course-lab")
    address = lab.locator(".course-lab-save input").first
    picture_of(lab)
    address.fill(str(tmp_path / "nowhere.png"))
    address.press("Enter")
    expect(lab.locator(".lab-error")).to_contain_text("there is no file")
    (tmp_path / "mine.png").write_bytes(red_picture())

    def type_it():
        address.fill(str(tmp_path / "mine.png"))
        address.press("Enter")

    redraws_after_error(lab, type_it)
    expect(lab.locator(".lab-error")).to_have_count(0)
    chosen = lab.locator("select").first.evaluate("list => list.selectedOptions[0].text")
    assert chosen == "mine.png"


def redraws_after_error(lab, touch):
    """As `redraws`, where the status line still shows the error of before."""
    picture = picture_of(lab)
    before = picture.get_attribute("src")
    touch()
    lab.page.wait_for_function(
        "([image, old]) => image.src !== old && image.complete && image.naturalWidth",
        arg=[picture.element_handle(), before],
    )
