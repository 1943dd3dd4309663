"""Measures of two samples jointly in all columns of a view."""

from calque.judging.joint.correlation import Correlation
from calque.judging.joint.energy import EnergyDistance
from calque.judging.joint.frechet import FrechetPhysicsDistance
from calque.judging.joint.kpd import KernelPhysicsDistance
from calque.judging.joint.sliced import SlicedWasserstein

__all__ = ["Correlation", "EnergyDistance", "FrechetPhysicsDistance", "KernelPhysicsDistance", "SlicedWasserstein"]
