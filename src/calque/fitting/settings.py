"""Settings of an adversarial objective that would be ignored, or would make no sense, are errors."""

from __future__ import annotations

from calque.errors import ConfigError
from calque.fitting.constraints import Constraint
from calque.fitting.games import Game


def check_labels(name: str, game: Game, label_blur: float | None, blur_labels: str | None) -> None:
    """Raise ConfigError for blurs of labels that are not there."""
    why = f"the game {name!r} has no labels to blur"
    refuse_ignored("label_blur", label_blur, game.labelled, why)
    refuse_ignored("blur_labels", blur_labels, game.labelled, why)
    refuse_ignored("blur_labels", blur_labels, label_blur != 0, "label_blur = 0 leaves all labels alone")


def check_constraint(name: str, constraint: Constraint, strength: float | None, norm: str, lazy: int) -> None:
    """Raise ConfigError for a constraint that does nothing, or that batch norm breaks."""
    if constraint.penalises and norm == "batch":
        raise ConfigError(f"constraint {name!r} is about single events, and batch norm mixes them; "
                          'set fit.objective.norm = "none" or "layer"')
    if constraint.holds and norm == "spectral":
        raise ConfigError(f"constraint {name!r} would be undone: spectral norm divides the clipped weights by their "
                          'norm; set fit.objective.norm = "none", or constraint = "none"')
    refuse_ignored("lazy", lazy if lazy > 1 else None, constraint.penalises, f"the constraint {name!r} is no penalty")
    if lazy < 1:
        raise ConfigError(f"lazy = {lazy}: a penalty is taken every so many steps, 1 or more")
    refuse_ignored("strength", strength, constraint.strength is not None, f"the constraint {name!r} has no strength")
    if strength is not None and strength <= 0 and name != "none":
        raise ConfigError(f"strength = {strength:g} leaves nothing of the constraint {name!r}; take a number "
                          'above zero, or fit.objective.constraint = "none"')


def check_turns(critic_turns: int, generator_turns: int, critic_first: int) -> None:
    """Raise ConfigError for numbers of turns and of steps that cannot be."""
    if min(critic_turns, generator_turns) < 1 or critic_first < 0:
        raise ConfigError(f"critic_turns = {critic_turns}, generator_turns = {generator_turns}, critic_first = "
                          f"{critic_first}: each player takes one turn or more in a step, and the critic no steps or "
                          "more before the game")


def check_tricks(unroll: int, unroll_rate: float | None, information: float | None, codes: bool) -> None:
    """Raise ConfigError for steps ahead that cannot be, and for what would have no effect."""
    if unroll < 0:
        raise ConfigError(f"unroll = {unroll}: the generator looks no steps or more ahead")
    refuse_ignored("unroll_rate", unroll_rate, unroll > 0, "unroll = 0 takes no steps")
    refuse_ignored("information", information, codes,
                   "the generator has no codes; give it fit.model.categorical or fit.model.continuous")


def refuse_ignored(name: str, value: float | str | None, used: bool, why: str) -> None:
    """Raise ConfigError for a setting that would have no effect; zero asks for none."""
    if value and not used:
        raise ConfigError(f"{name} = {value!r} would be ignored: {why}; leave fit.objective.{name} out")


def against_signs(name: str, game: Game, constraint: str, norm: str, within: bool, constrain: float) -> str:
    """Why signed weights are unsound in a game, with the remedy; empty where they are sound."""
    if within:
        return 'the critic is told the spread of events of both signs; set fit.objective.critic = "convolutional"'
    if constrain:
        return "the constrainer's squared errors have no lower bound with them; set fit.objective.constrain = 0"
    if norm == "batch":
        return 'batch norm in the critic mixes events of both signs; set fit.objective.norm = "none"'
    if game.steep:
        return f"the critic's loss in the game {name!r} has no lower bound with them; take another fit.objective.game"
    if constraint == "none" and norm != "spectral":
        return 'nothing bounds the critic\'s loss with them; set fit.objective.constraint, for instance to "r1r2"'
    return ""
