"""The base of the labs: a control redraws, no error is lost, and nothing leaks."""

import gc
import io
import re
import warnings
import weakref
from types import SimpleNamespace

import ipywidgets as widgets
import pytest
from matplotlib.figure import Figure
from PIL import Image

from course_utils.labs import base
from course_utils.labs.base import Lab
from course_utils.labs.controls import PicturePicker


class Toy(Lab):
    """Draws a bar of the number, unless the number is out of order."""

    title = "A toy"

    def __init__(self):
        self.drawn = []
        super().__init__(number=widgets.IntSlider(2, 0, 9), word=widgets.Text("a < b"))

    def draw(self, number, word):
        self.drawn.append((number, word))
        if number == 7:
            raise ValueError("number is <b>seven</b> & all")
        if number == 8:
            warnings.warn("eight is <large>", stacklevel=2)
            warnings.warn("old", DeprecationWarning, stacklevel=2)
        figure = Figure(figsize=(2, 2))
        figure.subplots().bar([0], [number])
        return figure, f"{word}: {number}"


def test_a_lab_draws_when_it_is_made():
    toy = Toy()
    assert toy.drawn == [(2, "a < b")]
    assert Image.open(io.BytesIO(toy.picture.value)).format == "PNG"
    assert "a &lt; b: 2" in toy.status.value
    assert toy.words == "1 panel: 1 bars: 2"
    assert not toy.failed


def test_setting_a_control_redraws():
    toy = Toy()
    before = toy.picture.value
    toy.controls["number"].value = 5
    assert toy.drawn[1:] == [(5, "a < b")]
    assert toy.picture.value != before
    assert "5" in toy.status.value
    assert "1 bars: 5" in toy.alternative.value
    toy.controls["word"].value = "now"
    assert "now: 5" in toy.status.value


def test_an_error_is_shown_and_the_last_picture_stays():
    toy = Toy()
    before = toy.picture.value
    toy.controls["number"].value = 7
    assert toy.failed
    assert "lab-error" in toy.status.value
    assert "number is &lt;b&gt;seven&lt;/b&gt; &amp; all" in toy.status.value
    assert toy.picture.value == before


def test_a_lab_recovers_from_an_error():
    toy = Toy()
    toy.controls["number"].value = 7
    toy.controls["number"].value = 3
    assert not toy.failed
    assert "lab-error" not in toy.status.value
    assert ": 3" in toy.status.value


def test_a_warning_is_shown_once_and_only_where_it_concerns_the_learner():
    toy = Toy()
    toy.controls["number"].value = 8
    assert "eight is &lt;large&gt;" in toy.status.value
    assert "old" not in toy.status.value
    toy.controls["number"].value = 4
    assert "large" not in toy.status.value


def test_the_status_line_is_announced_to_a_screen_reader():
    assert re.search("role='status' aria-live='polite'", Toy().status.value)


def test_an_interrupt_is_not_swallowed():
    class Interrupted(Lab):
        def draw(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted()


def test_a_lab_is_shown_as_widget_picture_and_text(monkeypatch):
    shown = []
    monkeypatch.setattr(base, "display", lambda *a, **k: shown.append((a, k)))
    toy = Toy()
    toy._ipython_display_()
    ((bundle,), options) = shown[-1]
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == toy.widget.model_id
    assert bundle["text/plain"] == "Interactive: A toy. a < b: 2 1 panel: 1 bars: 2"
    assert options["metadata"]["image/png"]["alt"] == bundle["text/plain"]
    assert bundle["image/png"]


def test_a_refused_upload_is_shown(upload):
    class Picturing(Lab):
        def draw(self, photo):
            return Figure(figsize=(1, 1)), photo

    lab = Picturing(photo=PicturePicker({"red": Image.new("RGB", (2, 2))}))
    upload(lab, "notes.txt", b"these are no pixels")
    assert lab.failed
    assert "The picture is unchanged." in lab.status.value
    assert "notes.txt" in lab.status.value
    lab.refresh()
    assert not lab.failed


# -- freeing what a lab holds ----------------------------------------------------------


def open_widgets():
    """How many widgets ipywidgets keeps (version 7 or 8)."""
    module = widgets.widget if hasattr(widgets.widget, "_instances") else widgets.Widget
    return len(getattr(module, "_instances", None) or module.widgets)


def test_a_closed_lab_leaves_nothing_behind():
    before = open_widgets()
    toy = Toy()
    toy.add_row(widgets.Button())
    held = weakref.ref(toy.picture)
    assert open_widgets() > before
    toy.close()
    toy.close()  # a second time does nothing
    assert open_widgets() == before
    gc.collect()
    assert held() is None


@pytest.fixture
def run_cell(monkeypatch):
    """Say that a cell runs, as JupyterLab tells it to the kernel."""
    runs = iter(range(99))

    def run(cell):
        metadata = {} if cell is None else {"cellId": cell}
        parent = {"header": {"msg_id": str(next(runs))}, "metadata": metadata}
        kernel = SimpleNamespace(get_parent=lambda: parent)
        shell = SimpleNamespace(kernel=kernel)
        monkeypatch.setattr(base, "get_ipython", lambda: shell)

    monkeypatch.setattr(base, "_made", {})
    return run


def test_a_cell_that_runs_again_closes_the_labs_of_its_last_run(run_cell):
    run_cell("a")
    first, second = Toy(), Toy()
    run_cell("b")
    other = Toy()
    assert first.is_open
    run_cell("a")
    again = Toy()
    assert [lab.is_open for lab in (first, second, other, again)] == [0, 0, 1, 1]


def test_where_the_notebook_names_no_cell_nothing_is_closed(run_cell):
    run_cell(None)
    first = Toy()
    run_cell(None)
    Toy()
    assert first.is_open
