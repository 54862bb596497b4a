"""Toys and labs outside JupyterLab: a bare page, Notebook 7, Voilà, and ipywidgets 7."""

import sys

import pytest
from address import ROOT
from in_browser import (
    copy_of_course,
    drag,
    free_port,
    jupyterlab,
    picture_of,
    redraws,
    running,
    save_screenshot,
    write_notebook,
)
from playwright.sync_api import expect

from course_utils.labs.toys import hide_and_see

COLAB = ROOT / ".venv-colab" / "bin" / "python"
LAB = "from course_utils.labs.occlusion import OcclusionLab\nOcclusionLab()"
BARS = "from course_utils.labs.batch_maps import BatchMapsLab\nBatchMapsLab()"
TOY = "from course_utils.labs.toys import hide_and_see\nhide_and_see()"
DOG = (0.72, 0.28)  # its head, as shares of the picture
PARROT = (0.18, 0.25)
LIGHT = "() => getComputedStyle(document.body).color"

pytestmark = [pytest.mark.browser, pytest.mark.installed]


@pytest.fixture
def page(browser):
    """A page without anything on it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture
def course(tmp_path):
    """A copy of the course, and a folder for a server's own files."""
    return copy_of_course(tmp_path / "course")


def plays(page, name: str) -> None:
    """The toy's square is dragged to the dog and to the parrot, and moved by keys."""
    toy = page.locator(".course-page").first
    photo, said = toy.locator("canvas.course-touch"), toy.locator(".course-answer")
    redraws(toy, "over the dog", lambda: drag(photo, (0.9, 0.9), DOG))
    expect(said).to_contain_text("lorikeet")
    expect(toy).to_contain_text("99 %")
    redraws(toy, "over the parrot", lambda: drag(photo, DOG, PARROT))
    expect(said).to_contain_text("German shepherd")
    redraws(toy, "a key", lambda: [photo.press("ArrowRight") for _ in range(12)])
    save_screenshot(page, name)


def hides(lab, name: str) -> None:
    """The window of lesson 06's lab is dragged over parrot and dog; the kernel answers."""
    photo, said = lab.locator("canvas.course-touch"), lab.locator(".course-answer")
    picture_of(lab)
    redraws(lab, "over the parrot", lambda: drag(photo, (0.5, 0.5), PARROT))
    expect(said).to_contain_text("top class German shepherd")
    redraws(lab, "over the dog", lambda: drag(photo, PARROT, DOG))
    expect(said).to_contain_text("top class lorikeet")
    save_screenshot(lab, name)


def points(lab) -> None:
    """A class of lesson 03's lab is pointed at, and the next one chosen by a key."""
    title, bars = lab.locator("figcaption").first, lab.locator("div.course-touch")
    redraws(lab, "a bar", lab.get_by_text("German shepherd", exact=True).first.hover)
    expect(title).to_have_text("German shepherd")
    redraws(lab, "a key", lambda: bars.press("ArrowDown"))
    expect(title).to_have_text("malinois")


# -- a page without a kernel ---------------------------------------------------------------


@pytest.fixture(scope="module")
def html():
    toy = hide_and_see()
    toy.measure()
    return toy.html


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_toy_lives_on_a_bare_page_even_twice(html, page, tmp_path, scheme):
    look = f"<!doctype html><meta charset='utf-8'><style>:root {{ color-scheme: {scheme} }}"
    place = tmp_path / "page.html"
    place.write_text(f"{look}</style><h1>Toys</h1>{html}<hr>{html}", encoding="utf-8")
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.context.set_offline(True)
    page.goto(place.as_uri())
    expect(page.locator(".course-stage")).to_have_count(2)
    expect(page.locator("img")).to_have_count(0)
    expect(page.locator(".course-answer").first).to_have_css("color", page.evaluate(LIGHT))
    before = page.locator(".course-stage").last.locator(".course-bar").all_inner_texts()
    plays(page, f"page-{scheme}")
    after = page.locator(".course-stage").last.locator(".course-bar").all_inner_texts()
    assert after == before, "the other toy is another one"
    assert errors == []


