"""A stubborn map: print every number of the report, and draw its figure.

    python teacher/sample_report/repeat.py            the figure is written beside this file
    python teacher/sample_report/repeat.py FOLDER     the figure is written there

It takes about half a minute on one core, and uses nothing but the course's own network and
its 26 photographs.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from course_utils import (
    bootstrap_interval,
    input_gradient,
    integrated_gradients,
    load_model,
    load_samples,
    preprocess,
)
from course_utils.evaluation import rank_correlation
from course_utils.figures import chart, draw
from course_utils.samples import Samples
from course_utils.targets import predict

FIGURE, STEPS, EXPECTED = "alike.png", 12, 0.9
TIE = 0.001  # correlations that are closer than this are called equal


@dataclass(frozen=True)
class Measured:
    """The maps of the first and of the second choice, and how alike the two are."""

    names: list[str]  # of the N photographs
    images: Tensor  # (N, 3, H, W)
    maps: dict[str, tuple[Tensor, Tensor]]  # method → first and second choice's

    def alike(self, method: str) -> np.ndarray:
        """(N,): the rank correlation of the two maps of each photograph."""
        return rank_correlation(*self.maps[method]).numpy()


def measure(samples: Samples) -> Measured:
    """Make both maps of each photograph by each method."""
    model, images = load_model(), preprocess(samples.images)
    scores = predict(model, images, None).outputs
    choices = scores.topk(2).indices.T
    maps = {
        "gradient": tuple(input_gradient(model, images, one) for one in choices),
        "integrated gradients": tuple(
            integrated_gradients(model, images, one, STEPS) for one in choices
        ),
        "the picture alone": (images, images),  # the mean colour is 0; it knows no class
    }
    return Measured(list(samples.names), images, maps)


def tell(found: Measured) -> None:
    """Print the numbers."""
    for method in found.maps:
        values = found.alike(method)
        low, high = bootstrap_interval(values)
        print(f"{method}: {values.mean():.3f} ({low:.2f} to {high:.2f}),", end=" ")
        print(f"lowest {values.min():.2f}, highest {values.max():.2f}")
    gradient, integrated = found.alike("gradient"), found.alike("integrated gradients")
    more = integrated - gradient
    low, high = bootstrap_interval(more)
    print(f"difference: {more.mean():+.3f} ({low:+.2f} to {high:+.2f})")
    tied = abs(more) < TIE
    print(f"larger on {(more >= TIE).sum()} of {len(more)}, tied on {tied.sum()};", end=" ")
    print("smaller on", ", ".join(found.names[n] for n in np.flatnonzero(more <= -TIE)))
    print(f"{EXPECTED} or more on {(integrated >= EXPECTED).sum()} of {len(more)}")


def plot(found: Measured):
    """The figure: a dot for each photograph; both axes on one scale."""
    ends = (0.6, 1.02)
    axis = chart(
        "First against second choice, 26 photographs",
        "rank correlation, gradient",
        "rank correlation, integrated gradients",
        width=5.6,
        height=4.4,
        xlim=ends,
        ylim=ends,
    )
    axis.plot(ends, ends, "-", color="0.7", lw=1, label="as alike as the gradient's")
    axis.axhline(EXPECTED, color="0.3", lw=1, ls=":", label="what I expected")
    axis.axhline(1, color="0.3", lw=1, ls="--", label="the picture alone")
    axis.plot(found.alike("gradient"), found.alike("integrated gradients"), "o")
    axis.legend(loc="lower right")
    return axis.figure


def main() -> None:
    """Measure, print, draw."""
    folder = Path(sys.argv[1] if sys.argv[1:] else Path(__file__).parent)
    found = measure(load_samples())
    tell(found)
    (folder / FIGURE).write_bytes(draw(plot(found)))


if __name__ == "__main__":
    main()
