"""Generators; nothing here knows files, units or training."""

from __future__ import annotations

from calque.models.autoencoder import Autoencoder
from calque.models.convolutional import Convolutional, Regressor, Siamese
from calque.models.dense import Critic, DenseGenerator
from calque.models.drawing import Drawing
from calque.models.flows import Autoregressive, Coupling, Flow
from calque.models.generator import Generator
from calque.models.matching import FlowMatching
from calque.models.mixture import GaussianMixture
from calque.models.quantised import QuantisedAutoencoder
from calque.models.response import Response

GENERATORS: dict[str, type[Generator]] = {
    "dense": DenseGenerator, "autoencoder": Autoencoder, "quantised": QuantisedAutoencoder,
    "autoregressive": Autoregressive, "coupling": Coupling, "flow-matching": FlowMatching, "mixture": GaussianMixture,
    "drawing": Drawing, "response": Response,
}

__all__ = ["GENERATORS", "Autoencoder", "Autoregressive", "Convolutional", "Coupling", "Critic",
           "DenseGenerator", "Drawing", "Flow", "FlowMatching", "GaussianMixture", "Generator", "QuantisedAutoencoder",
           "Regressor", "Response", "Siamese"]
