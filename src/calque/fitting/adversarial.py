"""Generator against critic: a game, a constraint and tricks, chosen independently."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from calque.errors import ConfigError, DataError
from calque.fitting.collapse import check_critic, clipped, narrowest, sizes
from calque.fitting.constrainer import Constrainer
from calque.fitting.constraints import CONSTRAINTS, Constraint
from calque.fitting.games import GAMES, Game
from calque.fitting.growth import Growth
from calque.fitting.objective import Batch, Objective
from calque.fitting.settings import (
    against_signs,
    check_constraint,
    check_labels,
    check_tricks,
    check_turns,
    refuse_ignored,
)
from calque.fitting.unrolling import Judge, unrolled
from calque.models import CRITICS, DenseGenerator, Generator, acting_scales
from calque.models.codes import Codes
from calque.models.network import Norm, Place, Shape, choose


class Seen(NamedTuple):
    """What the critic says of real, of generated and of the last generated events, with the first two's features."""

    real: Tensor
    fake: Tensor
    other: Tensor
    real_features: Tensor
    fake_features: Tensor


class Adversarial(Objective):
    """The 2018 note's training: sample, train the critic, train the generator through the frozen critic.

    `label_blur` is the width of the normal noise on the labels (`blur_labels`: both, or real only), 0.3 in games
    that have labels; `input_blur` that on real events, each batch anew, in prepared units. `strength` is the
    constraint's: a penalty's factor, or the largest weight under clipping. A penalty may be taken in every `lazy`-th
    step only, as many times as strong (arXiv:1912.04958, section 3.1). The `critic` is dense, or one that looks at
    images; all have the dense generator's vocabulary: widths base·nodes·2^i or flat, of layers or of channels.

    The generator may look `unroll` gradient steps of size `unroll_rate` (0.1) of the critic ahead (arXiv:1611.02163).
    With `feature_matching` it brings the means of the critic's last hidden layer together, in place of the game's
    loss (arXiv:1606.03498). Where it has codes, both players raise `information` (1) times the lower bound of what
    the critic's last hidden layer tells of them (arXiv:1606.03657, eq. 5). To `constrain` is to add so many times the
    difference between real and generated events in how well a third network reads their context (arXiv:1807.01954).
    Networks that grow `hold` each resolution and `fade` the next one in (arXiv:1710.10196); where neither is set, they
    grow in the first half of the training.

    In a step the critic moves `critic_turns` times and the generator `generator_turns` times. In the first
    `critic_first` steps the generator rests, so that the game begins with a critic that has something to say.

    The sign of a row's weight goes with its real and its generated events; penalties take rows as they are drawn.
    That is sound where each term is linear in its row's weight and a constraint bounds the critic: not with batch
    norm, which mixes events, nor in least squares, nor without a constraint.

    Raises ConfigError for a setting that would be ignored, DataError for negative weights where they are unsound.
    """

    def __init__(self, generator: Generator, *, game: str = "non-saturating", constraint: str = "none",
                 strength: float | None = None, lazy: int = 1, critic_turns: int = 1, generator_turns: int = 1,
                 critic_first: int = 0, label_blur: float | None = None,
                 blur_labels: Literal["both", "real"] | None = None, input_blur: float = 0.001, unroll: int = 0,
                 unroll_rate: float | None = None, feature_matching: bool = False, information: float | None = None,
                 constrain: float = 0.0, hold: int | None = None, fade: int | None = None, critic: str = "dense",
                 layers: int = 3, nodes: float = 1.0, base: int = 256, shape: Shape = "pyramid", norm: Norm = "batch",
                 norm_place: Place = "after", dropout: float = 0.2, momentum: float | None = None,
                 activation: str = "leaky-relu") -> None:
        super().__init__(generator)
        self.game: Game = choose("game", game, GAMES)()
        self.constraint: Constraint = choose("constraint", constraint, CONSTRAINTS)()
        self.codes = generator.codes if isinstance(generator, DenseGenerator) else Codes()
        check_labels(game, self.game, label_blur, blur_labels)
        check_constraint(constraint, self.constraint, strength, norm, lazy)
        check_turns(critic_turns, generator_turns, critic_first)
        check_tricks(unroll, unroll_rate, information, self.codes.size > 0)
        refuse_ignored("constrain", constrain, generator.context > 0, "events without a context have none to follow")
        self.strength = strength if strength is not None else self.constraint.strength or 0.0
        self.lazy = lazy
        self.label_blur, self.input_blur = 0.3 if label_blur is None else label_blur, input_blur
        self.blur_fake = blur_labels != "real"
        self.unroll, self.unroll_rate = unroll, 0.1 if unroll_rate is None else unroll_rate
        self.feature_matching, self.information = feature_matching, 1.0 if information is None else information
        rivals = ("critic",) * critic_turns + ("constrainer",) * (constrain > 0)
        self.rivals, self.critic_first = rivals, critic_first
        self.turns = rivals + ("generator",) * generator_turns
        self.critic = choose("critic", critic, CRITICS)(
            generator.layout, generator.context, layers=layers, nodes=nodes, base=base, shape=shape, norm=norm,
            norm_place=norm_place, dropout=dropout, momentum=momentum, activation=activation,
            bias=not self.game.relative, outputs=self.game.outputs)
        self.scales = acting_scales(self.critic)
        self.constrain = constrain
        self.constrainer = Constrainer(generator.layout, generator.context) if constrain else None
        self.growth = Growth(generator, [self.critic], hold, fade)
        self.unsound = against_signs(game, self.game, constraint, norm, self.critic.within, constrain)
        self.signed = not self.unsound
        reads = self.codes.size and self.information
        self.reader = nn.Linear(self.critic.width, self.codes.size) if reads else None

    @property
    def players(self) -> dict[str, list[nn.Parameter]]:
        """Critic, with what reads codes from its last hidden layer, the constrainer where there is one, generator."""
        reader = [] if self.reader is None else list(self.reader.parameters())
        third = {} if self.constrainer is None else {"constrainer": list(self.constrainer.parameters())}
        return {"critic": [*self.critic.parameters(), *reader], **third,
                "generator": list(self.generator.parameters())}

    def turns_at(self, step: int) -> tuple[str, ...]:
        """All but the generator in the first steps, where the critic is to learn first."""
        return self.rivals if step < self.critic_first else self.turns

    def plan(self, steps: int) -> None:
        """Grow within so many steps; raises ConfigError for a schedule that takes more of them than there are."""
        if 0 < steps <= self.critic_first:
            raise ConfigError(f"fit.objective.critic_first = {self.critic_first} of fit.steps = {steps} leaves the "
                              f"generator none; take {steps - 1} or less, or more steps")
        self.growth.plan(steps)

    def is_growing(self, step: int) -> bool:
        """Whether networks grow on after so many steps."""
        return self.growth.is_growing(step)

    def noise(self, player: str) -> dict[str, int]:
        """Latent vectors; for the critic blurs and what its penalty draws."""
        latent = {"latent": self.game.draws * self.generator.noise}
        if player == "constrainer":
            return {}
        if player == "generator" and not self.unroll:
            return latent
        labels = {"labels": 2} if self.game.labelled else {}
        return {**latent, "input": self.generator.size, **labels, **self.constraint.noise(self.generator.size)}

    def loss(self, player: str, batch: Batch, step: int) -> Tensor:
        """The game's loss for whose turn it is."""
        if batch.weight is not None and self.unsound:
            raise DataError(f"the sample has negative weights: {self.unsound}")
        batch = self.growth.seen(batch)
        if player == "critic":
            share = 0 if step % self.lazy else self.lazy
            return self.critic_loss(self.critic, batch, self.still(batch), share)
        if self.constrainer is not None and player == "constrainer":
            return self.constrainer.loss(batch)
        fake = self.generated(batch)
        loss = self.generator_loss(self.ahead(batch, fake) if self.unroll else self.critic, batch, fake)
        return loss if self.constrainer is None else loss + self.constrain * self.constrainer.mismatch(batch, fake)

    def after(self, player: str, step: int) -> None:
        """Weights that a constraint holds are held at once."""
        if player == "critic" and self.constraint.holds:
            with torch.no_grad():
                for name, weight in self.critic.named_parameters():
                    weight.copy_(self.hold(name, weight))

    def hold(self, name: str, weight: Tensor) -> Tensor:
        """A parameter of the critic as the constraint allows it, at the scale at which it acts."""
        return self.constraint.hold(weight, self.strength / self.scales.get(name, 1.0))

    def finish_step(self, step: int) -> None:
        """At the end of a step the networks grow."""
        self.growth.follow(step + 1)

    def generated(self, batch: Batch) -> Tensor:
        """Events (draws · B, D): all rows' first ones, then all their second."""
        noise = batch.noise["latent"].chunk(self.game.draws, 1)
        return self.generator.sample(torch.cat(noise), batch.context.repeat(len(noise), 1))

    @torch.no_grad()
    def still(self, batch: Batch) -> Tensor:
        """Events for the critic as they will be drawn: no dropout, running batch statistics, no gradient."""
        self.generator.eval()
        fake = self.generated(batch)
        self.generator.train()
        return fake

    def ahead(self, batch: Batch, fake: Tensor) -> Judge:
        """The critic some steps later."""
        return unrolled(self.critic, lambda judge: self.critic_loss(judge, batch, fake), self.hold, self.unroll,
                        self.unroll_rate)

    def critic_loss(self, judge: Judge, batch: Batch, fake: Tensor, share: int = 1) -> Tensor:
        """Real against generated events, with so many times the penalty, and codes."""
        real = batch.x + self.input_blur * batch.noise["input"]
        seen = self.look(judge, real, fake, batch.context)
        loss = batch.mean(self.game.critic(*self.scores(seen), *self.labels(batch))) - self.told(seen, batch)
        if not self.constraint.penalises or not share:
            return loss
        context, other = batch.context.repeat(2, 1), torch.cat([seen.other, seen.other])

        def score(x: Tensor) -> Tensor:
            return self.game.score(judge(x, context[: len(x)], len(real))[0], other[: len(x)])
        return loss + share * self.strength * self.constraint.penalty(score, real, fake[: len(real)], batch.noise)

    def generator_loss(self, judge: Judge, batch: Batch, fake: Tensor) -> Tensor:
        """The game's or the features', with codes."""
        seen = self.look(judge, batch.x, fake, batch.context)
        if self.feature_matching:
            loss = mismatch(batch, seen.real_features - seen.fake_features)
        else:
            loss = batch.mean(self.game.generator(seen.real, seen.fake, seen.other))
        return loss - self.told(seen, batch)

    def look(self, judge: Judge, real: Tensor, fake: Tensor, context: Tensor) -> Seen:
        """All events in one pass of the critic: batch norm sees the same mixture in every turn.

        With generated events alone in the generator's turn, their common shift would be normalised away.
        """
        rows = len(real)
        events, contexts = torch.cat([real, fake.to(real.dtype)]), context.repeat(1 + self.game.draws, 1)
        answers, features = judge(events, contexts, rows)
        return Seen(answers[:rows], answers[rows : 2 * rows], answers[-rows:], features[:rows],
                    features[rows : 2 * rows])

    def scores(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Scores (B,) of real and of generated events."""
        return self.game.score(seen.real, seen.other), self.game.score(seen.fake, seen.other)

    def labels(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Labels (B,) of real and of generated events, blurred where the game has any."""
        if not self.game.labelled:
            return batch.x.new_ones(len(batch.x)), batch.x.new_zeros(len(batch.x))
        blur = self.label_blur * batch.noise["labels"]
        return 1 + blur[:, 0], blur[:, 1] if self.blur_fake else torch.zeros_like(blur[:, 1])

    def told(self, seen: Seen, batch: Batch) -> Tensor:
        """`information` times the lower bound [nats] of what generated events tell of their codes."""
        if self.reader is None:
            return batch.x.new_zeros(())
        first = batch.noise["latent"][:, : self.generator.noise]
        codes = self.codes.encode(first[:, -self.codes.normals :])
        told = self.codes.log_prob(self.reader(seen.fake_features), codes).mean() + self.codes.entropy
        return self.information * told

    def diagnose(self, batch: Batch) -> dict[str, Any]:
        """Scores and slopes, the generator's narrowest column, sizes of the critic's weights, what codes tell."""
        batch = self.growth.seen(batch)
        rows, events = len(batch.x), torch.cat([batch.x, self.still(batch)]).requires_grad_()
        self.eval()  # no dropout, running statistics, exact norms
        seen = self.look(self.critic, events[:rows], events[rows:], batch.context)
        self.train()
        scores = torch.cat(self.scores(seen))
        slopes, scores = torch.autograd.grad(scores.sum(), events)[0], scores.detach()
        check_critic(scores, slopes)
        real, fake = scores.chunk(2)
        told = {"scores/real": float(batch.mean(real)), "scores/generated": float(batch.mean(fake)),
                "scores/spread": float(scores.std()), "slope/mean": float(slopes.norm(dim=1)[: 2 * rows].mean()),
                "spread/narrowest": narrowest(batch, events[rows : 2 * rows].detach()), **sizes(self.acting())}
        if self.constraint.holds:
            told["clip/share"] = clipped(self.acting(), self.strength)
        if self.reader is not None:
            told["codes/nats"] = float(self.told(seen, batch).detach()) / self.information
        return told

    def acting(self) -> list[Tensor]:
        """The critic's parameters at the scale at which they act."""
        return [weight.detach() * self.scales.get(name, 1.0) for name, weight in self.critic.named_parameters()]


def mismatch(batch: Batch, differences: Tensor) -> Tensor:
    """|⟨differences⟩|², of (B, F)."""
    signed = differences if batch.weight is None else batch.weight[:, None] * differences
    return signed.mean(0).square().sum()
