"""`map` on many machines: the batches of a folder run, shared among workers by Ray Data.

Ray starts the workers on this machine, or on all machines of the cluster that
``ray.init(address=…)`` or the variable RAY_ADDRESS names. Each of them needs this package
and the same paths to pictures and maps. What a worker was doing when it died, another
worker does again.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from math import ceil


class Worker:
    """Keeps a copy of `make`, and with it the network, from batch to batch."""

    def __init__(self, make: Callable[[list[str]], list]):
        self.make = make

    def __call__(self, row: dict) -> dict:
        """One row of Ray's data: the names of a batch in, what was made out, as JSON."""
        names = json.loads(row["names"])
        try:
            return {"made": json.dumps(self.make(names)), "error": ""}
        except Exception as error:  # not for Ray to repeat, but for the caller to see
            who = f"process {os.getpid()} on {socket.gethostname()}"
            what = f"on the batch from {names[0]!r} to {names[-1]!r}"
            reason = str(error) or type(error).__name__
            return {"made": "", "error": f"a worker ({who}) has failed {what}: {reason}"}


def map_on_cluster(make: Callable, batches: list, workers: int, gpu: bool) -> Iterator:
    """``map(make, batches)``, in any order, by at most `workers` processes.

    Each has a copy of `make`, one core and, if it needs a `gpu`, one of these, or a share
    of one where there are fewer than workers. Results become JSON. An error that `make`
    raises there is a `RuntimeError` here.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        words = 'workers needs Ray, which is not installed: pip install "ray[data]"'
        raise ModuleNotFoundError(words, name="ray") from error
    if not batches:
        return
    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = min(len(batches), 1000)  # of work, each of one batch or more
    rows = [{"names": json.dumps(batch)} for batch in batches]
    data = ray.data.from_items(rows, override_num_blocks=blocks)
    there = ray.cluster_resources().get("GPU", 0)
    made = data.map(
        Worker,
        fn_constructor_args=(make,),
        compute=ray.data.ActorPoolStrategy(size=min(workers, blocks)),
        num_cpus=1,
        num_gpus=_share(there, min(workers, blocks)) if gpu else 0,
    )
    try:
        for row in made.iter_rows():
            if row["error"]:
                raise RuntimeError(row["error"])
            yield json.loads(row["made"])
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RuntimeError(f"Ray's workers have failed: {reason}") from error


def _share(gpus: float, workers: int) -> float:
    """How much of a GPU each worker takes, so that all can work at the same time."""
    return 1 / ceil(workers / (gpus or workers))  # none yet: they may come as needed
