"""Lesson 03's lab in a real browser: bars that are pointed at, and a rectangle."""

import pytest
from in_browser import answer_of, drag, redraws, save_screenshot
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def test_a_class_is_pointed_at_and_a_rectangle_dragged(open_lab_in):
    lab = open_lab_in("batch_maps", "BatchMapsLab")
    bars, photo = lab.locator("div.course-touch"), lab.locator("canvas.course-touch")
    title = lab.locator("figcaption").first
    rows = [panel.locator(".course-bar").all() for panel in lab.locator("figure").all()]
    classes, inside = ([bar.bounding_box()["y"] for bar in r] for r in rows if r)
    assert inside == pytest.approx(classes, abs=1), "each share beside its class"
    redraws(lab, "a bar", lab.get_by_text("German shepherd", exact=True).first.hover)
    expect(title).to_have_text("German shepherd")
    redraws(lab, "the next bar, by a key", lambda: bars.press("ArrowDown"))
    expect(title).to_have_text("malinois")
    redraws(lab, "back", lambda: bars.press("Home"))
    expect(title).to_have_text("lorikeet")

    said = answer_of(lab)
    redraws(lab, "the rectangle", lambda: drag(photo, (0.7, 0.5), (0.3, 0.5)))
    expect(lab.locator(".course-answer")).to_contain_text("of its map in the rectangle")
    assert answer_of(lab) != said
    redraws(lab, "a key", lambda: [photo.press("ArrowUp") for _ in range(3)])
    redraws(lab, "its corner", lambda: photo.press("Shift+ArrowRight"))
    save_screenshot(lab, "03-pointed")


@pytest.mark.nightly
def test_a_class_is_found_on_enter_alone(open_lab_in):
    lab = open_lab_in("batch_maps", "BatchMapsLab")
    field, said = lab.get_by_placeholder("a word, such as cat"), answer_of(lab)
    field.fill("pan")
    lab.page.wait_for_timeout(500)
    assert answer_of(lab) == said
    redraws(lab, "another class", lambda: (field.fill("giant panda"), field.press("Enter")))
    expect(lab.locator("figcaption").nth(-1)).not_to_be_empty()
    expect(lab).to_contain_text("other class: giant panda")
    field.fill("unicornfish")
    field.press("Enter")
    expect(lab.locator(".is-failed")).to_have_count(1)
    expect(lab.locator(".course-answer")).to_contain_text("unicornfish")
