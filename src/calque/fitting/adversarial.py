"""Generator against critic: a game, a constraint and the note's tricks, chosen independently."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.fitting.constraints import CONSTRAINTS
from calque.fitting.games import GAMES
from calque.fitting.objective import Batch, Objective
from calque.models import Critic, Generator
from calque.models.network import Norm, Shape, choose


class Adversarial(Objective):
    """The 2018 note's training: sample, train the critic, train the generator through the frozen critic.

    `label_blur` is the width of the normal noise on the labels (`blur_labels`: both, or real only);
    `input_blur` that on real events, each batch anew, in prepared units. The critic's network has the
    generator's vocabulary: widths base·nodes·2^i or flat.
    """

    def __init__(self, generator: Generator, *, game: str = "non-saturating", constraint: str = "none",
                 strength: float = 1.0, critic_turns: int = 1, label_blur: float = 0.3,
                 blur_labels: Literal["both", "real"] = "both", input_blur: float = 0.001, layers: int = 3,
                 nodes: float = 1.0, base: int = 256, shape: Shape = "pyramid", norm: Norm = "batch",
                 dropout: float = 0.2, momentum: float = 0.9, activation: str = "leaky-relu") -> None:
        super().__init__(generator)
        self.game = choose("game", game, GAMES)()
        self.constraint = choose("constraint", constraint, CONSTRAINTS)()
        self.penalised = constraint != "none"
        if self.penalised and norm == "batch":
            raise ConfigError(f"constraint {constraint!r} is about single events, and batch norm mixes them; "
                              'set fit.objective.norm = "none" or "layer"')
        self.strength, self.label_blur, self.input_blur = strength, label_blur, input_blur
        self.blur_fake = blur_labels == "both"
        self.turns = ("critic",) * critic_turns + ("generator",)
        self.critic = Critic(generator.size, generator.context, layers=layers, nodes=nodes, base=base, shape=shape,
                             norm=norm, dropout=dropout, momentum=momentum, activation=activation)

    @property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """Critic and generator."""
        return {"critic": list(self.critic.parameters()), "generator": list(self.generator.parameters())}

    def noise(self, player: str) -> dict[str, int]:
        """Latent vectors; blurs for the critic."""
        latent = {"latent": self.generator.noise}
        return {**latent, "input": self.generator.size, "labels": 2} if player == "critic" else latent

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """The game's loss for whose turn it is."""
        if player == "critic":
            return self.critic_loss(batch)
        fake = self.generator.sample(batch.noise["latent"], batch.context)
        _, scores = self.scores(batch.x, fake, batch.context)
        return torch.as_tensor(self.game.generator(scores))

    def critic_loss(self, batch: Batch) -> Tensor:
        """Real against generated in one pass of the critic."""
        self.generator.eval()  # the critic judges what will be drawn: no dropout, running batch statistics
        with torch.no_grad():
            fake = self.generator.sample(batch.noise["latent"], batch.context)
        self.generator.train()
        real = batch.x + self.input_blur * batch.noise["input"]
        scores = self.scores(real, fake, batch.context)
        blur = self.label_blur * batch.noise["labels"]
        fake_labels = blur[:, 1] if self.blur_fake else torch.zeros_like(blur[:, 1])
        loss: Tensor = self.game.critic(*scores, 1 + blur[:, 0], fake_labels)
        if self.penalised:
            context = torch.cat([batch.context, batch.context])
            penalty = self.constraint.penalty(lambda x: self.critic(x, context[: len(x)]), real, fake)
            loss = loss + self.strength * penalty
        return loss

    def scores(self, real: Tensor, fake: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both halves, from one pass: batch norm sees the same mixture in every turn.

        With generated events alone in the generator's turn, their common shift would be normalised away.
        """
        both = self.critic(torch.cat([real, fake.to(real.dtype)]), torch.cat([context, context]))
        return both[: len(real)], both[len(real) :]


