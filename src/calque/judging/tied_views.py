"""Views that show a tie among columns: the mass of energy and momentum, and where real rows hardly spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calque.judging.views import View
from calque.table import Table

MOMENTUM = ("px", "py", "pz")
ENERGIES = ("e", "E", "energy")
NARROW = 1e-4  # of a column's variance: a direction in which real rows spread less is a view of its own
MOST = 3  # directions
TILT = 1e-6  # of a column that is added to each direction: exact ties keep some spread, and rounding drowns
ROWS, PER_COLUMN = 100_000, 10


def tied_views(real: Table) -> tuple[View, ...]:
    """Views that a real sample asks for: its masses, and its narrowest directions where those are very narrow."""
    found = [mass_view(real)]
    directions = Directions.of(real)
    if directions is not None and directions.variances.min() < NARROW:
        found.append(View("principal", directions))
    return tuple(view for view in found if view is not None)


def known_views(real: Table) -> tuple[View, ...]:
    """Views that may be asked for by name, narrow or not."""
    directions = Directions.of(real)
    return () if directions is None else (View("principal", directions),)


def mass_view(real: Table) -> View | None:
    """The mass in place of the energy, √|e² − p²| with the sign of the square; None without e, px, py and pz."""
    flat = {name for name in real.features if real[name].ndim == 1}
    energy = next((name for name in ENERGIES if name in flat), None)
    if energy is None or not set(MOMENTUM) <= flat:
        return None
    mass = "mass" if "mass" not in real.names else "invariant_mass"

    def replace_energy(table: Table) -> Table:
        """Put the mass where the energy was."""
        table.require((energy, *MOMENTUM))
        momentum = sum(table[name].astype(np.float64) ** 2 for name in MOMENTUM)
        square = table[energy].astype(np.float64) ** 2 - momentum
        rest = table.select([other for other in table.names if other != energy])
        units = {mass: table.units.get(energy, "")}
        return rest.with_columns({mass: np.sign(square) * np.sqrt(np.abs(square))}, units)

    return View("mass", replace_energy) if mass in replace_energy(real).varying else None


@dataclass(frozen=True)
class Directions:
    """The directions of scaled columns in which real rows spread least, each in units of that spread."""

    names: tuple[str, ...]
    centre: NDArray[np.float64]
    width: NDArray[np.float64]
    vectors: NDArray[np.float64]
    variances: NDArray[np.float64]

    @classmethod
    def of(cls, real: Table) -> Directions | None:
        """Take them from the real rows; None for images, a single column, or too few rows."""
        names = tuple(name for name in real.varying if real[name].ndim == 1)
        if len(names) < 2 or len(names) < len(real.features) or len(real) < PER_COLUMN * len(names):
            return None
        values = np.stack([real[name][:ROWS].astype(np.float64) for name in names], 1)
        centre, width = values.mean(0), values.std(0)
        if not width.all() or not np.isfinite(width).all():
            return None
        scaled = (values - centre) / width
        variances, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        count = min(MOST, len(names) - 1)
        narrow = variances[:count].clip(min=TILT**2)
        return cls(names, centre, width, vectors[:, :count], narrow)

    def __call__(self, table: Table) -> Table:
        """Columns along the directions, the narrowest first; the weight stays."""
        table.require(self.names)
        values = np.stack([table[name].astype(np.float64) for name in self.names], 1)
        scaled = (values - self.centre) / self.width
        largest = np.abs(self.vectors).argmax(0)
        along = (scaled @ self.vectors + TILT * scaled[:, largest]) / np.sqrt(self.variances)
        columns = {f"direction_{at + 1}": along[:, at] for at in range(along.shape[1])}
        weight = {} if table.weight is None else {table.weight: table.weights}
        return Table.of({**columns, **weight}, {}, table.weight, table.source)
