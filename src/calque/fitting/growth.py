"""Networks that grow during a training: when each resolution comes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from torch import nn

from calque.errors import ConfigError
from calque.fitting.objective import Batch
from calque.fitting.settings import refuse_ignored
from calque.models import Generator
from calque.models.images import Resolutions


class Growth:
    """Each resolution is held for `hold` steps, then the next is faded in during `fade` steps (arXiv:1710.10196).

    How far networks have grown is a function of the step alone, and kept with their weights. Where neither is set, the
    first half of the training is divided equally among them (`plan`). Without steps to hold and to fade they are
    complete from the beginning. Raises ConfigError for settings that no generator would follow, or players that cannot
    grow together.
    """

    def __init__(self, generator: Generator, others: Iterable[nn.Module], hold: int | None, fade: int | None) -> None:
        self.resolutions = next((part for part in generator.modules() if isinstance(part, Resolutions)), None)
        for name, value in (("hold", hold), ("fade", fade)):
            refuse_ignored(name, value, self.resolutions is not None, "the generator does not grow")
        self.is_planned = hold is None and fade is None
        self.hold, self.fade, self.growing = hold or 0, fade or 0, [self.resolutions] if self.resolutions else []
        if min(self.hold, self.fade) < 0:
            raise ConfigError(f"hold = {hold}, fade = {fade}: numbers of steps are zero or more")
        for part in (part for other in others for part in other.modules() if isinstance(part, Resolutions)):
            if self.resolutions and part.shapes != self.resolutions.shapes:
                raise ConfigError(f"the generator grows through {len(self.resolutions.shapes)} resolutions, the critic "
                                  f"through {len(part.shapes)}; set fit.model.layers and fit.objective.layers alike")
            self.growing += [part] if self.resolutions else []
        self.follow(0)

    @property
    def stages(self) -> int:
        """Resolutions beyond the first."""
        return len(self.resolutions.shapes) - 1 if self.resolutions else 0

    def plan(self, steps: int) -> None:
        """Divide the first half of so many steps; raises ConfigError where what is set takes more than all of them."""
        if self.is_planned or not steps:
            share = steps // (2 * max(1, self.stages))
            self.hold, self.fade = share - share // 2, share // 2
        wanted = self.stages * (self.hold + self.fade)
        if wanted > steps:
            raise ConfigError(f"growing through {self.stages + 1} resolutions with hold = {self.hold} and fade = "
                              f"{self.fade} takes {wanted} steps, and fit.steps = {steps}; leave both out of "
                              f"fit.objective to have them divided, or let them add up to {steps // self.stages} or "
                              "less")
        self.follow(0)

    def is_growing(self, step: int) -> bool:
        """Whether a resolution is still to come, after so many steps."""
        return self.at(step) < self.stages

    def at(self, step: int) -> float:
        """Resolutions beyond the first at a step, with the share of the one that is faded in."""
        if not self.hold + self.fade:
            return float("inf")
        stage, within = divmod(step, self.hold + self.fade)
        return stage + max(0, within + 1 - self.hold) / self.fade if self.fade else float(stage)

    def follow(self, step: int) -> None:
        """Let all networks be as large as at a step."""
        for part in self.growing:
            part.grow(self.at(step))

    def seen(self, batch: Batch) -> Batch:
        """Real images as coarse as they are drawn."""
        return replace(batch, x=self.resolutions.resampled(batch.x)) if self.resolutions else batch
