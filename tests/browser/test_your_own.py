"""Lesson 12's lab in a real browser: drop, paste, upload, start, point, stop, save."""

import json
import re

import pytest
from in_browser import (
    answer_of,
    picture_of,
    red_picture,
    redraws,
    save_screenshot,
    unfold,
    upload,
)
from PIL import Image
from playwright.sync_api import expect

from course_utils import repeat_sheet

pytestmark = [pytest.mark.browser, pytest.mark.installed]
# A file is let go over the scene, or pasted where the focus is, as the browser says it.
HAND_OVER = """(node, [kind, bytes]) => {
    const data = new DataTransfer();
    const file = new File([new Uint8Array(bytes)], "wall.png", { type: "image/png" });
    data.items.add(file);
    const look = { bubbles: true, cancelable: true };
    const event = kind === "drop" ? new DragEvent("drop", { dataTransfer: data, ...look })
        : new ClipboardEvent("paste", { clipboardData: data, ...look });
    node.dispatchEvent(event);
}"""


def open_it(open_lab_in):
    lab = open_lab_in("your_own", "YourOwnLab")
    names = ("start", "stop", "save")
    return lab, *(lab.get_by_role("button", name=name) for name in names)


def chip(lab, name):
    return lab.locator(".course-chips button", has_text=name)


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted_and_methods_are_pointed_at(open_lab_in, kind):
    lab, start, *_ = open_it(open_lab_in)
    photo, said = lab.locator("canvas").first, lab.locator(".course-answer")
    given = [kind, list(red_picture())]
    redraws(lab, kind, lambda: photo.evaluate(HAND_OVER, given))
    expect(lab.locator("figcaption").first).to_contain_text("wall.png")

    for name in ("deconvnet", "occlusion", "SmoothGrad", "integrated gradients"):
        chip(lab, name).click()
    chip(lab, "edges only").press("Enter")  # by keyboard, too
    expect(said).to_contain_text("by 4 methods")
    start.click()
    expect(said).to_contain_text("Done: 4 of 4 steps")
    methods = lab.locator("div.course-touch")
    expect(methods).to_have_attribute("aria-label", re.compile("point at one"))
    guided = lab.locator(".course-bar", has_text="guided backprop")
    redraws(lab, "pointing at a method", guided.hover)
    expect(said).to_contain_text("guided backprop")
    expect(lab.locator("figcaption").first).to_contain_text("guided backprop")
    lab.page.mouse.move(0, 0)
    methods.focus()
    redraws(lab, "the next method, by key", lambda: methods.press("ArrowDown"))
    expect(said).to_contain_text("Grad-CAM")
    save_screenshot(lab, f"10-{kind}")


@pytest.mark.nightly
def test_a_learners_picture_becomes_a_sheet_that_is_stopped_and_saved(
    open_lab_in, tmp_path
):
    lab, start, stop, save = open_it(open_lab_in)
    said = lab.locator(".course-answer")
    redraws(lab, "upload", lambda: upload(lab, "wall.png", "image/png", red_picture()))
    redraws(lab, "start", start.click)
    expect(start).to_be_disabled()
    expect(lab).to_contain_text(re.compile(r"\d of 7 steps in [\d.]+ s"))
    stop.click()
    expect(said).to_contain_text("Stopped after")
    expect(start).to_be_enabled()
    save_screenshot(lab, "10-stopped")

    for name in lab.locator(".course-chips .mod-active").all_inner_texts()[1:]:
        chip(lab, name).click()  # the first method alone
    start.focus()
    redraws(lab, "a second start", lambda: start.press("Enter"))
    expect(said).to_contain_text("Done: 1 of 1 steps")

    unfold(lab)
    folder = lab.locator(".course-lab-save input").last
    folder.fill(str(tmp_path / "sheets"))
    folder.press("Enter")
    save.click()
    expect(said).to_contain_text("Saved")
    path = tmp_path / "sheets" / "wall_png.json"
    assert Image.open(path.with_suffix(".png")).width > 300
    assert json.loads(path.read_text())["methods"] == ["vanilla_saliency"]
    assert len(repeat_sheet(path).maps) == 1


@pytest.mark.nightly
def test_a_path_is_typed_and_a_wrong_one_is_said(open_lab_in, tmp_path):
    lab, *_ = open_it(open_lab_in)
    unfold(lab)
    address = lab.locator(".course-lab-save input").first
    picture = picture_of(lab).screenshot()
    address.fill(str(tmp_path / "nowhere.png"))
    address.press("Enter")
    expect(lab.locator(".is-failed")).to_contain_text("there is no file")
    (tmp_path / "mine.png").write_bytes(red_picture())
    address.fill(str(tmp_path / "mine.png"))
    address.press("Enter")
    expect(lab.locator(".is-failed")).to_have_count(0)
    expect(lab.locator("figcaption").first).to_contain_text("mine.png")
    assert picture_of(lab).screenshot() != picture
    assert "Press start" in answer_of(lab)
