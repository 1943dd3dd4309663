"""Train every entry of a [leaderboard] with every seed, judge it, time it, and put all on one page."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from calque.atomic import write_bytes
from calque.config import CategoryConfig, Config, LeaderboardConfig
from calque.errors import ConfigError, DivergedError, FileError
from calque.fitting.claims import check_settings
from calque.folder import is_run, lock_training
from calque.leaderboard.page import save_page
from calque.leaderboard.ranking import Line, ranked, table
from calque.leaderboard.rates import rates
from calque.leaderboard.scores import Score, score
from calque.pipeline import load_data, simulated, train_part
from calque.run import load_run

SCORE, PAGE, NUMBERS = "score.json", "leaderboard.html", "leaderboard.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Task:
    """One training of the board."""

    name: str
    config: Config

    @property
    def folder(self) -> Path:
        """Its run folder."""
        return Path(self.config.out)


def run_leaderboard(config: Config, resume: bool = False, quiet: bool = False, say: Say = print) -> Path:
    """Do what is not done yet and write the page; returns its path. Raises CalqueError in one line.

    Each training is judged as it ends and its score is kept in its folder, so that an interrupted board goes on with
    `resume`; the page is written after every seed, with what there is. A training that diverges is a line too.
    """
    with lock_training(Path(config.out)):
        return run_locked(config, resume, quiet, say)


def run_locked(config: Config, resume: bool, quiet: bool, say: Say) -> Path:
    """What `run_leaderboard` does in a folder that no other process writes to."""
    board, config = board_of(config), simulated(config, quiet, say)
    todo, done = tasks(config, board), []
    if not resume and any(is_run(task.folder) for task in todo):
        raise FileError(f"{config.out} holds trainings already; go on with --resume, or choose another with --out")
    page = Path(config.out) / PAGE
    for place, task in enumerate(todo, 1):
        say(f"{place} of {len(todo)}: {task.name}, seed {task.config.seed}")
        done.append(scored(task, board, quiet, say))
        if place == len(todo) or todo[place].config.seed != task.config.seed:
            found = publish(page, config, done, todo[: len(board.kinds)])
    say(f"\n{table(found)}\n\nto look at: {page}")
    return page


def board_of(config: Config) -> LeaderboardConfig:
    """The section; raises ConfigError where it leaves nothing to do."""
    board = config.leaderboard
    if board is None or not board.kinds or not board.seeds:
        raise ConfigError("a leaderboard needs entries, as tables [leaderboard.kinds.NAME], and leaderboard.seeds")
    for name in board.kinds:
        if "/" in name or name.startswith("."):
            raise ConfigError(f"leaderboard.kinds.{name!r} would name a folder; leave out / and a point in front")
    return board


def tasks(config: Config, board: LeaderboardConfig) -> list[Task]:
    """Every entry with the first seed, then with the second …"""
    return [Task(name, configured(config, name, own, seed)) for seed in board.seeds
            for name, own in board.kinds.items()]


def configured(config: Config, name: str, own: dict[str, object], seed: int) -> Config:
    """The configuration of one training: the common one, with the entry's [fit] on top."""
    entry = CategoryConfig(fit={"kind": name, **own}, seed=seed)
    folder = str(Path(config.out) / f"seed-{seed}")
    alone = {"leaderboard": None, "categories": {name: entry}, "out": folder}
    return config.model_copy(update=alone).category(name)


def scored(task: Task, board: LeaderboardConfig, quiet: bool, say: Say) -> Score:
    """The score of a training, made now unless it was kept."""
    kept = task.folder / SCORE
    before = read_score(kept)
    if before is not None:
        if is_run(task.folder):  # none where its training diverged at once
            check_settings(task.config, task.folder)
        return before
    data = load_data(task.config)
    try:
        run = train_part(task.config, data, is_run(task.folder), quiet, say)
        made = score(task.name, run, data, board.parts)
    except DivergedError as error:
        made = Score(task.name, task.config.fit.kind, task.config.seed, failed=str(error),
                     preset=task.config.fit.preset)
    write_bytes(kept, json.dumps(vars(made), indent=1))
    say(str(made))
    return made


def read_score(path: Path) -> Score | None:
    """A score that was kept; None where there is none, or it is damaged and has to be made again."""
    try:
        return Score(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, RecursionError):
        warnings.warn(f"{path} is damaged: it is made again", stacklevel=3)
        return None


def publish(page: Path, config: Config, done: Sequence[Score], first: Sequence[Task]) -> list[Line]:
    """Time what is there, rank it, write numbers and page."""
    failed = {made.name for made in done if made.failed}
    speeds = rates({task.name: load_run(task.folder) for task in first if task.name not in failed})
    found = ranked(done, speeds)
    write_bytes(page.with_name(NUMBERS), json.dumps([line.to_dict() for line in found], indent=1))
    save_page(page, found, config)
    return found
