"""Normalizing flows: coupling and autoregressive."""

from calque.models.flows.autoregressive import Autoregressive
from calque.models.flows.coupling import Coupling
from calque.models.flows.flow import Flow

__all__ = ["Autoregressive", "Coupling", "Flow"]
