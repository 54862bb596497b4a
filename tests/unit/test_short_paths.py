"""A reader can follow a map from its public function to the backward pass."""

import sys

import pytest
import toys

import course_utils


def functions_entered(call):
    """The package's functions that `call` enters, and how deep they are nested."""
    entered, depth, deepest = set(), 0, 0

    def trace(frame, event, argument):
        nonlocal depth, deepest
        code = frame.f_code
        if "course_utils" not in code.co_filename or code.co_name.startswith("<"):
            return
        if event == "call":
            entered.add((code.co_filename, code.co_qualname))
            depth += 1
            deepest = max(deepest, depth)
        elif event == "return":
            depth -= 1

    sys.setprofile(trace)
    try:
        call()
    finally:
        sys.setprofile(None)
    return {name for _, name in entered}, deepest


@pytest.mark.parametrize("targets", [None, 1, [1, 2]])
def test_vanilla_saliency_is_short(targets):
    model, images = toys.Busy(), toys.batch(2)
    entered, depth = functions_entered(
        lambda: course_utils.vanilla_saliency(model, images, targets)
    )
    assert {"vanilla_saliency", "input_gradient", "backward", "forward"} <= entered
    assert len(entered) <= 12, sorted(entered)
    assert depth <= 5
