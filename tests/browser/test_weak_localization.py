"""Lesson 07's lab in a real browser: paint by pointer and keys, drag a box of one's own."""

import re

import pytest
from in_browser import answer_of, drag, redraws, save_screenshot, unfold
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def test_strokes_are_painted_and_taken_back(open_lab_in):
    lab = open_lab_in("weak_localization", "WeakLocalizationLab")
    answer, page = lab.locator(".course-answer"), lab.page
    photo = lab.locator("canvas.course-touch")
    expect(photo).to_have_attribute("aria-label", re.compile("paint object"))
    expect(answer).to_contain_text("the found box has IoU 0.")
    undo, clear = (lab.get_by_role("button", name=name) for name in ("undo", "clear"))
    expect(undo).to_be_disabled()

    redraws(lab, "object", lambda: drag(photo, (0.2, 0.8), (0.3, 0.9)))
    expect(answer).to_contain_text("1 stroke of yours")
    page.keyboard.down("Shift")
    redraws(lab, "background", lambda: drag(photo, (0.8, 0.2), (0.9, 0.5)))
    page.keyboard.up("Shift")
    expect(answer).to_contain_text("2 strokes of yours")
    save_screenshot(lab, "07-painted")

    for key in ("ArrowDown", "ArrowLeft", "+"):
        photo.press(key)
    redraws(lab, "a stroke by keys", lambda: photo.press("Enter"))
    expect(answer).to_contain_text("3 strokes of yours")
    unfold(lab)
    assert "12" in lab.locator(".widget-readout").all_inner_texts(), "the radius follows"
    redraws(lab, "undo", undo.click)
    redraws(lab, "clear", clear.click)
    expect(answer).not_to_contain_text("of yours")
    expect(clear).to_be_disabled()


@pytest.mark.nightly
def test_the_right_button_paints_background_and_opens_no_menu(open_lab_in):
    lab = open_lab_in("weak_localization", "WeakLocalizationLab")
    photo, mouse = lab.locator("canvas.course-touch"), lab.page.mouse
    box = photo.bounding_box()
    mouse.move(box["x"] + 250, box["y"] + 40)
    mouse.down(button="right")
    mouse.move(box["x"] + 300, box["y"] + 60, steps=5)
    mouse.up(button="right")
    expect(lab.locator(".course-answer")).to_contain_text("1 stroke of yours")
    expect(lab.page.locator(".lm-Menu")).to_have_count(0)


@pytest.mark.nightly
def test_a_box_of_ones_own_is_dragged_and_its_iou_follows(open_lab_in):
    lab = open_lab_in("weak_localization", "WeakLocalizationLab")
    answer, photo = lab.locator(".course-answer"), lab.locator("canvas.course-touch")
    redraws(lab, "my box", lab.get_by_role("button", name="my box").click)
    expect(answer).to_contain_text("Your box: IoU 0.37")
    expect(lab.get_by_label("show the drawn box")).not_to_be_checked()

    redraws(lab, "the box", lambda: drag(photo, (0.5, 0.5), (0.48, 0.6)))
    redraws(lab, "its corner", lambda: drag(photo, (0.73, 0.85), (0.6, 0.88)))
    said = answer_of(lab)
    assert float(re.search(r"Your box: IoU ([\d.]+);", said)[1]) > 0.5
    unfold(lab)
    edges = lab.locator(".widget-readout").filter(has_text="–")  # of columns, and of rows
    for keys in ("ArrowRight", "Shift+ArrowUp", "+"):
        before = edges.all_inner_texts()
        redraws(lab, keys, lambda keys=keys: photo.press(keys))
        assert edges.all_inner_texts() != before, keys
    redraws(lab, "the drawn box", lab.get_by_label("show the drawn box").check)
    save_screenshot(lab, "07-own-box")

    edge = lab.locator(".noUi-handle-lower").last
    edge.focus()
    redraws(lab, "the box, by its slider", lambda: edge.press("ArrowRight"))
    expect(lab.locator(".is-failed")).to_have_count(0)
