"""Record `docs/drag.webp`: a hand drags the grey square over parrot and dog.

    python tools/record_hero.py

The frames are the toy of lesson 00 itself, in Chromium; only the hand is drawn.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from address import ROOT
from PIL import Image, ImageDraw
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(ROOT))
from course_utils.labs.toys import hide_and_see  # noqa: E402

TARGET = ROOT / "docs" / "drag.webp"
WIDTH, PAUSE = 880, 80  # pixels of the page; milliseconds between two frames
# Where the hand goes, as shares of the photograph, and how many frames it takes.
WAY = [((0.86, 0.88), 6), ((0.72, 0.27), 12), ((0.72, 0.27), 8), ((0.86, 0.5), 7)]
WAY += [((0.3, 0.62), 10), ((0.16, 0.3), 9), ((0.16, 0.3), 9), ((0.38, 0.4), 7)]
WAY += [((0.86, 0.88), 10)]
HAND = [(0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12)]  # an arrow
PAGE = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 0; width: {}px }}
details {{ display: none }} .course-touch:focus {{ outline: none !important }}</style>{}"""


def way() -> list[tuple[float, float]]:
    """The hand's place in each frame: it starts and stops softly."""
    places, (u, v) = [], WAY[0][0]
    for (x, y), count in WAY:
        for step in range(1, count + 1):
            soft = (step / count) ** 2 * (3 - 2 * step / count)
            places.append((u + soft * (x - u), v + soft * (y - v)))
        u, v = x, y
    return places


def frames(page: Page) -> list[Image.Image]:
    """Pictures of the toy while the hand drags its square."""
    toy, taken = page.locator(".course-stage"), []
    box, home = page.locator("canvas.course-touch").bounding_box(), toy.bounding_box()
    for number, (u, v) in enumerate(way()):
        x, y = box["x"] + u * box["width"], box["y"] + v * box["height"]
        page.mouse.move(x, y)
        if number == 0:
            page.mouse.down()
        page.wait_for_timeout(140)  # the bars have swung
        frame = Image.open(io.BytesIO(toy.screenshot())).convert("RGB")
        corners = [(x - home["x"] + a, y - home["y"] + b) for a, b in HAND]
        ImageDraw.Draw(frame).polygon(corners, "white", "black", 2)
        taken.append(frame)
    return taken


def main() -> None:
    """Measure, drag, and write the file."""
    toy = hide_and_see()
    toy.measure()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        place = Path(folder) / "toy.html"
        place.write_text(PAGE.format(WIDTH, toy.html), encoding="utf-8")
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 600})
        page.goto(place.as_uri())
        page.wait_for_selector("canvas.course-touch")
        page.wait_for_timeout(500)
        first, *others = frames(page)
        browser.close()
    look = {"duration": PAUSE, "loop": 0, "quality": 70, "method": 6, "minimize_size": True}
    first.save(TARGET, "WEBP", save_all=True, append_images=others, **look)
    print(f"{TARGET.name}: {1 + len(others)} frames, {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
