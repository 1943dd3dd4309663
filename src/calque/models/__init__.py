"""Generators; nothing here knows files, units or training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from calque.models.autoencoder import Autoencoder
from calque.models.convolutional import Convolutional, Regressor, Siamese
from calque.models.critics import ConvolutionalCritic, LayersCritic
from calque.models.dense import Critic, DenseGenerator
from calque.models.drawing import Drawing
from calque.models.flows import Autoregressive, Coupling, Flow, TwoStep
from calque.models.generator import Generator
from calque.models.growing import GrowingCritic, Progressive, acting_scales
from calque.models.layered import Layered
from calque.models.matching import FlowMatching
from calque.models.mixture import GaussianMixture
from calque.models.quantised import QuantisedAutoencoder
from calque.models.response import Response
from calque.models.styled import Style
from calque.models.upsampling import Upsampling

GENERATORS: dict[str, type[Generator]] = {
    "dense": DenseGenerator, "autoencoder": Autoencoder, "quantised": QuantisedAutoencoder,
    "autoregressive": Autoregressive, "coupling": Coupling, "flow-matching": FlowMatching, "mixture": GaussianMixture,
    "drawing": Drawing, "response": Response, "two-step": TwoStep,
    "upsampling": Upsampling, "layered": Layered, "progressive": Progressive, "style": Style,
}
CRITICS: dict[str, Callable[..., Any]] = {
    "dense": Critic.of, "convolutional": ConvolutionalCritic, "layers": LayersCritic, "growing": GrowingCritic,
}

__all__ = ["CRITICS", "GENERATORS", "Autoencoder", "Autoregressive", "Convolutional", "ConvolutionalCritic", "Coupling",
           "Critic", "DenseGenerator", "Drawing", "Flow", "FlowMatching", "GaussianMixture", "Generator",
           "GrowingCritic", "Layered", "LayersCritic", "Progressive", "QuantisedAutoencoder", "Regressor", "Response",
           "Siamese", "Style", "TwoStep", "Upsampling", "acting_scales"]
