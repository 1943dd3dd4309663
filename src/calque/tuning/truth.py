"""Parameters that are known to have made the data: compared with the answer, never used for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calque.errors import DataError
from calque.judging.measure import finite, plus_minus
from calque.reading import read
from calque.table import Array, Table

TOLD = "truth in the file: compared, not used"
Estimate = tuple[float, float]  # value and error


@dataclass(frozen=True)
class Against:
    """One parameter's true mean and width, and how far the answer is from them.

    `offset` is that of the mean in true widths, `pull` the same over the mean's error; `ratio` is that of the widths,
    found over true, with its error, `width_pull` its distance from 1 over that.
    """

    name: str
    mean: float
    width: float
    offset: float
    pull: float
    ratio: Estimate
    width_pull: float

    @classmethod
    def of(cls, name: str, true: Array, mean: Estimate, width: Estimate) -> Against:
        """Compare a found mean and width with true values (N,)."""
        middle, spread = float(true.mean()), float(true.std())
        away = mean[0] - middle
        return cls(name, middle, spread, over(away, spread), over(away, mean[1]),
                   (over(width[0], spread), over(width[1], spread)), over(width[0] - spread, width[1]))


def over(part: float, whole: float) -> float:
    """A quotient, unknown where nothing is divided by."""
    return part / whole if whole > 0 else float("nan")


def against(truth: Table, means: Mapping[str, Estimate], widths: Mapping[str, Estimate]) -> list[Against]:
    """Every parameter beside its truth."""
    return [Against.of(name, truth[name].astype(np.float64), means[name], widths[name]) for name in means]


def in_json(truth: Table, compared: Sequence[Against]) -> dict[str, Any]:
    """The comparison as plain values."""
    drawn = np.stack([truth[one.name] for one in compared])
    plain: dict[str, Any] = finite({
        "rows": len(truth), "correlations": np.corrcoef(drawn).reshape(len(drawn), -1).tolist(),
        **{key: {one.name: asdict(one)[key] for one in compared}
           for key in ("mean", "width", "offset", "pull", "ratio", "width_pull")}})
    return plain


def in_words(compared: Sequence[Against]) -> list[str]:
    """The comparison as lines of text."""
    long = max(9, *(len(one.name) for one in compared))
    lines = [TOLD, f"{'parameter':{long}}  {'true mean':>12}  {'offset/error':>12}  {'true width':>12}  "
                   f"{'width found/true':>17}  {'pull':>5}"]
    return lines + [f"{one.name:{long}}  {one.mean:>12.4g}  {one.pull:>+12.1f}  {one.width:>12.4g}  "
                    f"{plus_minus(*one.ratio):>17}  {one.width_pull:>+5.1f}" for one in compared]


def with_truth(data: Table | str | Path, columns: Sequence[str], names: Sequence[str]) -> tuple[Table, Table | None]:
    """The columns of images, and those of the parameters where all are there; raises DataError for NaN in these."""
    if isinstance(data, Table):
        table, known = data, set(names) <= set(data.names)
    else:
        known = is_there(data, names)
        table = read(data, columns=[*columns, *(names if known else ())])
    table.require(columns)
    truth = table.select(names) if names and known else None
    for name, rows in (truth.nonfinite() if truth is not None else {}).items():
        raise DataError(f"true parameter {name!r} of {table.source} is not finite in {len(rows)} events (first rows "
                        f"{rows[:3].tolist()}); leave the column out, or those events")
    return table.select(columns), truth


def is_there(path: str | Path, names: Sequence[str]) -> bool:
    """Whether a file has all of these columns."""
    try:
        read(path, columns=list(names), limit=1)
    except DataError:
        return False
    return True
