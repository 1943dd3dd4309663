"""What a tuning found: draws of parameters with means, widths and correlations, each with an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calque.atomic import write_bytes
from calque.errors import FileError
from calque.mixture import Mixture, load
from calque.producing import produce
from calque.provenance import save_categories
from calque.run import Run
from calque.table import Array, Table
from calque.tuning.truth import Against, against, in_json, in_words

ANSWER, DRAWN = "tuned.json", "parameters.h5"
DRAWS = 20_000  # parameter vectors of each member
UNLIKE = 0.6  # AUC, above which no parameters make such data
Estimate = tuple[float, float]  # value and error


@dataclass(frozen=True)
class Tuned:
    """The answer: parameters that each member draws, and how alike their images are to the data.

    `auc` (with DeLong's error) tells a classifier's success between images of the parameters found, `origin`
    (simulated or emulated), and the data: 0.5 where they are alike. Errors of means, widths and correlations are the
    spread of the members, each of which saw another resampling of the `rows` of the data. `floor` is the same AUC
    between two halves of the data. `truth`, where it is known, holds the parameters of the data; nothing learnt them.
    """

    names: tuple[str, ...]
    draws: tuple[Table, ...]
    runs: Sequence[Run]
    rows: int
    auc: Estimate
    origin: str
    floor: Estimate | None = None
    truth: Table | None = None

    def sample(self, n: int, seed: int = 0) -> Table:
        """Draw n parameter vectors, from all members alike."""
        return Mixture(tuple(self.runs)).sample(n, seed=seed)

    def estimate(self, of: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Mean over the members of a function of their draws (N, P), and its error: their spread, widened."""
        each = np.array([of(np.stack([table[name] for name in self.names], 1)) for table in self.draws])
        return each.mean(0), each.std(0, ddof=1) * widening(len(each))

    @property
    def means(self) -> dict[str, Estimate]:
        """Mean of each parameter."""
        return self.named(*self.estimate(lambda drawn: drawn.mean(0)))

    @property
    def widths(self) -> dict[str, Estimate]:
        """Standard deviation of each parameter."""
        return self.named(*self.estimate(lambda drawn: drawn.std(0)))

    @property
    def correlations(self) -> tuple[Array, Array]:
        """Correlation coefficients (P, P) and their errors."""
        return self.estimate(lambda drawn: np.corrcoef(drawn.T).reshape(len(self.names), -1))

    def named(self, values: Array, errors: Array) -> dict[str, Estimate]:
        """One estimate per parameter."""
        return {name: (float(value), float(error))
                for name, value, error in zip(self.names, values, errors, strict=True)}

    @property
    def against(self) -> list[Against]:
        """Each parameter beside its truth, where that is known."""
        return [] if self.truth is None else against(self.truth, self.means, self.widths)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        values, errors = self.correlations
        return {"parameters": list(self.names), "means": self.means, "widths": self.widths,
                "correlations": values.tolist(), "correlation_errors": errors.tolist(), "rows": self.rows,
                "members": len(self.runs), "auc": self.auc, "floor": self.floor, "images": self.origin,
                **({} if self.truth is None else {"truth": in_json(self.truth, self.against)})}

    def __str__(self) -> str:
        long = max(9, *(len(name) for name in self.names))
        values, errors = self.correlations
        lines = [f"{'parameter':{long}}  {'mean':>20}  {'width':>20}  correlations"]
        for row, name in enumerate(self.names):
            pairs = "  ".join(f"{value:+.2f}±{error:.2f}"
                              for value, error in zip(values[row, :row], errors[row, :row], strict=True))
            mean, width = (f"{value:.4g} ± {error:.2g}" for value, error in (self.means[name], self.widths[name]))
            lines.append(f"{name:{long}}  {mean:>20}  {width:>20}  {pairs}".rstrip())
        return "\n".join([*lines, *(in_words(self.against) if self.against else ()), self.verdict()])

    def verdict(self) -> str:
        """Whether these parameters make such data."""
        value, error = self.auc
        told = f"{self.origin} images of these parameters against the data: AUC {value:.3f} ± {error:.3f}"
        if self.floor is not None:
            told += f" (half of the data against the other: {self.floor[0]:.3f} ± {self.floor[1]:.3f})"
        if value - 2 * error <= UNLIKE:
            return told
        return (f"{told}; no parameters in this space make such data, or not with this emulator: the answer is the "
                "nearest there is")

    def save(self, folder: Path) -> None:
        """Keep the members, draws of parameters and the numbers, which come last."""
        config = self.runs[0].config
        names = [f"member-{number}" for number in range(len(self.runs))]
        for name, run in zip(names, self.runs, strict=True):
            run.save(folder / name)
        categories: dict[str, Any] = {name: {} for name in names}
        save_categories(type(config).model_validate({**config.model_dump(), "out": str(folder),
                                                     "categories": categories}))
        (folder / DRAWN).unlink(missing_ok=True)
        produce(list(self.runs), DRAWS * len(self.runs), out=folder / DRAWN, exact=True, quiet=True)
        write_bytes(folder / ANSWER, json.dumps(self.to_dict(), indent=1))


def load_tuned(folder: str | Path) -> dict[str, Any]:
    """The numbers of an answer; raises FileError where there is none. `calque.load` opens what draws parameters."""
    path = Path(folder) / ANSWER
    if not path.is_file():
        raise FileError(f"{folder} holds no finished tuning (no {ANSWER}); calque tune makes one, --resume ends one")
    load(folder)
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError, RecursionError) as error:
        raise FileError(f"{path} is damaged; --resume makes it anew") from error


def widening(members: int) -> float:
    """What makes an error of the spread of a few members, so that 68 % of the truths lie within it.

    Members lie around the estimate as the estimate around the truth (bootstrap): their mean and the truth differ by
    √(1 + 1/n) times Student's t of n − 1 degrees of freedom.

    >>> round(widening(2), 2), round(widening(5), 2), round(widening(10_000), 2)
    (2.25, 1.25, 1.0)
    """
    from scipy.special import ndtr, stdtrit

    return float(stdtrit(members - 1, ndtr(1.0)) * np.sqrt(1 + 1 / members))
