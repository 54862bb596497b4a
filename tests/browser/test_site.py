"""The website, built and looked at in Chromium: whole, quiet, and alive without a kernel.

No network is used: a request to any other server fails the test. Screenshots lie in
build/screenshots.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from address import ROOT
from in_browser import drag, save_screenshot
from playwright.sync_api import Page, expect

import course_utils

PYTHON = ROOT / ".venv-site" / "bin" / "python"
SITE = ROOT / "build" / "site"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 1000}
WITH_TOY = ["index", "notebooks/00_start_here", "notebooks/06_occlusion"]

pytestmark = [pytest.mark.browser, pytest.mark.installed]


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def site() -> list[Path]:
    """The pages of the site, which is built anew."""
    if not PYTHON.exists():
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("the site's environment is missing: `make site` makes it")
    command = [PYTHON, ROOT / "tools" / "website.py"]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return sorted(SITE.rglob("*.html"))


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    serve = partial(Quiet, directory=SITE)
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def look(browser, address) -> Iterator[Callable[..., Page]]:
    """Open a page; at the end, none may have complained or asked another server."""
    said, contexts = [], []

    def open_it(name: str, size: dict = DESK, theme: str = "light") -> Page:
        phone = {"has_touch": size is PHONE, "is_mobile": size is PHONE}
        contexts.append(browser.new_context(viewport=size, color_scheme=theme, **phone))
        page = contexts[-1].new_page()
        page.on("console", lambda m: m.type == "error" and said.append((name, m.text)))
        page.on("pageerror", lambda error: said.append((name, str(error))))
        page.on("requestfailed", lambda request: said.append((name, request.url)))
        inside = (address, "data:", "blob:")
        page.on(
            "request",
            lambda r: None if r.url.startswith(inside) else said.append((name, r.url)),
        )
        page.goto(f"{address}/{name}.html")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert said == []


# -- all pages -------------------------------------------------------------------------


class Anchors(HTMLParser):
    """A page's links, and the places in it that a link may name."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.places = set(), {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.places |= {named.get("id", ""), named.get("name", "")}
        self.links |= {named[kind] for kind in ("href", "src") if named.get(kind)}


def test_all_internal_links_lead_somewhere(site):
    pages, lost = {path: Anchors(path) for path in site}, []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path.parent / unquote(parts.path) if parts.path else path
            target = target.resolve()
            found = target.is_file()
            if found and target in pages:
                found = unquote(parts.fragment) in pages[target].places
            if not found:
                lost.append(f"{path.relative_to(SITE)}: {link}")
    assert lost == []
    assert len(pages) > 40


SEEN = """() => ({
    wide: document.documentElement.scrollWidth - innerWidth,
    mute: [...document.images].filter(i => !i.alt).map(i => i.src.slice(0, 80)),
    empty: [...document.images].filter(i => i.complete && !i.naturalWidth).length,
    wrong: document.querySelectorAll('mjx-merror, .problematic').length,
    raw: document.body.innerText.match(/=====|[$][$]|{py:|<!-- /)?.[0],
})"""
FORMULAS = """() => !document.querySelector('.math')
    || document.querySelectorAll('mjx-container').length > 0"""


def test_every_page_fits_a_phone_and_has_words_for_its_pictures(site, address, look):
    page, faults = look("index", PHONE), {}
    for path in site:
        name = path.relative_to(SITE).as_posix()
        page.goto(f"{address}/{name}")
        page.wait_for_function(FORMULAS)
        seen = page.evaluate(SEEN)
        if seen["wide"] > 0 or any(seen.get(w) for w in ("mute", "empty", "wrong", "raw")):
            faults[name] = seen
    assert faults == {}


def test_every_public_name_has_its_place(site):
    places = set()
    for path in (SITE / "modules").glob("*.html"):
        places |= {place.rpartition(".")[2] for place in Anchors(path).places}
    things = [n for n in course_utils.__all__ if callable(getattr(course_utils, n))]
    things.remove("check_environment")  # for learners, in lesson 00
    assert set(things) <= places


