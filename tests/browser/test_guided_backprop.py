"""Lesson 05's lab in a real browser: a place is clicked, a unit chosen, maps saved."""

import re

import pytest
from in_browser import answer_of, drag, redraws, save_screenshot, unfold
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def open_it(open_lab_in):
    lab = open_lab_in("guided_backprop", "GuidedBackpropLab")
    return lab, lab.locator("canvas.course-touch"), lab.locator("div.course-touch")


def test_a_place_is_clicked_and_a_unit_chosen_by_pointer_and_by_keys(open_lab_in):
    lab, photo, bars = open_it(open_lab_in)
    expect(photo).to_have_attribute("aria-label", re.compile("click a place"))
    said, chosen = lab.locator(".course-answer"), lab.locator(".course-bar.is-chosen")
    expect(said).to_contain_text("golden retriever: score")
    redraws(lab, "the eye", lambda: drag(photo, (0.59, 0.34), (0.59, 0.34)))
    expect(said).to_contain_text(re.compile(r"fire9 .*row 4, column 7"))
    expect(chosen).to_have_text(re.compile("^channel"))
    assert chosen.inner_text() == lab.locator(".course-bar").first.inner_text()

    redraws(lab, "the tongue, by keys", lambda: press(photo, "ArrowDown", 10))
    expect(said).to_contain_text(re.compile(r"row [789], column 7"))
    third = lab.locator(".course-bar").nth(2)
    redraws(lab, "another unit", third.click)
    words = third.locator("span").inner_text()
    expect(said).to_contain_text(words)
    redraws(lab, "the next unit, by key", lambda: bars.press("ArrowDown"))
    words = lab.locator(".course-bar").nth(3).locator("span").inner_text()
    expect(said).to_contain_text(words)
    channel = lab.locator("input[type=number]").first
    expect(channel).to_have_value(words.split()[1])
    save_screenshot(lab, "05-unit")


def press(panel, key, times):
    for _ in range(times):
        panel.press(key)


@pytest.mark.nightly
def test_one_rule_is_as_high_as_three_and_maps_are_saved(open_lab_in, tmp_path):
    lab, photo, _ = open_it(open_lab_in)
    three = [panel.bounding_box()["height"] for panel in lab.locator("canvas").all()]
    rule = lab.locator("select").nth(1)
    redraws(lab, "one rule", lambda: rule.select_option("guided"))
    one = [panel.bounding_box()["height"] for panel in lab.locator("canvas").all()]
    assert len(three) == 4
    assert one == pytest.approx(three[:2], abs=6)

    unfold(lab)
    folder = lab.locator(".course-lab-save input")
    folder.fill(str(tmp_path / "maps"))
    folder.press("Enter")
    lab.get_by_role("button", name="Save these maps").click()
    expect(lab.locator(".course-answer")).to_contain_text("Saved in")
    assert [f.name for f in (tmp_path / "maps").iterdir()] == [
        "golden_retriever-SqueezeNet-1-1-golden-retriever-guided.png"
    ]


@pytest.mark.nightly
def test_a_class_is_chosen_by_its_bar_and_a_channel_is_typed(open_lab_in):
    lab, photo, bars = open_it(open_lab_in)
    redraws(lab, "the second class", lab.locator(".course-bar").nth(1).click)
    expect(lab.locator(".course-answer")).to_contain_text("cocker spaniel")
    redraws(lab, "a place", lambda: drag(photo, (0.5, 0.5), (0.5, 0.5)))
    channel = lab.locator("input[type=number]").first
    channel.fill("374")
    redraws(lab, "channel 374", lambda: channel.press("Enter"))
    expect(lab.locator(".course-answer")).to_contain_text("channel 374 of 512")
    said = answer_of(lab)
    redraws(lab, "a class", lambda: lab.locator("select").first.select_option("a class"))
    expect(lab.locator(".course-answer")).not_to_have_text(said)
