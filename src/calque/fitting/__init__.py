"""Objectives, the one loop, batches, checkpoints, history."""

from calque.fitting.fit import OBJECTIVES, StoppedError, fit
from calque.fitting.objective import Batch, Objective

__all__ = ["OBJECTIVES", "Batch", "Objective", "StoppedError", "fit"]
