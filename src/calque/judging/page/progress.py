"""The page of a training that goes on: the latest plots, and a reload every few seconds."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calque.atomic import write_bytes
from calque.judging.drawing.plot import Plot
from calque.judging.page.render import environment

SECONDS = 10  # between two reloads
PAGE = "progress.html"


@dataclass(frozen=True)
class Progress:
    """How far a training is: its title, the step of `steps`, and how many rows of what it is compared with."""

    title: str
    step: int
    steps: int
    rows: int
    what: str
    is_finished: bool = False


def write_progress(folder: Path, progress: Progress, plots: Sequence[Plot], earlier: Sequence[str]) -> Path:
    """Write the page of a training.

    Parameters
    ----------
    folder : Path
        Where it goes.
    progress : Progress
        What it says above the plots.
    plots : sequence of Plot
        What it shows; their PNG lie within the page.
    earlier : sequence of str
        Names of folders beside the page with plots of earlier steps.

    Returns
    -------
    Path
        The page.
    """
    figures = [{"title": plot.title, "alt": plot.alt, "png": base64.b64encode(plot.png).decode(),
                "width": "wide" if plot.section == "pairs" or plot.wide else "narrow"} for plot in plots]
    text = environment().get_template(PAGE).render(
        title=progress.title, step=progress.step, steps=progress.steps, rows=progress.rows, what=progress.what,
        is_finished=progress.is_finished, seconds=SECONDS, figures=figures, earlier=earlier)
    write_bytes(folder / PAGE, text)
    return folder / PAGE
