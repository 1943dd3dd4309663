"""The progress of a training in pictures: every few steps, into the run folder and onto a page that reloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from calque.atomic import write_bytes
from calque.errors import ConfigError
from calque.fitting.loop import Loop
from calque.fitting.watch import Watch, limit_rows
from calque.folder import PROGRESS
from calque.judging.classifying.classifier import Classifier, Judgement
from calque.judging.drawing.plot import Plot
from calque.judging.drawing.training import draw_training
from calque.judging.page.progress import Progress, write_progress
from calque.judging.samples import LEAST_ROWS
from calque.judging.verdict import geometry_of_run
from calque.preparing import TRAIN, Data
from calque.table import Table


class Showing:
    """Draws overlays of all columns, pairs and a classifier's output, `fit.show_every` steps apart.

    Real rows are those of the validation, or of the training where there are fewer than fifty. PNG files go to a
    folder for each step, and the latest onto the page. What cannot be drawn of early, degenerate rows is left out with
    one note. The training itself is the same with and without.
    """

    def __init__(self, watch: Watch, data: Data, folder: Path) -> None:
        self.watch, self.run, self.config = watch, watch.run, watch.config
        self.folder = folder / PROGRESS
        self.real, self.what = watch.real, "validation rows"
        if len(self.real) < LEAST_ROWS:
            rows = limit_rows(data.judged(TRAIN), self.config.watch_rows, data.seed)
            self.real, self.what = rows.keep(rows.varying), "training rows"
        self.geometry = geometry_of_run(self.run)
        self.plots: tuple[Plot, ...] = ()
        self.step = 0

    def is_due(self, loop: Loop) -> bool:
        """Whether it is time for pictures: every few steps, and after the last."""
        return loop.step % self.config.show_every == 0 or loop.step == loop.steps

    def show(self, loop: Loop, history: Sequence[Mapping[str, Any]]) -> None:
        """Draw, and write the files of this step and the page."""
        drawn = replace(self.run, generator=loop.averaged().cpu())
        fake: Table | None = None
        with self.watch.tolerate("a sample to draw", loop.step):
            fake = drawn.imitate(self.real, seed=loop.step)
        if fake is None:
            return
        judgements = self.compare(fake, loop.step)
        with self.watch.tolerate("a picture", loop.step):
            self.plots = draw_training(judgements, self.real, fake, history, self.geometry)
            self.step = loop.step
            for plot in self.plots:
                write_bytes(self.folder / name_step(loop.step) / f"{plot.name}.png", plot.png)
            self.write_page(loop)

    def compare(self, fake: Table, step: int) -> dict[str, Judgement]:
        """What a classifier says, without a floor, which would take a second training."""
        classifier = Classifier(rows=self.config.watch_rows, replicas=0, threads=1)
        with self.watch.tolerate("a picture of a classifier", step):
            seed = self.run.config.seed
            scores = classifier.scores(self.real, fake, seed)
            return {"trees": Judgement(classifier.summarise(scores, scores, False, seed), scores, ())}
        return {}

    def write_page(self, loop: Loop, is_finished: bool = False) -> None:
        """The page as it is now."""
        title = f"{self.folder.parent.name}, {self.config.kind}"
        progress = Progress(title, self.step, loop.steps, len(self.real), self.what, is_finished)
        known = sorted(path.name for path in self.folder.iterdir() if path.is_dir())
        write_progress(self.folder, progress, self.plots, [name for name in known if name != name_step(self.step)])

    def finish(self, loop: Loop) -> None:
        """Leave the page as it is, without another reload."""
        if self.plots:
            self.write_page(loop, is_finished=True)


def name_step(step: int) -> str:
    """Folder of a step; names sort as steps do.

    >>> name_step(500)
    '0000500'
    """
    return f"{step:07d}"


def check_showing(show_every: int, folder: Path | None) -> None:
    """Raise ConfigError where there is no folder to draw into."""
    if show_every and folder is None:
        raise ConfigError(f"fit.show_every = {show_every} draws into the run folder; name one with out")