# -- what it does ----------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", WITH_TOY)
def test_the_toy_answers_a_drag(look, name, theme):
    page = look(name, theme=theme)
    stage = page.locator(".course-stage")
    expect(stage.locator(".course-answer")).to_have_text("The network says: lorikeet.")
    lorikeet = stage.locator(".course-bar em").first
    before = lorikeet.inner_text()
    parrot = (0.15, 0.3)  # as a share of the panel
    drag(stage.locator("canvas.course-touch"), (0.8, 0.9), (0.5, 0.5), parrot)
    expect(lorikeet).not_to_have_text(before)
    expect(stage.locator(".course-answer")).to_have_text(
        "The network says: German shepherd."
    )
    save_screenshot(page, f"site-{Path(name).name}-{theme}")


def test_the_toy_answers_a_finger_and_the_arrow_keys(look):
    page = look("index", PHONE)
    panel = page.locator("canvas.course-touch")
    lorikeet = page.locator(".course-bar em").first
    before = lorikeet.inner_text()
    panel.focus()
    for _ in range(12):
        panel.press("ArrowUp")
    expect(lorikeet).not_to_have_text(before)
    box = panel.bounding_box()
    assert box["width"] > 300, "one panel below the other"
    page.touchscreen.tap(box["x"] + 0.15 * box["width"], box["y"] + 0.3 * box["height"])
    answer = page.locator(".course-answer")
    expect(answer).to_have_text("The network says: German shepherd.")


def test_a_prediction_is_one_click(look):
    page = look("notebooks/06_occlusion")
    output = page.locator(".tag_prediction details.below-input").first
    reading = page.locator("details.reading").first
    expect(output.locator("img").first).to_be_hidden()
    expect(reading.locator("p").first).to_be_hidden()
    output.locator("summary").first.click()
    expect(output.locator("img").first).to_be_visible()
    expect(reading.locator("p").first).to_be_visible()
    assert page.locator("details.reading[open]").count() == 1, "the others stay folded"


def test_a_quiz_holds_one_answer_and_says_whether_it_is_right(look):
    page = look("notebooks/06_occlusion")
    wrong = page.locator("details.option.is-wrong[name=quiz-1]").first
    right = page.locator("details.option.is-right[name=quiz-1]")
    before = right.locator("summary").evaluate("e => getComputedStyle(e).color")
    wrong.locator("summary").click()
    expect(wrong).to_have_attribute("open", "")
    right.locator("summary").click()
    expect(right).to_have_attribute("open", "")
    expect(wrong).not_to_have_attribute("open", "")
    after = right.locator("summary").evaluate("e => getComputedStyle(e).color")
    assert after != before


def test_the_search_finds_a_term_of_the_glossary(look):
    page = look("search")
    page.goto(f"{page.url}?q=jitter")
    found = page.locator("#search-results a")
    expect(found.filter(has_text="Glossary").first).to_be_visible(timeout=20_000)


def test_the_three_doors_open(look):
    for title, words in [
        ("Learn", "00 · Start here"),
        ("Teach", "Teaching with this course"),
        ("Use the package", "Use the package"),
    ]:
        page = look("index")
        door = page.locator(".doors .sd-card").filter(has_text=title).first
        door.click()
        expect(page.locator("h1").first).to_contain_text(words)


def test_the_theme_can_be_changed(look):
    page = look("docs/glossary")
    html = page.locator("html")
    expect(html).to_have_attribute("data-theme", "light")
    button = page.locator("button.theme-switch-button").locator("visible=true").first
    for _ in range(3):
        if html.get_attribute("data-theme") == "light":
            button.click()
    expect(html).to_have_attribute("data-theme", "dark")
    assert (
        page.evaluate("getComputedStyle(document.body).backgroundColor")
        != "rgb(255, 255, 255)"
    )
