"""Muons of 400 GeV protons on a thick molybdenum target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from calque.errors import ConfigError
from calque.seeds import derive, numpy_stream
from calque.simulating.cascade import cascade, energetic
from calque.simulating.collisions import Collider
from calque.simulating.decays import discretise
from calque.simulating.heavy import PROCESSES, Heavy
from calque.simulating.particles import Particles
from calque.simulating.simulator import Progress, Simulator
from calque.simulating.target import Target
from calque.table import Table

BEAM = 400.0  # GeV
BLOCK = 2000
UNITS = {"px": "GeV", "py": "GeV", "pz": "GeV", "x": "m", "y": "m", "z": "m"}


@dataclass(frozen=True)
class FixedTarget(Simulator):
    """Simulate `pot` protons; the sum of the weights w is the number of muons to expect from them.

    Muons with p > `least` [GeV] where they are born: px, py, pz [GeV], x, y, z [m], id (PDG, −13 is μ⁺) and w.
    Prompt muons of the beam protons' own collisions have x = y = 0 exactly and weights of their processes. The
    others' are weight_base · weight_factor^k, k = 0, 1, … (weight_base = 0 leaves them as they come). Hadrons
    below `thin_below` [GeV] are thinned (0: never). Equal settings and seeds give equal muons.
    Raises ConfigError for settings without meaning, MissingExtraError without pythia8mc.
    """

    pot: int
    seed: int = 0
    least: float = 10.0
    thin_below: float = 200.0
    weight_base: float = 3e-4
    weight_factor: float = 5.0
    target: Target = field(default_factory=Target)

    def __post_init__(self) -> None:
        if self.pot != int(self.pot) or self.pot < 1:
            raise ConfigError(f"pot = {self.pot}: the number of protons must be whole and at least 1")
        if not 5.0 <= self.least < BEAM:
            raise ConfigError(f"least = {self.least} GeV: muons can be kept from 5 GeV up to the beam's {BEAM:g}")
        if not (self.weight_base >= 0.0 and self.weight_factor > 1.0):
            raise ConfigError(f"weight_base = {self.weight_base}, weight_factor = {self.weight_factor}: "
                              "the first must be at least 0, the second above 1")

    @property
    def total(self) -> int:
        """Protons to simulate: what `progress` counts up to."""
        return int(self.pot)

    def stream(self, progress: Progress | None = None) -> Iterator[Table]:
        """Simulate block by block of protons; `progress` hears how many are done."""
        collider = Collider(BEAM, self.least, derive(self.seed, "soft"))
        heavies = [Heavy(process, BEAM, derive(self.seed, process.switch)) for process in PROCESSES]
        for number, done in enumerate(range(0, self.total, BLOCK)):
            count = min(BLOCK, self.total - done)
            rng = numpy_stream(self.seed, "fixed-target", number)
            beam = Particles.beam(count, BEAM, self.target.front)
            born = [cascade(beam, self.target, collider, self.thin_below, rng)]
            born += [heavy.muons(count, self.target, rng) for heavy in heavies]
            yield self._table(energetic(Particles.join(born), self.least), rng)
            if progress is not None:
                progress(done + count)

    def _table(self, muons: Particles, rng: np.random.Generator) -> Table:
        weight, beside = muons.weight.copy(), muons.vertex[:, :2].any(axis=1)
        if self.weight_base > 0.0:
            weight[beside] = discretise(weight[beside], self.weight_base, self.weight_factor, rng)
        kept = np.flatnonzero(weight > 0.0)
        rng.shuffle(kept)
        columns = dict(zip(("px", "py", "pz"), muons.momentum[kept, :3].T.astype(np.float32), strict=True))
        columns |= dict(zip(("x", "y", "z"), muons.vertex[kept].T.astype(np.float32), strict=True))
        columns |= {"id": muons.id[kept].astype(np.int32), "w": weight[kept].astype(np.float32)}
        return Table.of(columns, UNITS, "w", f"fixed-target simulation, seed {self.seed}")