def test_a_finger_drags_the_square_and_not_the_page(html, browser, tmp_path):
    place = tmp_path / "page.html"
    tall = "<div style='height: 3000px'></div>"
    place.write_text(f"<!doctype html><meta charset='utf-8'>{html}{tall}", encoding="utf-8")
    context = browser.new_context(viewport={"width": 1000, "height": 700}, has_touch=True)
    page = context.new_page()
    page.goto(place.as_uri())
    toy = page.locator(".course-page")
    photo, said = toy.locator("canvas.course-touch"), toy.locator(".course-answer")
    picture_of(toy)
    box, finger = photo.bounding_box(), context.new_cdp_session(page)

    def touch(kind: str, *place: float) -> None:
        u, v = place or (0, 0)
        spot = {"x": box["x"] + u * box["width"], "y": box["y"] + v * box["height"]}
        points = [spot] if place else []
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.9, 0.9)
    for step in range(1, 9):
        touch("touchMove", *((1 - step / 8) * 0.9 + step / 8 * end for end in DOG))
    touch("touchEnd")
    expect(said).to_contain_text("lorikeet")
    assert page.evaluate("scrollY") == 0
    context.close()


def test_without_scripts_there_is_a_still_picture(html, browser, tmp_path):
    place = tmp_path / "page.html"
    place.write_text(f"<!doctype html><meta charset='utf-8'>{html}", encoding="utf-8")
    page = browser.new_page(java_script_enabled=False)
    page.goto(place.as_uri())
    expect(page.locator("img")).to_be_visible()
    page.close()


def test_a_saved_toy_is_still_until_its_notebook_is_trusted(server, run_notebook):
    write_notebook(server, "toy", [TOY])
    page = run_notebook("toy")
    plays(page, "toy-ran")
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")
    page.reload()  # what this JupyterLab itself has run, it trusts
    plays(page, "toy-reopened")


# -- with a kernel, elsewhere --------------------------------------------------------------


@pytest.mark.nightly
def test_notebook_7(course, page, tmp_path):
    with jupyterlab(tmp_path / "home", course, app="notebook") as server:
        write_notebook(server, "elsewhere", [TOY, LAB, BARS])
        address, token = server
        page.goto(f"{address}/notebooks/notebooks/elsewhere.ipynb?token={token}")
        page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady"
        )
        page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
        plays(page, "notebook-7-toy")
        hides(page.locator(".course-lab").first, "notebook-7")
        points(page.locator(".course-lab").last)


@pytest.mark.nightly
def test_voila(course, page, tmp_path):
    port, home = free_port(), tmp_path / "home"
    home.mkdir()
    address = f"http://127.0.0.1:{port}"
    with jupyterlab(tmp_path / "writer", course) as server:
        write_notebook(server, "elsewhere", [LAB])
    command = [sys.executable, "-m", "voila", "--no-browser", f"--port={port}"]
    command += ["--Voila.ip=127.0.0.1", str(course / "notebooks" / "elsewhere.ipynb")]
    with running(command, home, f"{address}/voila/static/voila.js"):
        page.goto(address)
        hides(page.locator(".course-lab"), "voila")


@pytest.mark.nightly
def test_ipywidgets_7(course, page, tmp_path, monkeypatch):
    """Kernel and front end of Colab's ipywidgets, in this JupyterLab."""
    assert COLAB.exists(), "make .venv-colab/ready"
    monkeypatch.setenv("JUPYTERLAB_DIR", f"{sys.prefix}/share/jupyter/lab")
    with jupyterlab(tmp_path / "home", course, python=str(COLAB)) as server:
        write_notebook(
            server, "elsewhere", ["import ipywidgets\nipywidgets.__version__", LAB]
        )
        address, token = server
        page.goto(f"{address}/doc/tree/notebooks/elsewhere.ipynb?reset&token={token}")
        page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady"
        )
        page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
        expect(page.locator(".jp-OutputArea-output").first).to_contain_text("7.7.1")
        hides(page.locator(".course-lab"), "ipywidgets-7")
