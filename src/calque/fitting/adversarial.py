"""Generator against critic: a game, a constraint and the note's tricks, chosen independently."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from calque.errors import ConfigError
from calque.fitting.constraints import CONSTRAINTS, Constraint
from calque.fitting.games import GAMES, Game
from calque.fitting.objective import Batch, Objective
from calque.models import Critic, Generator
from calque.models.network import Norm, Shape, choose


class Adversarial(Objective):
    """The 2018 note's training: sample, train the critic, train the generator through the frozen critic.

    `label_blur` is the width of the normal noise on the labels (`blur_labels`: both, or real only), 0.3 in games
    that have labels; `input_blur` that on real events, each batch anew, in prepared units. `strength` is the
    constraint's: a penalty's factor, or the largest weight under clipping. The critic's network has the
    generator's vocabulary: widths base·nodes·2^i or flat. Raises ConfigError for a setting that would be ignored.
    """

    def __init__(self, generator: Generator, *, game: str = "non-saturating", constraint: str = "none",
                 strength: float | None = None, critic_turns: int = 1, label_blur: float | None = None,
                 blur_labels: Literal["both", "real"] | None = None, input_blur: float = 0.001, layers: int = 3,
                 nodes: float = 1.0, base: int = 256, shape: Shape = "pyramid", norm: Norm = "batch",
                 dropout: float = 0.2, momentum: float = 0.9, activation: str = "leaky-relu") -> None:
        super().__init__(generator)
        self.game: Game = choose("game", game, GAMES)()
        self.constraint: Constraint = choose("constraint", constraint, CONSTRAINTS)()
        if self.constraint.penalises and norm == "batch":
            raise ConfigError(f"constraint {constraint!r} is about single events, and batch norm mixes them; "
                              'set fit.objective.norm = "none" or "layer"')
        refuse_ignored("label_blur", label_blur, self.game.labelled, f"the game {game!r} has no labels to blur")
        refuse_ignored("blur_labels", blur_labels, self.game.labelled, f"the game {game!r} has no labels to blur")
        refuse_ignored("strength", strength, self.constraint.strength is not None,
                       f"the constraint {constraint!r} has no strength")
        if strength is not None and strength <= 0 and constraint != "none":
            raise ConfigError(f"strength = {strength:g} leaves nothing of the constraint {constraint!r}; take a number "
                              'above zero, or fit.objective.constraint = "none"')
        self.strength = strength if strength is not None else self.constraint.strength or 0.0
        self.label_blur, self.input_blur = 0.3 if label_blur is None else label_blur, input_blur
        self.blur_fake = blur_labels != "real"
        self.turns = ("critic",) * critic_turns + ("generator",)
        self.critic = Critic(generator.size, generator.context, layers=layers, nodes=nodes, base=base, shape=shape,
                             norm=norm, dropout=dropout, momentum=momentum, activation=activation,
                             bias=not self.game.relative)

    @property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """Critic and generator."""
        return {"critic": list(self.critic.parameters()), "generator": list(self.generator.parameters())}

    def noise(self, player: str) -> dict[str, int]:
        """Latent vectors; for the critic blurs and what its penalty draws."""
        latent = {"latent": self.generator.noise}
        if player == "generator":
            return latent
        labels = {"labels": 2} if self.game.labelled else {}
        return {**latent, "input": self.generator.size, **labels, **self.constraint.noise}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """The game's loss for whose turn it is."""
        if player == "critic":
            return self.critic_loss(batch)
        fake = self.generator.sample(batch.noise["latent"], batch.context)
        return self.game.generator(*self.scores(batch.x, fake, batch.context))

    def after(self, player: str, step: int) -> None:
        """Weights that a constraint holds are held at once."""
        if player == "critic":
            self.constraint.after(self.critic, self.strength)

    def critic_loss(self, batch: Batch) -> Tensor:
        """Real against generated in one pass of the critic."""
        self.generator.eval()  # the critic judges what will be drawn: no dropout, running batch statistics
        with torch.no_grad():
            fake = self.generator.sample(batch.noise["latent"], batch.context)
        self.generator.train()
        real = batch.x + self.input_blur * batch.noise["input"]
        scores = self.scores(real, fake, batch.context)
        loss = self.game.critic(*scores, *self.labels(batch))
        if self.constraint.penalises:
            context = torch.cat([batch.context, batch.context])
            penalty = self.constraint.penalty(lambda x: self.critic(x, context[: len(x)]), real, fake, batch.noise)
            loss = loss + self.strength * penalty
        return loss

    def labels(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Labels (B,) of real and of generated events, blurred where the game has any."""
        if not self.game.labelled:
            return batch.x.new_ones(len(batch.x)), batch.x.new_zeros(len(batch.x))
        blur = self.label_blur * batch.noise["labels"]
        return 1 + blur[:, 0], blur[:, 1] if self.blur_fake else torch.zeros_like(blur[:, 1])

    def scores(self, real: Tensor, fake: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both halves, from one pass: batch norm sees the same mixture in every turn.

        With generated events alone in the generator's turn, their common shift would be normalised away.
        """
        both = self.critic(torch.cat([real, fake.to(real.dtype)]), torch.cat([context, context]))
        return both[: len(real)], both[len(real) :]


def refuse_ignored(name: str, value: float | str | None, used: bool, why: str) -> None:
    """Raise ConfigError for a setting that would have no effect; zero asks for none."""
    if value and not used:
        raise ConfigError(f"{name} = {value!r} would be ignored: {why}; leave fit.objective.{name} out")
