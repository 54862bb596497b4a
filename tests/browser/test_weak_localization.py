"""Lesson 07's lab in a real browser: move the brush by keys, paint, undo, clear."""

import pytest
from in_browser import redraws, save_screenshot
from playwright.sync_api import expect

NAME = "07_weak_localization"
pytestmark = [pytest.mark.browser, pytest.mark.installed, pytest.mark.nightly]


def test_own_seeds_are_painted_and_taken_back(run_notebook):
    page = run_notebook(NAME)
    lab = page.locator(".course-lab")
    said = lab.locator("[role=status]").last
    expect(said).to_contain_text("IoU with the drawn box")
    undo, clear = (lab.get_by_role("button", name=name) for name in ("undo", "clear"))
    expect(undo).to_be_disabled()

    row, column = (lab.locator(".noUi-handle").nth(n) for n in (5, 6))
    for handle, key in ((row, "End"), (column, "Home")):
        handle.focus()
        redraws(lab, f"the brush, {key}", lambda key=key: page.keyboard.press(key))
    for name, words in {
        "this is object": "1 stroke of yours",
        "this is background": "2 strokes of yours",
    }.items():
        button = lab.get_by_role("button", name=name)
        button.focus()
        redraws(lab, name, lambda: page.keyboard.press("Enter"))
        expect(said).to_contain_text(words)
    save_screenshot(lab, f"{NAME}-painted")

    redraws(lab, "undo", undo.click)
    expect(said).to_contain_text("1 stroke of yours")
    redraws(lab, "clear", clear.click)
    expect(said).not_to_contain_text("of yours")
    expect(clear).to_be_disabled()
    expect(lab.locator(".lab-error")).to_have_count(0)
