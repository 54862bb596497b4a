"""What of a lab stays on the page once its kernel is gone: a still picture, and a note.

A lab is displayed as three outputs: the living widget, a note, and the picture. While the
widget lives, its style hides the other two; without a kernel the note's style hides what
JupyterLab writes in the widget's place ("Error displaying widget: model not found").
"""

import base64

import ipywidgets as widgets
from IPython.display import display

from ..figures import lighten

CLOSED = "This lab is closed: run its cell again."

# One output of a cell: in JupyterLab and Notebook 7; VS Code; Colab and older notebooks.
OUTPUT = ":is(.jp-OutputArea-child, .output_container, .display_data, .output_area)"
NOTE = f"{OUTPUT}:has(.course-lab-note)"
LIVING = f"""<style>
{OUTPUT}:has(.course-lab) + {NOTE},
{OUTPUT}:has(.course-lab) + {NOTE} + {OUTPUT} {{ display: none; }}
.course-lab-old :is(img, details) {{ opacity: 0.35; transition: opacity 0.1s 0.2s; }}
</style>"""
# What has no elements inside is a text: that the widget is loaded, or was not found.
STILL = """<style>
.jp-OutputArea-child:has(+ .jp-OutputArea-child .course-lab-note)
> .jp-OutputArea-output:not(:has(*)) { display: none; }
</style><div class="course-lab-note" style="color: gray">A picture of the lab:
run the cell to use it.</div>"""


def style() -> widgets.HTML:
    """The style of a living lab, as a part of it that takes no room."""
    return widgets.HTML(LIVING, layout={"display": "none"})


def display_lab(lab) -> None:
    """Display a lab: the widget, and what stays of it."""
    if not lab.is_open:
        display({"text/plain": CLOSED}, raw=True)
        return
    if hasattr(lab.widget, "_handle_displayed"):  # ipywidgets 7
        lab.widget._handle_displayed()
    words = f"Interactive: {lab.title}. {lab._sentence} {lab.words}"
    view = {"model_id": lab.widget.model_id, "version_major": 2, "version_minor": 0}
    display({"application/vnd.jupyter.widget-view+json": view}, raw=True)
    display({"text/html": STILL}, raw=True)
    still = {"text/plain": words}
    if lab.picture.value:
        still["image/png"] = base64.b64encode(lighten(lab.picture.value)).decode()
    display(still, metadata={"image/png": {"alt": words}}, raw=True)
