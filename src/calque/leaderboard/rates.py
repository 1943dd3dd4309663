"""How many events a second each run draws."""

from __future__ import annotations

import time
from collections.abc import Mapping

from calque.run import Run
from calque.threads import threads

ROUNDS = 5


def rates(runs: Mapping[str, Run]) -> dict[str, float]:
    """Events per second on one thread, in physical units, the inverse preparation included.

    All draw a block in turn, several times, so that whatever else the machine does falls on all of them; the best
    of each counts.
    """
    best = dict.fromkeys(runs, 0.0)
    with threads(1):
        for run in runs.values():
            run.block(0, 0)
        for turn in range(1, ROUNDS + 1):
            for name, run in runs.items():
                begun = time.perf_counter()
                run.block(0, turn)
                best[name] = max(best[name], run.rows / (time.perf_counter() - begun))
    return best
