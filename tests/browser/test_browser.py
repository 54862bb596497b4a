"""Lessons in a real JupyterLab and a real browser: they run, and their labs answer.

JupyterLab serves a copy of the course; Chromium, driven by Playwright, opens the lessons
and turns every control of a lab. No network is used. Screenshots lie in build/screenshots.
"""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from in_browser import answer_of, picture_of, redraws, save_screenshot, unfold
from lessons import NOTEBOOKS, lesson_paths, read_lesson
from playwright.sync_api import Locator, expect

NAMES = [path.relative_to(NOTEBOOKS).with_suffix("").as_posix() for path in lesson_paths()]
WITH_LAB = [name for name in NAMES if not name.startswith(("00", "deeper"))]
LABEL = "element => element.closest('.jupyter-widgets')?.innerText.split('\\n')[0]"

IN_EVERY_RUN = ("00_start_here", "02_vanilla_saliency", "06_occlusion")

OFF = "element => !!element.closest('[disabled]')"  # a slider's handle says nothing

pytestmark = [pytest.mark.browser, pytest.mark.installed]


def each(names: list[str]) -> list:
    """As parameters; most wait for `make test-all`."""
    nightly = {name: [pytest.mark.nightly] for name in names if name not in IN_EVERY_RUN}
    return [pytest.param(name, marks=nightly.get(name, [])) for name in names]


def choose_another(select: Locator) -> None:
    """Choose the option after the chosen one."""
    count = select.locator("option").count()
    chosen = select.evaluate("element => element.selectedIndex")
    select.select_option(index=(chosen + 1) % count)


def name_panda(field: Locator) -> None:
    """Type a word, and press Enter: nothing is chosen before."""
    lab = field.locator("xpath=ancestor::*[contains(@class, 'course-lab')]")
    said = answer_of(lab)
    field.fill("panda")
    assert answer_of(lab) == said
    field.press("Enter")


def push(handle: Locator) -> None:
    """Move a slider's handle by a step: up, or down where it is at the end."""
    at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
    handle.focus()
    handle.press("ArrowLeft" if at_end else "ArrowRight")


def controls(lab: Locator) -> Iterator[tuple[str, Locator, Callable[[], None]]]:
    """Each visible control of a lab: what it is called, and a way to change it."""
    kinds = {
        "input[type=text]:not(.course-lab-save input)": name_panda,
        ".course-strip label:nth-of-type(4)": Locator.click,
        "select": choose_another,
        ".noUi-handle": push,
        "input[type=checkbox]": Locator.click,
    }
    for kind, change in kinds.items():
        for control in lab.locator(kind).all():
            if control.is_visible() and control.is_enabled():
                label = control.evaluate(LABEL)
                yield f"{kind} {label}", control, partial(change, control)


# -- tests -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", each(NAMES))
def test_saved_lesson_shows_all_its_pictures(open_notebook, name):
    """Before anything runs, the still picture of a lab among them."""
    saved = [
        cell.get("outputs", []) for cell in read_lesson(NOTEBOOKS / f"{name}.ipynb").cells
    ]
    count = sum(
        any(kind.startswith("image/") for kind in output.get("data", {}))
        or "<img" in output.get("data", {}).get("text/html", "")
        for outputs in saved
        for output in outputs
    )
    page = open_notebook(name)
    expect(page.locator(".jp-OutputArea-output img")).to_have_count(count)
    save_screenshot(page, name)


FIGURES = """() => [...document.querySelectorAll('.jp-RenderedHTML img')].map(image => ({
    alt: image.alt, shown: image.naturalWidth / image.clientWidth, words:
        image.closest('.jp-RenderedHTML').querySelector('details div')?.textContent }))"""


@pytest.mark.parametrize("name", ["00_start_here", "02_vanilla_saliency"])
def test_figures_are_sharp_and_have_a_sentence(open_notebook, name):
    """As saved, before the notebook is trusted and before anything runs."""
    figures = open_notebook(name).evaluate(FIGURES)
    assert figures
    for figure in figures:
        assert 20 < len(figure["alt"]) <= 250
        assert figure["words"]
        assert figure["alt"] != figure["words"]
        assert figure["shown"] >= 1.9, "two pixels of the picture to one of the page"


def test_the_course_opens_with_a_picture(open_notebook):
    pictures = open_notebook("00_start_here").locator(".jp-MarkdownOutput img")
    picture = pictures.and_(pictures.page.locator("img:not([alt='Open in Colab'])")).first
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 1000
    assert picture.bounding_box()["y"] < 250, "before any code"
    assert picture.get_attribute("alt")


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("00")])
def test_first_lesson_runs_and_shows_a_figure(run_notebook, name):
    page = run_notebook(name)
    figure = page.locator(".jp-OutputArea-output img").first
    figure.scroll_into_view_if_needed()
    assert figure.evaluate("image => image.naturalWidth") > 100
    save_screenshot(page, f"{name}-ran")


@pytest.mark.parametrize("name", each(WITH_LAB))
def test_lab_answers(run_notebook, name):
    page = run_notebook(name)
    lab = page.locator(".course-lab")
    assert picture_of(lab).bounding_box()["width"] > 600
    save_screenshot(lab, f"{name}-lab")
    unfold(lab)
    start = lab.locator("button.mod-primary")
    if lab.get_by_role("button", name="stop").count():
        starts_and_stops(lab, start)
    elif start.count():  # until it is asked, the picture stays
        redraws(lab, "ask", start.click)
    else:
        every_control_redraws(lab)
    save_screenshot(lab, f"{name}-lab-touched")


def every_control_redraws(lab: Locator) -> None:
    found = list(controls(lab))
    assert found, "a lab has a control"
    for what, control, change in found:
        if control.is_enabled() and not control.evaluate(OFF):  # by another choice, perhaps
            redraws(lab, what, change)


def starts_and_stops(lab: Locator, start: Locator) -> None:
    """A lab that computes for long draws as it goes on, and ends when it is told to."""
    redraws(lab, "start", start.click)
    redraws(lab, "the next picture under way", lambda: None)
    lab.get_by_role("button", name="stop").click()
    expect(start).to_be_enabled()
    expect(lab.locator(".is-failed")).to_have_count(0)
