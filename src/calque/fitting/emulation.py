"""An image generator learns what a simulator makes of its parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from calque.errors import ConfigError, DataError
from calque.fitting.constraints import slope
from calque.fitting.games import GAMES, Game
from calque.fitting.objective import Batch, Objective
from calque.fitting.settings import refuse_ignored
from calque.models import Generator, Siamese
from calque.models.drawing import the_image
from calque.models.network import choose


class Emulation(Objective):
    """`pixel` times a distance from the simulated image, and `adversary` times a siamese network's objection.

    The distance is the mean squared difference of pixels, or minus the log density per pixel where the generator has
    one: the first learns a simulator's mean image, the second its independent noise too. What else is random the
    siamese network teaches (Alonso-Monsalve & Whitehead 2018, arXiv:1812.00879): it is shown pairs of images of the
    same parameters, two simulated ones or a simulated and an emulated one, both under normal noise of width `blur`
    (0.1), without which it would know a deterministic simulator's pairs, an image and itself, by their being equal.
    It plays a `game` (relativistic) under `strength` (0.1) times a penalty on its slope (R1, R2), on every fourth step.

    Raises ConfigError for a setting that would be ignored, DataError where a generator with noise would have to
    learn from a sample in which no parameters were simulated twice.
    """

    every = 4

    def __init__(self, generator: Generator, *, pixel: float = 1.0, adversary: float = 0.0, blur: float | None = None,
                 game: str | None = None, strength: float | None = None) -> None:
        super().__init__(generator)
        if not (pixel >= 0 and adversary >= 0 and pixel + adversary > 0):
            raise ConfigError(f"pixel = {pixel:g}, adversary = {adversary:g}: neither may be negative, and one of them "
                              "has to teach (fit.objective)")
        self.pixel, self.adversary, self.paired = pixel, adversary, adversary > 0
        for name, value in (("blur", blur), ("game", game), ("strength", strength)):
            refuse_ignored(name, value, self.paired, "adversary = 0 leaves nobody to object")
        self.blur, self.strength = 0.1 if blur is None else blur, 0.1 if strength is None else strength
        self.game: Game = choose("game", game or "relativistic", GAMES)()
        if self.game.outputs > 1:
            raise ConfigError(f"game = {game!r} compares many numbers per event; a siamese network gives one")
        self.turns = ("critic", "generator") if self.paired else ("generator",)
        self.critic = Siamese(the_image(generator.layout), generator.context) if self.paired else None

    @property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """The emulator, and the siamese network where there is one."""
        critic = {} if self.critic is None else {"critic": list(self.critic.parameters())}
        return {**critic, "generator": list(self.generator.parameters())}

    def begin(self, draw: Callable[[dict[str, int]], Batch]) -> None:
        """Refuse a sample without pairs to learn noise from."""
        if self.paired and self.generator.noise and draw({}).twin is None:
            raise DataError("no parameters were simulated twice, so that nothing tells the simulator's own noise; set "
                            "simulate.repeat = 2, or fit.objective.adversary = 0")

    def noise(self, player: str) -> dict[str, int]:
        """What an image is emulated from, and the blur of two pairs."""
        blur = {"blur": 4 * self.generator.size} if self.paired else {}
        return {"latent": self.generator.noise, **blur}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """The siamese network's, or the emulator's."""
        if player == "critic":
            with torch.no_grad():
                emulated = self.generator.sample(batch.noise["latent"], batch.context)
            return self.critic_loss(batch, emulated, step)
        if not self.paired:
            return self.pixel * self.distance(batch, None)
        emulated = self.generator.sample(batch.noise["latent"], batch.context)
        real, fake = self.scores(*self.pairs(batch, emulated), batch.context)
        objection = batch.mean(self.game.generator(real, fake, fake))
        return self.adversary * objection + (self.pixel * self.distance(batch, emulated) if self.pixel else 0)

    def distance(self, batch: Batch, emulated: Tensor | None) -> Tensor:
        """Of simulated images from what the generator thinks of them, or from those it emulated."""
        if self.generator.has_density:
            return -batch.mean(self.generator.log_prob(batch.x, batch.context)) / self.generator.size
        if emulated is None:
            emulated = self.generator.sample(batch.noise["latent"], batch.context)
        return batch.mean((emulated - batch.x).square())

    def critic_loss(self, batch: Batch, emulated: Tensor, step: int) -> Tensor:
        """The game's, and the penalty at both kinds of pairs."""
        simulated, mixed = self.pairs(batch, emulated)
        real, fake = self.scores(simulated, mixed, batch.context)
        loss = batch.mean(self.game.critic(real, fake, torch.ones_like(real), torch.zeros_like(fake)))
        if step % self.every or not self.strength:
            return loss
        both, context = torch.cat([simulated, mixed]), batch.context.repeat(2, 1)
        steepness = slope(lambda pairs: self.judge(pairs, context), both).square().sum() / len(simulated)
        return loss + self.every * self.strength / 2 * steepness

    def pairs(self, batch: Batch, emulated: Tensor) -> tuple[Tensor, Tensor]:
        """Two simulated images side by side, and a simulated and an emulated one (B, 2D), blurred."""
        twin = batch.x if batch.twin is None else batch.twin
        one, other = (self.blur * batch.noise["blur"]).chunk(2, 1)
        return torch.cat([batch.x, twin], 1) + one, torch.cat([batch.x, emulated.float()], 1) + other

    def scores(self, simulated: Tensor, mixed: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The siamese network's scores (B,) of both kinds of pairs."""
        real, fake = self.judge(torch.cat([simulated, mixed]), context.repeat(2, 1)).chunk(2)
        return real, fake

    def judge(self, pairs: Tensor, context: Tensor) -> Tensor:
        """The siamese network's scores of pairs."""
        if self.critic is None:
            raise ConfigError("this emulator has no siamese network; set fit.objective.adversary")
        scores: Tensor = self.critic(pairs, context)
        return scores
