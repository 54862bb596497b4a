"""All labs in one notebook, in a real browser: nothing is cut, all can be reached."""

import importlib
import pkgutil
import re

import pytest
from in_browser import save_screenshot, unfold, write_notebook
from playwright.sync_api import Locator, Page, expect

import course_utils.labs
from course_utils.labs.base import Lab
from course_utils.labs.live import LiveLab

pytestmark = [pytest.mark.browser, pytest.mark.installed]

NAME = "all_labs"
# Whose text is longer than the place for it.
CUT = """lab => [...lab.querySelectorAll(
    'figcaption, .course-bar span, .course-bar em, button, th, td, .widget-label')]
  .filter(node => node.clientWidth && !node.closest('.course-strip'))
  .filter(node => node.scrollWidth > node.clientWidth + 1)
  .map(node => node.innerText || node.title)"""
WIDER = "lab => lab.scrollWidth > lab.clientWidth + 1"
SHARP = """lab => [...lab.querySelectorAll('canvas')].every(canvas =>
    Math.abs(canvas.width - canvas.clientWidth * devicePixelRatio) <= 1)"""


def kinds() -> list[type[Lab]]:
    found = set()
    for module in pkgutil.iter_modules(course_utils.labs.__path__):
        loaded = importlib.import_module(f"course_utils.labs.{module.name}")
        for kind in vars(loaded).values():
            if isinstance(kind, type) and issubclass(kind, Lab):
                found.add(kind)
    return sorted(found - {Lab, LiveLab}, key=lambda kind: kind.__module__)


@pytest.fixture
def page(server, run_notebook) -> Page:
    cells = [f"from {k.__module__} import {k.__name__}\n{k.__name__}()" for k in kinds()]
    write_notebook(server, NAME, cells)
    return run_notebook(NAME)


def test_nothing_is_cut_at_the_widths_of_a_laptop_and_of_colab(page):
    labs = page.locator(".course-lab")
    expect(labs).to_have_count(len(kinds()))
    wrong = []
    for width in (1366, 900):
        page.set_viewport_size({"width": width, "height": 900})
        for lab, kind in zip(labs.all(), kinds(), strict=True):
            lab.scroll_into_view_if_needed()
            lab.locator("canvas").first.wait_for()
            page.wait_for_timeout(300)
            save_screenshot(lab, f"{kind.__name__}-{width}")
            where = f"{kind.__name__} at {width}"
            wrong += [f"{where}: {text!r} is cut" for text in lab.evaluate(CUT)]
            wrong += [f"{where} is too wide"] * lab.evaluate(WIDER)
            wrong += [f"{where} is blurred"] * (not lab.evaluate(SHARP))
            if width == 1366:
                unfold(lab)
                cut = [f"{where}: {text!r} is cut" for text in lab.evaluate(CUT)]
                wrong += [words for words in cut if words not in wrong]
                unfold(lab)
    assert not wrong, "\n".join(wrong)


def test_each_lab_can_be_reached_and_read_without_a_pointer(page):
    for lab in page.locator(".course-lab").all():
        for face in lab.locator(".course-touch").all():
            assert face.get_attribute("role") == "application"
            assert face.get_attribute("tabindex") == "0"
            assert len(face.get_attribute("aria-label").split()) >= 5
        expect(lab.locator("[role=status]")).to_have_count(1)
        for picture in lab.locator("canvas:not(.course-touch)").all():
            assert picture.get_attribute("role") == "img"
            assert picture.get_attribute("aria-label")
        names = lab.locator("button").evaluate_all("all => all.map(one => one.innerText)")
        assert all(name.strip() for name in names)
    assert errors_are_said_at_once(page.locator(".course-lab:has(input[list])").first)


def errors_are_said_at_once(lab: Locator) -> bool:
    """By the same node as the answers, so that a screen reader knows it already."""
    line, field = lab.locator(".course-answer"), lab.locator("input[list]").first
    node = line.element_handle()
    for word, manner in (("xyzzy", "assertive"), ("panda", "polite")):
        field.fill(word)
        field.press("Enter")
        expect(line).to_have_attribute("aria-live", manner)
        expect(line).to_have_text(re.compile(word if manner == "assertive" else "."))
    return node.evaluate("node => node.isConnected")
