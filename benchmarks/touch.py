"""What a hand feels: from a move to its answer, in a real JupyterLab and Chromium.

A script in the page moves the pointer and notes when the answer has come; what the page and
the kernel add is in the figures. Beside them stands the floor: a bare question to the kernel
that is answered with nothing.
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

# Moves the pointer over a panel `rounds` times; milliseconds from each move to its answer.
MOVES = """async ([selector, places, rounds]) => {
  const face = document.querySelector(selector), stage = face.closest('.course-stage');
  face.scrollIntoView({ block: 'center' });
  const box = face.getBoundingClientRect(), found = [], pause = ms => new Promise(f => setTimeout(f, ms));
  const send = (kind, [u, v]) => {
    const at = { clientX: box.left + u * box.width, clientY: box.top + v * box.height };
    const target = document.elementFromPoint(at.clientX, at.clientY);
    (face.contains(target) ? target : face).dispatchEvent(
      new PointerEvent(kind, { ...at, bubbles: true, pointerId: 1, buttons: 1 }));
  };
  face.setPointerCapture = () => {};
  send('pointerdown', places[0]);
  await pause(1000);
  for (let n = 1; n <= rounds; n++) {
    const start = performance.now();
    const answer = new Promise(done => {
      const watch = new MutationObserver(() => { watch.disconnect(); done(performance.now() - start); });
      watch.observe(stage, { subtree: true, childList: true, characterData: true, attributes: true,
                             attributeFilter: ['style'] });
      setTimeout(() => { watch.disconnect(); done(null); }, 2000);
    });
    send('pointermove', places[n % places.length]);
    found.push(await answer);
    await pause(150);
  }
  send('lostpointercapture', places[0]);
  return found.filter(ms => ms !== null);
}"""
# Moves the pointer at each frame for two seconds; milliseconds between the frames.
FRAMES = """async selector => {
  const face = document.querySelector(selector), box = face.getBoundingClientRect(), found = [];
  let last = await new Promise(requestAnimationFrame);
  for (const end = last + 2000; last < end;) {
    const u = 0.3 + 0.2 * Math.sin(last / 200);
    face.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, buttons: 1, pointerId: 1,
      clientX: box.left + u * box.width, clientY: box.top + 0.4 * box.height }));
    const now = await new Promise(requestAnimationFrame);
    found.push(now - last); last = now;
  }
  return found;
}"""
# Milliseconds from a changed control to the changed scene.
CHANGES = """async ([selector, values]) => {
  const field = document.querySelector(selector), found = [];
  const stage = document.querySelector('.course-stage'), pause = ms => new Promise(f => setTimeout(f, ms));
  for (const value of values) {
    const start = performance.now();
    const answer = new Promise(done => {
      const answer = stage.querySelector('.course-answer');
      const watch = new MutationObserver(() => { watch.disconnect(); done(performance.now() - start); });
      watch.observe(answer, { childList: true, characterData: true, subtree: true });
      setTimeout(() => { watch.disconnect(); done(null); }, 3000);
    });
    field.value = value;
    for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, { bubbles: true }));
    found.push(await answer);
    await pause(300);
  }
  return found.filter(ms => ms !== null);
}"""
# How many pictures of the growing map come each second.
GROWTH = """async () => {
  const lab = document.querySelector('.course-lab'), seen = [];
  const canvas = () => lab.querySelectorAll('canvas')[1], sum = () => {
    const c = canvas()?.getContext('2d', { willReadFrequently: true });
    return c ? c.getImageData(0, 0, c.canvas.width, c.canvas.height).data.reduce((a, b) => a + b, 0) : 0;
  };
  const [start, stop] = ['start', 'stop'].map(word =>
    [...lab.querySelectorAll('button')].find(button => button.innerText.includes(word)));
  start.click();
  const begun = performance.now();
  while (stop.disabled) await new Promise(f => setTimeout(f, 5));
  let last = 0;
  while (!stop.disabled) {
    await new Promise(f => setTimeout(f, 20));
    const now = sum();
    if (now !== last) seen.push(performance.now() - begun);
    last = now;
  }
  return [seen.length, performance.now() - begun];
}"""

LABS = {
    "occlusion": ("from course_utils.labs.occlusion import OcclusionLab\nOcclusionLab()"),
    "vanilla_saliency": (
        "from course_utils.labs.vanilla_saliency import VanillaSaliencyLab\nVanillaSaliencyLab()"
    ),
    "batch_maps": "from course_utils.labs.batch_maps import BatchMapsLab\nBatchMapsLab()",
}
CLASSES = ["panda", "castle", "goldfish", "espresso", "koala", "bison", "zebra", "bee"]


def row(what: str, milliseconds: list[float], goal: str) -> Row:
    """Median and 95th percentile of a list of milliseconds."""
    if not milliseconds:
        return {"what": what, "failed": "no answer came"}
    ordered = sorted(milliseconds)
    high = ordered[min(round(0.95 * len(ordered)), len(ordered) - 1)]
    return {
        "what": what,
        "median (ms)": significant(statistics.median(ordered), 2),
        "95 % within (ms)": significant(high, 2),
        "goal": goal,
        "times": len(ordered),
    }


def measure_in(open_lab, rounds: int) -> list[Row]:
    """The rows, by a function that opens a lab in the browser."""
    places = [[0.2 + 0.08 * n, 0.3 + 0.04 * (n % 5)] for n in range(8)]
    page = open_lab("occlusion")
    face = "canvas.course-touch"
    rows = [row("occluder, from move to answer", page.evaluate(MOVES, [face, places, rounds]), "60")]
    rows.append(row("occluder, from frame to frame", page.evaluate(FRAMES, face), "17"))
    count, milliseconds = page.evaluate(GROWTH)
    rows.append({
        "what": f"pictures a second while 529 windows are measured ({milliseconds:.0f} ms)",
        "median (ms)": significant(1000 * count / milliseconds, 2),
        "goal": "5",
    })  # fmt: skip
    page = open_lab("vanilla_saliency")
    rows.append(row("loupe, from move to answer", page.evaluate(MOVES, [face, places, rounds]), "60"))
    page = open_lab("batch_maps")
    bars = [[0.3, 0.06 + 0.12 * n] for n in range(8)]
    face = "div.course-touch"
    rows.append(row("bars of classes, from move to map", page.evaluate(MOVES, [face, bars, rounds]), "60"))
    field = "input[placeholder^='a word']"
    changes = page.evaluate(CHANGES, [field, CLASSES[: max(rounds // 4, 2)]])
    rows.append(row("another class, from Enter to its map", changes, "120"))
    return rows


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
                write_notebook((address, token), name, [LABS[name]])
                page.goto(f"{address}/doc/tree/notebooks/{name}.ipynb?reset&token={token}")
                page.wait_for_function(f"window.jupyterapp && {READY}", timeout=60_000)
                page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
                page.locator(".course-panels canvas").first.wait_for(timeout=60_000)
                page.wait_for_timeout(2000)
                return page

            return measure_in(open_lab, rounds=4 if quick else 40)


if __name__ == "__main__":
    main(measure, __doc__)
