"""The leaderboard as one self-contained web page."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from calque.atomic import write_bytes
from calque.config import Config
from calque.judging.page.exhibits import Exhibit
from calque.judging.page.origin import sheets
from calque.judging.page.render import environment, frame
from calque.leaderboard.pareto import pareto
from calque.leaderboard.ranking import Line, cells, columns, heads


def save_page(path: Path, lines: Sequence[Line], config: Config) -> None:
    """Write the page, whole or not at all; raises FileError where that is impossible."""
    write_bytes(path, render_page(lines, config))


def render_page(lines: Sequence[Line], config: Config) -> str:
    """Ranking and front as HTML that asks nothing of any other place; what users named is escaped."""
    names, plot = columns(lines), pareto(lines)
    template = environment().from_string((files(__package__) / "leaderboard.html").read_text(encoding="utf-8"))
    settings = config.model_dump(exclude={"categories", "produce"}, exclude_none=True)
    return template.render(
        **frame("Leaderboard"), exhibits=[Exhibit.of(plot, 0)] if plot else [], heads=heads(names),
        rows=[cells(one, names) for one in lines], sheets=list(sheets(settings)),
    )
