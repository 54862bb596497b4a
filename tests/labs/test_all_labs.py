"""What holds for every lab: no list goes blank, none leaks, none changes the process."""

import gc
import importlib
import random
import signal
import subprocess
import sys
import threading
import warnings
import weakref

import ipywidgets as widgets
import matplotlib as mpl
import numpy as np
import pytest
import torch
from address import ROOT

from course_utils.figures.display import to_webp
from course_utils.labs import base
from course_utils.labs.base import Lab
from course_utils.labs.controls import ClassPicker
from course_utils.labs.live import LiveLab
from course_utils.labs.still import draw_scene
from course_utils.labs.touch import Scene

MODULES = sorted(path.stem for path in (ROOT / "course_utils" / "labs").glob("*.py"))
FOUND = {
    kind
    for module in MODULES
    for kind in vars(importlib.import_module(f"course_utils.labs.{module}")).values()
    if isinstance(kind, type) and issubclass(kind, Lab)
}
LABS = sorted(FOUND - {Lab, LiveLab}, key=lambda kind: kind.__name__)
WITHOUT_PICTURES = ("ClassVisualizationLab", "ShortcutLab", "SuspectsLab")
WITH_PICTURES = [kind for kind in LABS if kind.__name__ not in WITHOUT_PICTURES]


@pytest.fixture(params=LABS, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


def test_there_is_one_for_each_lesson_that_has_one():
    assert len(LABS) == 12


# -- lists that go blank ------------------------------------------------------------------


def dropdowns(lab):
    parts = base._parts(lab.widget)
    return [part for part in parts if isinstance(part, widgets.Dropdown)]


def assert_none_is_blank(lab, after):
    assert not lab.failed or "could not be loaded" in lab.said  # offline
    for one in dropdowns(lab):
        assert one.index is not None, f"the list {one.description!r} is blank after {after}"
        assert None not in [value for _, value in one._options_full], one.description


def test_no_list_goes_blank_whatever_is_chosen(kind, monkeypatch):
    monkeypatch.setattr(kind, "draw", lambda *a, **k: Scene([], "drawn"))
    lab = kind()
    assert_none_is_blank(lab, "opening")
    dice = random.Random(0)
    for picker in (c for c in lab.controls.values() if isinstance(c, ClassPicker)):
        for word in ("dog", "panda", ""):
            picker.field.value = word
            assert_none_is_blank(lab, f"the word {word!r}")
    for step in range(60 if dropdowns(lab) else 0):
        lists = dropdowns(lab)
        # Those of lessons 05 and 10 that change the others, again and again.
        fed = [one for one in lists if one.description in ("explained", "network")]
        one = dice.choice(fed if fed and step % 2 else lists)
        one.index = dice.randrange(len(one.options))
        assert_none_is_blank(lab, f"{one.description} = {one.label}")


# -- what is left of labs that are opened again -------------------------------------------


def test_one_predecessor_at_most_lives(kind):
    made = []
    for _ in range(4):
        made.append(weakref.ref(kind()))
    gc.collect()
    living = [lab() is not None and lab().is_open for lab in made]
    assert living == [False, False, True, True]


GROWTH = """
import gc, importlib, sys
from types import SimpleNamespace
from course_utils.labs import base
module, name, cells = sys.argv[1:]
kind, sizes = getattr(importlib.import_module(module), name), []
for run in range(13):
    parent = {"header": {"msg_id": str(run)}, "metadata": {}}
    if cells == "named":
        parent["metadata"]["cellId"] = "one"
    kernel = SimpleNamespace(get_parent=lambda: parent)
    base.get_ipython = lambda: SimpleNamespace(kernel=kernel)
    kind()
    gc.collect()
    with open("/proc/self/statm") as file:
        sizes.append(int(file.read().split()[1]) * 4096 / 1e6)
# The first ones fill caches, and at times it holds 40 MB more for a while.
print((min(sizes[10:]) - min(sizes[4:7])) / 6)
"""


@pytest.mark.nightly
@pytest.mark.installed
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("cells", ["named", "unnamed"])
def test_opened_again_it_leaves_less_than_four_megabytes(kind, cells):
    command = [sys.executable, "-c", GROWTH, kind.__module__, kind.__name__, cells]
    grown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert float(grown.stdout) < 4


# -- the process --------------------------------------------------------------------------


def process_state():
    """What a lab might change for everything else in the kernel."""
    return {
        "gc": (gc.isenabled(), gc.get_freeze_count(), gc.get_threshold()),
        "matplotlib": (dict(mpl.rcParams), mpl.get_backend()),
        "warnings": ([*warnings.filters], warnings.showwarning),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "torch": (torch.get_num_threads(), torch.get_default_dtype()),
        "torch's dice": torch.get_rng_state().tolist(),
        "dice": (random.getstate(), np.random.get_state()[1].tolist()),
        "signals": signal.getsignal(signal.SIGINT),
        "hooks": (sys.excepthook, threading.excepthook, sys.stdout, sys.stderr),
        "threads": threading.active_count(),
    }


def test_it_leaves_the_process_as_it_was(kind):
    kind().close()  # what is loaded once for all labs
    before = process_state()
    lab = kind()
    if isinstance(lab, LiveLab):
        assert lab.start()
        lab.stop()
        assert lab.wait()
    lab.close()
    after = process_state()
    assert [name for name in before if before[name] != after[name]] == []


# -- the class finder ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", WITH_PICTURES, ids=lambda kind: kind.__name__)
def test_the_class_finder_begins_with_what_is_likely_on_the_picture(kind, monkeypatch):
    lab = kind()
    photo = lab.controls.get("photo", lab.controls.get("picture"))
    monkeypatch.setattr(kind, "draw", lambda *a, **k: Scene([], "drawn"))
    finder = lab.controls["target"]
    getattr(photo, "choice", photo).value = "tabby_cat_chelsea"
    tabbies = 281, 282, 285  # a tabby, a tiger cat, an Egyptian cat
    first = [option for option in finder.field.options if option.endswith(")")][0]
    assert int(first.split("(")[-1][:-1]) in tabbies
    finder.field.value = "cat"
    assert (chosen := finder.value) in tabbies
    getattr(photo, "choice", photo).value = "golden_retriever"
    assert finder.value == chosen
    assert not lab.failed, lab.said


# -- what a lab says and shows -------------------------------------------------------------


def test_it_answers_in_twelve_words_at_most(kind):
    lab = kind()
    assert not lab.failed
    assert 3 <= len(lab.touch.answer.split()) <= 12, lab.touch.answer


def test_three_to_five_controls_are_primary(kind):
    primary = kind.primary
    assert primary is not None
    assert 3 <= len(primary) <= 5


def test_each_panel_that_can_be_touched_says_how(kind):
    lab = kind()
    touched = [panel for panel in lab.scene.panels if panel.tool]
    for panel in touched:
        assert len(panel.label.split()) >= 5, panel
        assert panel.hand is not None
    if not isinstance(lab, LiveLab):
        assert touched


def test_what_it_shows_can_be_kept_as_a_picture(kind):
    figure = draw_scene(kind().scene)
    assert len(to_webp(figure)) < 200_000
