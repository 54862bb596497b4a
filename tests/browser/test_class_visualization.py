"""Lesson 04's lab in a real browser: a picture grows, is wound back, and saved."""

import json
import re

import pytest
from in_browser import answer_of, redraws, save_screenshot, unfold
from PIL import Image
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def buttons(lab):
    return (lab.get_by_role("button", name=name) for name in ("start", "stop"))


def run_to_the_end(lab):
    start, stop = buttons(lab)
    start.click()
    expect(stop).to_be_enabled()
    expect(start).to_be_enabled(timeout=120_000)
    expect(lab.locator(".course-answer")).to_contain_text("Done: 128 of 128 steps")
    return lab.locator("canvas.course-touch")


def test_a_picture_is_wound_back_by_pointer_and_by_keys(open_lab_in):
    lab = open_lab_in("class_visualization", "ClassVisualizationLab", "size=64")
    curve = run_to_the_end(lab)
    expect(curve).to_have_attribute("aria-label", re.compile("arrow keys"))
    picture = lab.locator("canvas").first
    final = picture.screenshot()

    box = curve.bounding_box()
    middle = {"x": box["width"] / 2, "y": box["height"] / 2}
    redraws(lab, "pointing at the curve", lambda: curve.hover(position=middle))
    halfway = int(re.search(r"Step (\d+):", answer_of(lab))[1])
    assert 50 <= halfway <= 74
    assert picture.screenshot() != final

    lab.page.mouse.move(0, 0)
    curve.focus()
    redraws(lab, "a step back", lambda: curve.press("ArrowLeft"))
    expect(lab.locator(".course-answer")).to_contain_text(f"Step {halfway - 2}:")
    unfold(lab)
    expect(lab.locator(".widget-readout", has_text=str(halfway - 2))).to_have_count(1)
    redraws(lab, "the end", lambda: curve.press("End"))
    expect(lab.locator(".course-answer")).to_contain_text("Step 128:")
    lab.evaluate("lab => lab.scrollIntoView()")
    for _ in range(20):  # a frame or two may pass
        if picture.screenshot() == final:
            return
        lab.page.wait_for_timeout(100)
    pytest.fail("the end does not show the final picture")


@pytest.mark.nightly
def test_a_picture_grows_is_stopped_and_saved(open_lab_in, tmp_path):
    lab = open_lab_in("class_visualization", "ClassVisualizationLab")
    start, stop = buttons(lab)
    expect(stop).to_be_disabled()
    unfold(lab)
    field = lab.locator("input[type=text]").first
    field.fill("goldfish")
    field.press("Enter")
    expect(lab.locator(".course-answer")).to_contain_text("a picture of goldfish")

    redraws(lab, "start", start.click)  # the picture grows
    expect(start).to_be_disabled()
    expect(lab).to_contain_text(re.compile(r"\d+ of 128 steps in [\d.]+ s"))
    stop.click()
    expect(lab.locator(".course-answer")).to_contain_text("Stopped after")
    expect(start).to_be_enabled()
    expect(stop).to_be_disabled()
    save_screenshot(lab, "04-stopped")

    file = tmp_path / "fish.png"
    lab.locator(".course-lab-save input").fill(str(file))
    lab.locator(".course-lab-save input").press("Enter")
    lab.get_by_role("button", name="save").click()
    expect(lab.locator(".course-answer")).to_contain_text("Saved")
    assert Image.open(file).size[0] > 100
    assert json.loads(file.with_suffix(".json").read_text())["target"] == 1


@pytest.mark.nightly
def test_pictures_come_ten_times_a_second_and_two_runs_are_compared(open_lab_in):
    lab = open_lab_in("class_visualization", "ClassVisualizationLab")
    lab.evaluate(
        """lab => { window.titles = new Set();
        const watch = () => {
            window.titles.add(lab.querySelector('figcaption').textContent);
            requestAnimationFrame(watch);
        };
        watch(); }"""
    )
    start, _ = buttons(lab)
    start.click()
    lab.page.wait_for_function("() => window.titles.size > 3", timeout=60_000)
    first, shown = lab.page.evaluate("() => [performance.now(), window.titles.size]")
    expect(start).to_be_enabled(timeout=120_000)
    then, all_shown = lab.page.evaluate("() => [performance.now(), window.titles.size]")
    print(f"{1000 * (all_shown - shown) / (then - first):.1f} pictures a second")
    assert all_shown >= 12

    lab.locator("select").first.select_option("pixels")
    curve = run_to_the_end(lab)
    expect(lab.locator("canvas")).to_have_count(3)
    curve.focus()
    before = lab.locator("canvas").nth(1).screenshot()
    redraws(lab, "the first step", lambda: curve.press("Home"))
    assert lab.locator("canvas").nth(1).screenshot() != before
    expect(lab.locator(".course-numbers tr")).to_have_count(3)
    save_screenshot(lab, "04-two-runs")
