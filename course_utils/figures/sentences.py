"""What a figure shows, in a sentence or two for people: its `alt` on the page.

Built of titles and of the kinds of the panels, without numbers that differ between
processors; `describe` tells the data.
"""

import textwrap
from collections.abc import Sequence
from itertools import groupby

from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from .words import SIGNED, title_of

LONGEST = 240  # letters: what a screen reader reads in one breath
COUNTS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
COUNTS += ["ten", "eleven", "twelve"]


def sentence(figure: Figure) -> str:
    """A readable sentence on a figure: its own if it has one, else made of its panels.

    Example:
        >>> sentence(plot_table(np.eye(2), titles=["a", "b"]))
        'A table of 2 × 2 numbers: a, b.'
    """
    if figure.get_label():
        return shorten(figure.get_label())
    axes = [axis for axis in figure.axes if not getattr(axis, "_colorbar", None)]
    parts = [figure.get_suptitle()] if figure.get_suptitle() else []
    pictures = [axis for axis in axes if axis.images]
    if pictures:
        parts.append(list_panels([_kind(a) for a in pictures], map(title_of, pictures)))
    parts += [_chart(axis) for axis in axes if not axis.images]
    return shorten(" ".join(part.rstrip(".") + "." for part in parts if part))


def shorten(words: str) -> str:
    """At most `LONGEST` letters, on one line."""
    return textwrap.shorten(words, LONGEST, placeholder=" …")


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """A number of things in words: ``"a map"``, ``"three maps"``."""
    if number == 1:
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    digits = COUNTS[number] if number < len(COUNTS) else str(number)
    return f"{digits} {plural or plural_of(noun)}"


def plural_of(noun: str) -> str:
    """The plural of a kind of panel."""
    if noun == "map over its picture":
        return "maps over their pictures"
    first, space, rest = noun.partition(" ")
    head = {"signed": "signed maps", "bar": "bar charts"}.get(first)
    return head or f"{first}s{space}{rest}"


def list_panels(kinds: Sequence[str], titles) -> str:
    """The kinds of panels in a row, counted, then their titles."""
    runs = [(kind, len(list(run))) for kind, run in groupby(kinds)]
    if len(runs) > 3:
        runs = [(kind, list(kinds).count(kind)) for kind in dict.fromkeys(kinds)]
    counted = [count_of(number, kind) for kind, number in runs]
    words = " and ".join([", ".join(counted[:-1])] * bool(counted[1:]) + counted[-1:])
    named = ", ".join(dict.fromkeys(" ".join(t.split()) for t in titles if t))
    return f"{words[:1].upper()}{words[1:]}{': ' if named else ''}{named}"


def _kind(axis) -> str:
    image = axis.images[0]
    label, values = image.get_label(), image.get_array()
    if values.ndim == 3 and label[:1] == "_":
        return "picture"
    if axis.texts and values.size < 200:
        return "table"
    if values.ndim == 3 and SIGNED not in label:
        return "map over its picture"
    return "signed map" if "beyond" in label else "map"


def _chart(axis) -> str:
    title, x, y = title_of(axis), axis.get_xlabel(), axis.get_ylabel()
    bars = [group for group in axis.containers if isinstance(group, BarContainer)]
    names = [line.get_label() for line in axis.lines if line.get_label()[:1] != "_"]
    if not (title or x or y or bars or names or axis.texts):
        return ""
    what = "Bars" if bars else "Curves" if len(axis.lines) > 1 else "A curve"
    what = what if bars or axis.lines else "Points" if axis.collections else "Text"
    words = what + (f" of {y}" if y else "") + (f" against {x}" if x else "")
    words += f" for {', '.join(names)}" if names else ""
    return f"{title}: {words[:1].lower()}{words[1:]}" if title else words
