"""Invertible steps between physical columns and what a network sees."""

from calque.preparing import (
    elementwise,
    empirical,
    exact,
    kinematics,
    lattice,
    periodic,
    scores,
    showers,
    voxels,
    whiten,
)
from calque.preparing.context import Context
from calque.preparing.preparation import Preparation
from calque.preparing.prepare import JUDGE, TRAIN, VALIDATE, Data, prepare
from calque.preparing.step import STEPS, Step

__all__ = [
           "JUDGE",
           "STEPS",
           "TRAIN",
           "VALIDATE",
           "Context",
           "Data",
           "Preparation",
           "Step",
           "elementwise",
           "empirical",
           "exact",
           "kinematics",
           "lattice",
           "periodic",
           "prepare",
           "scores",
           "showers",
           "voxels",
           "whiten",
]
