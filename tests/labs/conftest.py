"""What the tests of all labs share: opening, starting, turning and uploading."""

import datetime
import io
import json

import pytest
from PIL import Image

from course_utils.labs import base

NOW = datetime.datetime.fromtimestamp(0, datetime.UTC)


@pytest.fixture(autouse=True)
def labs_of_other_tests_stay(monkeypatch):
    """A lab closes its predecessors: not those that tests share, or that others made."""
    monkeypatch.setattr(base, "_made", {})


@pytest.fixture
def open_lab():
    """Make a lab; it is stopped and closed after the test."""
    labs = []

    def make(lab_class, *arguments, **keywords):
        labs.append(lab_class(*arguments, **keywords))
        return labs[-1]

    yield make
    for lab in labs:
        if hasattr(lab, "stop"):
            lab.stop()
            assert lab.wait()
        lab.close()


@pytest.fixture
def start():
    """Start a lab, wait for its end, and return its result."""

    def run(lab, seconds=60):
        assert lab.start()
        assert lab.wait(seconds)
        assert not lab.failed, lab.said
        return lab.result

    return run


def what_is_shown(lab) -> tuple:
    """A lab's scene; its pictures go by names that are made of their pixels."""
    return json.dumps(lab.touch.scene), tuple(lab.touch.pictures)


@pytest.fixture
def shown():
    """What a lab shows, to be compared."""
    return what_is_shown


@pytest.fixture
def draws_each():
    """Each entry of a list draws a scene of its own; the first choice comes back."""

    def check(lab, choice, entries=None):
        before, seen = choice.index, set()
        entries = range(len(choice.options)) if entries is None else entries
        for index in entries:
            choice.index = index
            assert not lab.failed, (choice.label, lab.said)
            seen.add(what_is_shown(lab))
        assert len(seen) == len(entries)
        choice.index = before

    return check


@pytest.fixture
def redraws():
    """Another value draws another scene, the old value the old one again."""

    def check(lab, control, value):
        before, old = what_is_shown(lab), control.value
        control.value = value
        assert not lab.failed, lab.said
        assert what_is_shown(lab) != before
        said = lab.said
        control.value = old
        assert what_is_shown(lab) == before
        return said

    return check


@pytest.fixture
def upload():
    """Set an upload as the browser does, in the form of ipywidgets 7 or 8."""

    def send(lab, name, content):
        widget = lab.controls["photo"].upload
        item = {"name": name, "type": "image/png", "size": len(content)}
        item["last_modified"] = NOW
        if isinstance(widget.value, dict):
            value = {name: {"metadata": item, "content": content}}
        else:
            value = ({**item, "content": memoryview(content)},)
        widget.set_trait("value", value)

    return send


@pytest.fixture(scope="session")
def png():
    """A picture of one colour as a file's bytes."""

    def encode(colour, size=(40, 30)):
        file = io.BytesIO()
        Image.new("RGB", size, colour).save(file, "PNG")
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def is_unchanged():
    """Whether a network is in evaluation mode, without gradients and without hooks."""

    def check(model):
        return (
            not model.training
            and all(p.grad is None for p in model.parameters())
            and not any(m._forward_hooks for m in model.modules())
        )

    return check
