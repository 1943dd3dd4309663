"""The one loop: every objective's players take their turns; everything else is common."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from calque.config import FitConfig
from calque.errors import DivergedError
from calque.fitting.batches import Batches, reseed
from calque.fitting.objective import Objective
from calque.fitting.optimisers import Average, make_optimiser, player_settings, set_rate
from calque.models import Generator
from calque.threads import keep_pages


class Loop:
    """A training: its players, their optimisers, the averaged weights and how far it has come."""

    def __init__(self, objective: Objective, batches: Batches, config: FitConfig, seed: int) -> None:
        keep_pages()
        self.objective, self.batches, self.config, self.seed = objective, batches, config, seed
        self.step = 0
        self.players = objective.players
        self.frozen = {name: others(objective, own) for name, own in self.players.items()}
        self.settings = player_settings(config.optimiser, self.players, config.kind)
        self.optimisers = {name: make_optimiser(self.settings[name], own) for name, own in self.players.items()}
        self.steps = config.steps if objective.turns else min(1, config.steps)
        averages = bool(config.average and objective.turns)
        self.average = Average(objective.generator, config.average) if averages else None
        self.sums: dict[str, Tensor] = {}
        self.moves: dict[str, int] = {}
        self.gradients: dict[str, Tensor] = {}

    def advance(self) -> None:
        """One step: all turns, then the average."""
        reseed(self.seed, self.step)
        for player in self.objective.turns_at(self.step):
            self.turn(player)
        self.objective.finish_step(self.step)
        if self.average is not None:
            self.average.update()
        self.step += 1

    def solve(self, weights: Tensor) -> None:
        """The one step of an objective without turns, over all rows with their weights (N,)."""
        reseed(self.seed, self.step)
        self.objective.solve(self.batches.x, self.batches.context, weights.to(self.batches.device))
        self.step += 1

    def turn(self, player: str) -> None:
        """One player's move: only its own parameters change, and only they get gradients."""
        batch = self.batches.draw(self.objective.noise(player))
        for parameter in self.frozen[player]:
            parameter.requires_grad_(False)
        with self.precision():
            loss = self.objective.loss(player, batch, self.step)
        loss.backward()  # type: ignore[no-untyped-call]
        for parameter in self.frozen[player]:
            parameter.requires_grad_(True)
        limit = self.config.clip or math.inf
        if self.config.clip or (self.step + 1) % self.config.watch_every == 0:
            self.gradients[player] = nn.utils.clip_grad_norm_(self.players[player], limit).detach()
        optimiser = self.optimisers[player]
        set_rate(optimiser, self.settings[player], self.step / max(1, self.config.steps))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        self.objective.after(player, self.step)
        self.sums[player] = self.sums.get(player, 0) + loss.detach().float()
        self.moves[player] = self.moves.get(player, 0) + 1

    def precision(self) -> Any:
        """Matrix products in bfloat16 by choice."""
        if self.config.precision == "bf16":
            return torch.autocast(self.batches.device.type, torch.bfloat16)
        return nullcontext()

    def check(self) -> None:
        """Raise DivergedError where a loss is no number any more."""
        for player, total in self.sums.items():
            if not torch.isfinite(total):
                raise DivergedError(f"the {player}'s loss is {float(total)} at step {self.step}; the last good "
                                    "checkpoint is kept; lower fit.optimiser.rate, or set fit.clip = 1")

    def losses(self) -> dict[str, float]:
        """Mean losses since the last call."""
        means = {player: float(total) / self.moves[player] for player, total in self.sums.items()}
        self.sums, self.moves = {}, {}
        return means

    def diagnostics(self) -> dict[str, Any]:
        """Norms of the players' last gradients (before clipping), and what the objective has to tell of a batch."""
        if not self.objective.turns:
            return {}
        norms = {f"gradient/{player}": float(norm) for player, norm in self.gradients.items()}
        reseed(self.seed, self.step)
        return {**norms, **self.objective.diagnose(self.batches.draw(self.objective.noise(self.objective.turns[0])))}

    def averaged(self) -> Generator:
        """A copy of the generator with averaged weights, ready to draw."""
        generator = copy.deepcopy(self.objective.generator)
        if self.average is not None:
            self.average.load_into(generator)
        return generator.eval()


def others(objective: Objective, own: list[nn.Parameter]) -> list[nn.Parameter]:
    """Parameters that a player's turn leaves alone."""
    mine = {id(parameter) for parameter in own}
    return [parameter for parameter in objective.parameters() if id(parameter) not in mine]
