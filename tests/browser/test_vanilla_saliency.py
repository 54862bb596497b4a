"""Lesson 02's lab in a real browser: the loupe by pointer and by keys; an upload."""

import re

import pytest
from in_browser import answer_of, picture_of, red_picture, redraws, save_screenshot, upload
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def test_the_loupe_follows_the_pointer_and_keys(open_lab_in):
    lab = open_lab_in("vanilla_saliency", "VanillaSaliencyLab")
    photo, said = lab.locator("canvas.course-touch"), lab.locator(".course-answer")
    box = photo.bounding_box()
    size = {"x": box["width"] / 4, "y": box["height"] / 2}
    redraws(lab, "the loupe", lambda: photo.hover(position=size))
    expect(said).to_contain_text(re.compile(r"Row 11\d, column 5\d: strongest slope"))
    before = answer_of(lab)
    redraws(lab, "a key", lambda: [photo.press("ArrowUp") for _ in range(9)])
    assert answer_of(lab) != before
    expect(lab).to_contain_text("one level more")
    save_screenshot(lab, "02-loupe")


def test_an_upload_is_shown_and_a_broken_one_keeps_the_picture(open_lab_in):
    lab = open_lab_in("vanilla_saliency", "VanillaSaliencyLab")
    strip, panels = lab.locator(".course-strip input"), picture_of(lab)
    redraws(lab, "mine", lambda: upload(lab, "mine.png", "image/png", red_picture()))
    expect(strip).to_have_count(28)
    expect(strip.last).to_be_checked()

    shown = panels.screenshot()
    upload(lab, "notes.txt", "text/plain", b"these are no pixels")
    for words in ("Nothing has changed", "notes.txt"):
        expect(lab.locator(".is-failed .course-answer")).to_contain_text(words)
    assert panels.screenshot() == shown

    lab.locator(".course-strip label", has_text="espresso").click()  # and on it goes
    expect(lab.locator(".is-failed")).to_have_count(0)
    expect(lab.locator("figcaption").nth(1)).to_contain_text("espresso")
