"""Normalizing flows: coupling and autoregressive."""

from calque.models.flows.autoregressive import Autoregressive
from calque.models.flows.coupling import Coupling
from calque.models.flows.flow import Flow
from calque.models.flows.two_step import TwoStep

__all__ = ["Autoregressive", "Coupling", "Flow", "TwoStep"]
