"""The worst of many bins, with a floor that has looked into as many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.judging.conditional.bins import Bins
from calque.judging.measure import Estimate
from calque.judging.resampling import REPLICAS, resampled
from calque.seeds import numpy_stream

Numbers = NDArray[np.float64]

PAIRS = 20  # null results whose bootstraps say how much too wide a bootstrap is


@dataclass(frozen=True)
class InBins:
    """A quantity and its error in K bins (K,), the same of R null results (R, K), and what it is worst in units of.

    With the errors as `scale` (K,) the bin farthest from ½ for its error is the worst; with ones, the highest is.
    """

    value: Numbers
    error: Numbers
    null: Numbers
    null_error: Numbers
    scale: Numbers

    def worst(self, values: Numbers) -> Numbers:
        """Give the value (...) in the worst bin of values (..., K)."""
        chosen = self.place(values)
        return np.asarray(np.take_along_axis(values, chosen[..., None], axis=-1)[..., 0])

    def place(self, values: Numbers) -> NDArray[np.intp]:
        """Which bin (...) is worst."""
        return np.asarray(np.argmax((values - 0.5) / self.scale, axis=-1))

    def estimate(
        self, measure: str, bins: Bins, kept: list[int], seed: int, how: str, left_out: Sequence[str] = ()
    ) -> Estimate:
        """Quote the worst bin against the null's worst bins, so that the look elsewhere is paid for."""
        stream = numpy_stream(seed, f"judging/{measure}/replicas")
        noise = stream.normal(size=(REPLICAS, 1, len(kept)))
        own = self.worst(self.value + self.error * noise)
        alike = self.worst(self.null[:PAIRS] + self.null_error[:PAIRS] * noise)
        labels = [bins.labels[place] for place in kept]
        return resampled(
            measure, bins.column, float(self.worst(self.value)), self.worst(self.null), own, alike - alike.mean(axis=0),
            how=f"error: {how}", where=labels[int(self.place(self.value))],
            bins=[{"label": label, "value": float(value), "error": float(error)}
                  for label, value, error in zip(labels, self.value, self.error, strict=True)],
            left_out=list(left_out),
        )
