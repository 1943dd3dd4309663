"""Normalizing flows: coupling, autoregressive, continuous."""

from calque.models.flows.coupling import Coupling

__all__ = ["Coupling"]
