"""What importing costs, in a fresh Python, beside `import torch`."""

import subprocess
import sys

from harness import Row, alternate, main, significant

FIRST_MAP = """
from course_utils import load_model, load_samples, preprocess, vanilla_saliency
samples = load_samples(1)
maps = vanilla_saliency(load_model(), preprocess(samples.images), samples.labels)
"""
FIRST_FIGURE = """
from course_utils.figures import plot_maps, to_png
to_png(plot_maps(samples.images, maps))
"""
STATEMENTS = {
    "import torch": "import torch",
    "import torchvision": "import torch, torchvision",
    "import course_utils": "import course_utils",
    "import its functions": FIRST_MAP.splitlines()[1],
    "up to the first map": FIRST_MAP,
    "up to the first figure": FIRST_MAP + FIRST_FIGURE,
}


def run(statement: str):
    """A job: a fresh Python that runs one statement."""
    return lambda: subprocess.run([sys.executable, "-c", statement], check=True)


def measure(quick: bool) -> list[Row]:
    """Best of several, less what starting Python takes."""
    jobs = {"": run("pass")} | {name: run(text) for name, text in STATEMENTS.items()}
    if quick:
        jobs = {name: jobs[name] for name in ("", "import course_utils")}
    seconds = alternate(jobs, rounds=1 if quick else 4)
    start = seconds.pop("").wall
    return [
        {"what": name, "seconds": significant(max(one.wall - start, 0), 2)}
        for name, one in seconds.items()
    ]


if __name__ == "__main__":
    main(measure, __doc__)
