"""A learner's own file, uploaded in a real JupyterLab by a real browser."""

import pytest
from in_browser import red_picture, upload
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.installed]

REDRAWN = "([image, old]) => image.src !== old && image.complete && image.naturalWidth"


def test_an_upload_is_shown_and_a_broken_one_keeps_the_picture(run_notebook):
    page = run_notebook("02_vanilla_saliency")
    lab = page.locator(".course-lab")
    picture = lab.locator("img")
    picture.scroll_into_view_if_needed()
    before = picture.get_attribute("src")

    upload(lab, "mine.png", "image/png", red_picture())
    page.wait_for_function(REDRAWN, arg=[picture.element_handle(), before])
    expect(lab.locator(".lab-error")).to_have_count(0)
    chosen = lab.locator("select").first.evaluate("list => list.selectedOptions[0].text")
    assert chosen == "mine.png"

    shown = picture.get_attribute("src")
    upload(lab, "notes.txt", "text/plain", b"these are no pixels")
    for words in ("The picture is unchanged", "notes.txt"):
        expect(lab.locator(".lab-error")).to_contain_text(words)
    assert picture.get_attribute("src") == shown

    lab.locator("select").first.select_option("koala")  # and on it goes
    page.wait_for_function(REDRAWN, arg=[picture.element_handle(), shown])
    expect(lab.locator(".lab-error")).to_have_count(0)
