"""What a hand feels: from a move to its answer, in a real JupyterLab and Chromium.

A script in the page (`touch.js`) moves the pointer and notes when the answer has come; what
the page and the kernel add is in the figures. Beside them stands the floor: a question of a
widget that the kernel answers with nothing.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from harness import Row, main, significant

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

from in_browser import (  # noqa: E402
    CHROMIUM,
    QUIET,
    READY,
    copy_of_course,
    jupyterlab,
    write_notebook,
)

HAND = "canvas.course-touch, div.course-touch"
LAB = "from course_utils.labs.{0} import {1}\n{1}()"
ECHO = """
import anywidget
class Echo(anywidget.AnyWidget):
    _esm = '''export default { render({ model, el }) {
        el.innerHTML = "<div class=course-panels><canvas></canvas></div>";
        window.echo = () => new Promise(done => { const start = performance.now();
            window.answered = () => done(performance.now() - start);
            model.send({}); });
        model.on("msg:custom", () => window.answered()); } }'''
echo = Echo()
echo.on_msg(lambda *message: echo.send({}))
echo"""
CELLS = {
    "echo": ECHO,
    "occlusion": LAB.format("occlusion", "OcclusionLab"),
    "vanilla_saliency": LAB.format("vanilla_saliency", "VanillaSaliencyLab"),
    "batch_maps": LAB.format("batch_maps", "BatchMapsLab"),
    "trust": LAB.format("trust", "TrustLab"),
}
SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8").split("\n", 1)[1]
CLASSES = ["panda", "castle", "goldfish", "espresso", "koala", "bison", "zebra", "bee"]
ACROSS = [[0.2 + 0.08 * n, 0.3 + 0.04 * (n % 5)] for n in range(8)]  # shares of a panel
DOWN = [[0.3, 0.06 + 0.12 * n] for n in range(8)]


def timed(page, what: str, given=None):
    """What a function of `touch.js` gives, called in the page."""
    return page.evaluate(f"([what, given]) => {SCRIPT.strip()}[what](given)", [what, given])


def row(what: str, milliseconds: list[float], goal: int) -> Row:
    """Median and 95th percentile of a list of milliseconds."""
    if not milliseconds:
        return {"what": what, "failed": "no answer came"}
    ordered = sorted(milliseconds)
    high = ordered[min(round(0.95 * len(ordered)), len(ordered) - 1)]
    median = significant(statistics.median(ordered), 2)
    measured = {"median (ms)": median, "95 % within (ms)": significant(high, 2)}
    return {"what": what, **measured, "aim (ms)": goal, "times": len(ordered)}


def measure_in(open_lab, rounds: int) -> list[Row]:
    """The rows, by a function that opens a notebook of one cell in the browser."""
    page = open_lab("echo")
    floor = [page.evaluate("() => window.echo()") for _ in range(rounds)]
    rows = [row("a question that is answered with nothing", floor, "")]
    page = open_lab("occlusion")
    moves = timed(page, "moves", [HAND, ACROSS, rounds])
    rows.append(row("occluder, from move to answer", moves, 60))
    rows.append(row("occluder, from frame to frame", timed(page, "frames", HAND), 17))
    count, seconds = timed(page, "growth")
    times = [seconds / max(count, 1)]
    rows.append(row("529 windows, from picture to picture", times, 200) | {"times": count})
    page = open_lab("vanilla_saliency")
    moves = timed(page, "moves", [HAND, ACROSS, rounds])
    rows.append(row("loupe, from move to answer", moves, 60))
    page = open_lab("batch_maps")
    moves = timed(page, "moves", ["div.course-touch", DOWN, rounds])
    rows.append(row("bars of classes, from move to map", moves, 60))
    classes = CLASSES[: max(rounds // 4, 2)]
    changes = timed(page, "changes", ["input[placeholder^='a word']", classes])
    rows.append(row("another class, from Enter to its map", changes, 120))
    page = open_lab("trust")
    moves = timed(page, "moves", ["[data-key=curves].course-touch", ACROSS, rounds])
    return [*rows, row("deletion curve, from move to picture", moves, 60)]


def measure(quick: bool) -> list[Row]:
    """Open each lab in a notebook of its own, and move the pointer."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        return [{"failed": "no Chromium found"}]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        course = copy_of_course(Path(folder) / "course")
        with jupyterlab(Path(folder), course) as (address, token):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
            page = browser.new_page(viewport={"width": 1366, "height": 768})

            def open_lab(name: str):
                write_notebook((address, token), name, [CELLS[name]])
                page.goto(f"{address}/doc/tree/notebooks/{name}.ipynb?reset&token={token}")
                page.wait_for_function(f"window.jupyterapp && {READY}", timeout=60_000)
                page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
                page.locator(".course-panels canvas").first.wait_for(timeout=60_000)
                page.wait_for_timeout(2000)
                return page

            return measure_in(open_lab, rounds=4 if quick else 40)


if __name__ == "__main__":
    main(measure, __doc__)
