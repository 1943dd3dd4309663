"""Which parameters made the data: found through an emulator of the simulation."""

from calque.tuning.tune import tune
from calque.tuning.tuned import Tuned, load_tuned

__all__ = ["Tuned", "load_tuned", "tune"]
