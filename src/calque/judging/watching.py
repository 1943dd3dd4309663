"""The few measures that are quick enough for every n steps of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from calque.errors import ConfigError, unknown
from calque.judging.columns import Columns
from calque.judging.joint import Correlation, EnergyDistance, FrechetPhysicsDistance, SlicedWasserstein
from calque.judging.measure import Measure
from calque.judging.merit import figure_of_merit
from calque.table import Table

REPLICAS = 20  # only values are kept

WATCHABLE: dict[str, Callable[[int], Measure]] = {
    "ks": lambda rows: Columns(distances=("ks",), replicas=REPLICAS),
    "js": lambda rows: Columns(distances=("js",), replicas=REPLICAS),
    "sliced_wasserstein": lambda rows: SlicedWasserstein(rows=rows, replicas=REPLICAS),
    "fpd": lambda rows: FrechetPhysicsDistance(replicas=REPLICAS),
    "energy": lambda rows: EnergyDistance(rows=rows, replicas=REPLICAS),
    "correlation": lambda rows: Correlation(replicas=REPLICAS),
}
SIGNED = ("energy", "fpd", "ks")  # those that negative weights have a meaning in


def check_watchable(names: Iterable[str], signed: bool = False) -> None:
    """Raise ConfigError, naming the nearest, for what cannot be watched, or not with negative weights."""
    for name in names:
        if name not in WATCHABLE and name != "auc":
            raise ConfigError(unknown("measure", name, ["auc", *WATCHABLE], "to watch (fit.measures)"))
        if signed and name not in SIGNED:
            raise ConfigError(f"fit.watch and fit.measures: {name!r} knows no negative weights; "
                              f"{', '.join(SIGNED)} do, and so does log_prob where there is a density")


def watched(names: Iterable[str], real: Table, fake: Table, rows: int, seed: int = 0) -> dict[str, float]:
    """Take these measures; of a measure of columns the largest. "auc" brings the note's χ² and overlap along."""
    found: dict[str, float] = {}
    for name in names:
        if name == "auc":
            merit = figure_of_merit(real, fake, seed=seed, rows=rows)
            found |= {"auc": merit.auc, "chi2": merit.chi2, "overlap": merit.overlap}
        else:
            estimates = WATCHABLE[name](rows)(real, fake, seed=seed)
            found |= {name: max(estimate.value for estimate in estimates)} if estimates else {}
    return found
