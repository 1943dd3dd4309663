"""Maximum likelihood, for generators with a density."""

from __future__ import annotations

from torch import Tensor

from calque.errors import ConfigError
from calque.fitting.objective import Batch, Objective
from calque.models import Generator


class Likelihood(Objective):
    """Mean negative log density; `input_blur` smooths the rows a little, against overfitting."""

    signed = True

    def __init__(self, generator: Generator, *, input_blur: float = 0.0) -> None:
        super().__init__(generator)
        if not generator.has_density:
            raise ConfigError(f"a {type(generator).__name__} has no density to maximise; train it as a gan or a vae")
        self.input_blur = input_blur

    def noise(self, player: str) -> dict[str, int]:
        """The blur's normals."""
        return {"input": self.generator.size} if self.input_blur else {}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """−⟨log p(x | c)⟩."""
        x = batch.x + self.input_blur * batch.noise["input"] if self.input_blur else batch.x
        return -batch.mean(self.generator.log_prob(x, batch.context))
