"""Optimisers by name, one per player, and the schedules of their rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer, RMSprop

from calque.config import OptimiserConfig, PlayerConfig
from calque.errors import ConfigError, unknown

Shape = Callable[
    [float, float, int], float
]  # progress, share at the end, drops → share of the rate

SCHEDULES: dict[str, Shape] = {
    "constant": lambda progress, last, drops: 1.0,
    "cosine": lambda progress, last, drops: (
        last + (1 - last) * 0.5 * (1 + math.cos(math.pi * progress))
    ),
    "linear": lambda progress, last, drops: 1 - (1 - last) * progress,
    "exponential": lambda progress, last, drops: last**progress,
    "step": lambda progress, last, drops: last ** (min(drops, int((drops + 1) * progress)) / drops),
}
TO_ZERO = ("cosine", "linear")  # schedules that end at zero, where nothing else is set
USERS = {
    "momentum": ("rmsprop", "sgd"),
    "last": ("cosine", "linear", "exponential", "step"),
    "drops": ("step",),
}
CHOICES = {
    "momentum": "name",
    "last": "schedule",
    "drops": "schedule",
}  # what decides on the use of a setting


def player_settings(
    config: OptimiserConfig, players: Iterable[str], kind: str
) -> dict[str, OptimiserConfig]:
    """Complete the settings of every player's optimiser.

    Parameters
    ----------
    config : OptimiserConfig
        The table [fit.optimiser], with tables of single players.
    players : iterable of str
        Who plays.
    kind : str
        The kind of generator, for messages.

    Returns
    -------
    dict of str to OptimiserConfig
        The settings of each player, without tables of players.

    Raises
    ------
    ConfigError
        For a player that this kind does not have, and for a setting that no optimiser would use.

    Examples
    --------
    >>> config = OptimiserConfig(rate=0.1, critic=PlayerConfig(rate=0.2))
    >>> own = player_settings(config, ["critic", "generator"], "gan")
    >>> {name: settings.rate for name, settings in own.items()}
    {'critic': 0.2, 'generator': 0.1}
    """
    tables = own_tables(config)
    names = list(players)
    for name in tables:
        if name not in names:
            raise ConfigError(
                unknown("player", name, names, f"of kind {kind!r} (fit.optimiser.{name})")
            )
    common = config.model_copy(update=dict.fromkeys(tables))
    found = {name: common.model_copy(update=tables.get(name, {})) for name in names}
    check_used_settings(common, tables, found)
    return found


def own_tables(config: OptimiserConfig) -> dict[str, dict[str, object]]:
    """What the tables of single players set."""
    parts = {name: getattr(config, name) for name in OptimiserConfig.model_fields}
    return {
        name: part.model_dump(exclude_none=True)
        for name, part in parts.items()
        if isinstance(part, PlayerConfig)
    }


def check_used_settings(
    common: OptimiserConfig,
    tables: Mapping[str, Mapping[str, object]],
    found: Mapping[str, OptimiserConfig],
) -> None:
    """Raise ConfigError for settings that nothing uses, and for a rate that would vanish at once."""
    for setting, users in USERS.items():
        choice = CHOICES[setting]
        if getattr(common, setting) and not any(
            getattr(own, choice) in users for own in found.values()
        ):
            refuse_unused(
                f"fit.optimiser.{setting}",
                getattr(common, setting),
                choice,
                getattr(common, choice),
                users,
            )
        for name, table in tables.items():
            if table.get(setting) and getattr(found[name], choice) not in users:
                refuse_unused(
                    f"fit.optimiser.{name}.{setting}",
                    table[setting],
                    choice,
                    getattr(found[name], choice),
                    users,
                )
    for own in found.values():
        if own.last == 0 and own.schedule in ("exponential", "step"):
            raise ConfigError(
                f"fit.optimiser.last = 0: the schedule {own.schedule!r} multiplies the rate, and never "
                'reaches zero; take a number above zero, or schedule = "cosine" or "linear"'
            )


def refuse_unused(
    where: str, value: object, choice: str, chosen: str, users: tuple[str, ...]
) -> None:
    """Raise ConfigError for a setting that has no effect."""
    able = ", ".join(repr(user) for user in users)
    raise ConfigError(
        f"{where} = {value} would be ignored: {choice} = {chosen!r}, and it belongs to {able}; "
        "leave it out"
    )


def make_optimiser(config: OptimiserConfig, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Adam (with amsgrad by choice; fused kernels), RMSprop or SGD, both with momentum by choice."""
    parameters = list(parameters)
    if config.name == "rmsprop":
        return RMSprop(
            parameters,
            lr=config.rate,
            weight_decay=config.decay,
            momentum=config.momentum,
            foreach=True,
        )
    if config.name == "sgd":
        return SGD(
            parameters,
            lr=config.rate,
            weight_decay=config.decay,
            momentum=config.momentum,
            foreach=True,
        )
    return Adam(
        parameters,
        lr=config.rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.decay,
        amsgrad=config.name == "adam-amsgrad",
        fused=True,
    )


def scheduled_rate(config: OptimiserConfig, progress: float) -> float:
    """The rate where `progress` goes from 0 to 1.

    >>> config = OptimiserConfig(rate=1.0, schedule="step", last=0.001)
    >>> [round(scheduled_rate(config, progress), 3) for progress in (0, 0.24, 0.25, 0.5, 0.75, 1)]
    [1.0, 1.0, 0.1, 0.01, 0.001, 0.001]
    """
    last = config.last
    if last is None:
        last = 0.0 if config.schedule in TO_ZERO else 0.01
    return config.rate * SCHEDULES[config.schedule](progress, last, config.drops or 3)


def set_rate(optimiser: Optimizer, config: OptimiserConfig, progress: float) -> None:
    """Follow the schedule; `progress` goes from 0 to 1."""
    if config.schedule != "constant":
        for group in optimiser.param_groups:
            group["lr"] = scheduled_rate(config, progress)


class Average:
    """Exponential average of a network's floating-point state (parameters and batch statistics).

    The share of the past grows from 0 to `decay` like (1 + n)/(10 + n), so that short trainings are not held
    at their beginning.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.source = [
            tensor
            for tensor in network.state_dict(keep_vars=False).values()
            if tensor.is_floating_point()
        ]
        self.values = [tensor.detach().clone() for tensor in self.source]
        self.count = 0

    def update(self) -> None:
        """Move towards the present."""
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        self.count += 1
        torch._foreach_lerp_(self.values, self.source, 1 - decay)

    def load_into(self, network: nn.Module) -> None:
        """Give a copy of the network the averaged state."""
        wanted = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
        torch._foreach_copy_(wanted, self.values)
