"""Lesson 09's lab in a real browser: wipe, hide by hand, swipe between two maps."""

import re

import pytest
from in_browser import answer_of, drag, redraws, save_screenshot, unfold
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def opened(open_lab_in):
    lab = open_lab_in("trust", "TrustLab")
    expect(lab.locator("canvas.course-touch")).to_have_count(3)
    return lab, *lab.locator("canvas.course-touch").all()


def test_pixels_vanish_along_the_curve(open_lab_in):
    lab, _, curves, _ = opened(open_lab_in)
    answer = lab.locator(".course-answer")
    expect(answer).to_contain_text("10 % hidden by the map")
    redraws(lab, "a wipe", lambda: drag(curves, (0.3, 0.4), (0.75, 0.6)))
    wiped = int(re.search(r"(\d+) % hidden", answer_of(lab))[1])
    assert 60 <= wiped <= 80
    redraws(lab, "a step by key", lambda: curves.press("ArrowRight"))
    expect(answer).to_contain_text(f"{wiped + 5} % hidden by the map")
    assert str(wiped + 5) in lab.locator(".widget-readout").all_inner_texts()
    save_screenshot(lab, "08-wiped")


@pytest.mark.nightly
def test_pixels_are_hidden_by_hand_until_the_budget_is_spent(open_lab_in):
    lab, hand, _, _ = opened(open_lab_in)
    answer = lab.locator(".course-answer")
    redraws(lab, "a stroke", lambda: drag(hand, (0.85, 0.1), (0.85, 0.3)))
    expect(answer).to_contain_text(re.compile(r"Your [1-4]\.\d % leave"))
    redraws(lab, "a stroke by key", lambda: hand.press("ArrowLeft") or hand.press("Enter"))
    redraws(lab, "a long one", lambda: drag(hand, (0.1, 0.1), (0.9, 0.8), (0.1, 0.8)))
    expect(lab.locator("figcaption").first).to_have_text("hide by hand: 5.0 of 5 %")
    save_screenshot(lab, "08-hidden-by-hand")
    redraws(lab, "clear", lab.get_by_role("button", name="clear").click)
    expect(lab.locator("figcaption").first).to_have_text("hide by hand: 0.0 of 5 %")


@pytest.mark.nightly
def test_the_divider_stays_and_the_controls_answer(open_lab_in):
    lab, _, _, maps = opened(open_lab_in)
    redraws(lab, "a swipe", lambda: drag(maps, (0.5, 0.5), (0.25, 0.5)))
    unfold(lab)
    readouts = lab.locator(".widget-readout")
    expect(readouts.get_by_text("56", exact=True)).to_be_visible()
    redraws(lab, "a swipe by key", lambda: maps.press("ArrowRight"))
    expect(readouts.get_by_text("64", exact=True)).to_be_visible()

    layers = lab.locator(".noUi-handle").first
    layers.focus()
    redraws(lab, "all layers randomised", lambda: layers.press("End"))
    expect(lab).to_contain_text("rank correlation, all randomised")
    expect(readouts.get_by_text("64", exact=True)).to_be_visible()
    method, fill = lab.locator("select").all()
    redraws(lab, "another method", lambda: method.select_option(label="Grad-CAM"))
    redraws(lab, "another fill", lambda: fill.select_option(label="black"))
    expect(lab.locator(".is-failed")).to_have_count(0)


@pytest.mark.nightly
def test_the_curves_come_in_a_second_step(open_lab_in):
    lab, *_ = opened(open_lab_in)
    page = lab.page
    page.evaluate("""() => { window.seen = [];
        const stage = document.querySelector('.course-stage');
        new MutationObserver(() => seen.push([stage.innerText.includes('…'),
            stage.classList.contains('is-busy')]))
            .observe(stage, {subtree: true, childList: true, attributes: true}); }""")
    lab.get_by_label("goldfish", exact=True).check(force=True)
    expect(lab.locator(".course-answer")).to_contain_text("goldfish")
    page.wait_for_function("() => seen.length && !seen.at(-1)[0] && !seen.at(-1)[1]")
    assert [True, True] in page.evaluate("() => seen"), "busy, without the areas yet"
    expect(lab).not_to_contain_text("…")
