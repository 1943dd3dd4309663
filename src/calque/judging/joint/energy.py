"""Energy distance: how much farther apart rows of two samples are than rows of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from calque.judging.joint.draws import Index, Numbers, check_settings, check_totals, standards
from calque.judging.joint.kernel import Rows, differences, of_rows, quadratic
from calque.judging.measure import Estimate
from calque.judging.samples import samples
from calque.judging.views import RAW, View
from calque.table import Table

if TYPE_CHECKING:
    import torch

FEW_COLUMNS = 25  # up to here differences of coordinates are as fast as products, and keep all digits


@dataclass(frozen=True)
class EnergyDistance:
    """Energy distance 2E|X−Y| − E|X−X'| − E|Y−Y'| in columns standardised by the real rows (dimensionless).

    Zero only where both distributions are the same. Every pair of at most `rows` rows a class, themselves included,
    so the floor is about E|X−X'| (1/n + 1/m). Negative weights are honoured: it is a squared norm of signed measures.
    Source: Székely and Rizzo, J. Stat. Plan. Inference 143 (2013) 1249.
    """

    view: View = RAW
    rows: int = 10_000
    replicas: int = 200

    def __post_init__(self) -> None:
        check_settings({}, self)

    @property
    def name(self) -> str:
        """Name of the measure."""
        return f"energy_{self.view.name}"

    def __call__(
        self, real: Table, fake: Table, reference: Table | None = None, seed: int = 0
    ) -> tuple[Estimate, ...]:
        """Estimate the distance; raises DataError where the tables cannot be compared."""
        given = samples(self.view, real, fake, reference)
        check_totals(*given)
        centre, scale = standards(given[0])
        return (of_rows("energy", self.view.name, energy, given, centre, scale, self.rows, self.replicas, seed),)


def energy(first: Rows, second: Rows, drawn: Index, drawn_too: Index) -> Numbers:
    """Energy distance (R,) of drawn rows."""
    a, b = first.shares(drawn)[0], second.shares(drawn_too)[0]
    return -quadratic(distances, *differences(first, second, a, b))


def distances(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Euclidean distances (N, M)."""
    import torch

    exact = x.shape[1] <= FEW_COLUMNS
    mode = "donot_use_mm_for_euclid_dist" if exact else "use_mm_for_euclid_dist_if_necessary"
    return torch.cdist(x, y, compute_mode=mode)
