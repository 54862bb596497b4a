"""Lesson 11's lab in a real browser: ask, drag the window, look at the pictures, judge."""

import re

import pytest
from in_browser import answer_of, drag, redraws, save_screenshot
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed, pytest.mark.nightly]


def test_a_line_up_is_questioned_and_judged(open_lab_in):
    lab = open_lab_in("suspects", "SuspectsLab")
    said = lab.locator(".course-answer")
    asked = lab.get_by_role("button", name="ask")
    network, question, charge = (lab.locator("select").nth(n) for n in range(3))
    picture = lab.locator("canvas.course-touch")
    expect(said).to_have_text("A, what it says: not asked; 20 points left.")

    network.select_option("C")
    question.select_option("swap the sign")
    expect(said).to_contain_text("not asked")
    asked.click()
    expect(said).to_contain_text(re.compile("moves .* 18 points left"), timeout=120_000)
    save_screenshot(lab, "11-swapped")

    number = lab.locator(".noUi-handle").first
    number.focus()
    redraws(lab, "another picture", lambda: number.press("ArrowRight"))
    expect(said).to_contain_text("18 points left")

    charge.select_option("sign")
    lab.get_by_role("button", name="judge").click()
    expect(said).to_contain_text("Right. Swapping the sign moves")
    save_screenshot(lab, "11-judged")

    redraws(lab, "the window", lambda: drag(picture, (0.5, 0.5), (0.9, 0.9)))
    expect(said).to_contain_text("hide the window: not asked")
    redraws(lab, "a larger window", lambda: picture.press("+"))
    asked.click()
    expect(said).to_contain_text("16 points left", timeout=30_000)
    expect(lab.locator(".is-failed")).to_have_count(0)

    question.select_option("map of the score")
    asked.click()
    expect(said).to_contain_text("times as bright on the animal", timeout=30_000)
    assert "14 points left" in answer_of(lab)
    save_screenshot(lab, "11-map")
