"""The figure of merit of a training: one classifier, quickly."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from calque.judging.classifying.classifier import Classifier
from calque.judging.classifying.trees import Kind
from calque.judging.views import View, view
from calque.table import Table


@dataclass(frozen=True)
class Merit:
    """The figure of merit of one training: AUC (with DeLong's error), reduced χ² and overlap."""

    auc: float
    auc_error: float
    chi2: float
    overlap: float

    def to_dict(self) -> dict[str, float]:
        """Numbers for a history."""
        return asdict(self)


def figure_of_merit(
    real: Table,
    fake: Table,
    seed: int = 0,
    rows: int = 100_000,
    view_name: str | View = "raw",
    kind: Kind = "fast",
    bins: int = 50,
    threads: int | None = 1,
) -> Merit:
    """Train one classifier on half of both and score the other half; for every n steps of a training.

    Takes about 0.1 s for 5 000 rows of each and 1 s for 100 000, six columns, one thread. Raises DataError
    where the tables cannot be compared, e.g. for NaN from a diverged generator.
    """
    classifier = Classifier(kind, view(view_name), rows, bins=bins, replicas=0, threads=threads)
    (scores,) = classifier.scores(real, fake, seed)
    return Merit(scores.auc(), scores.auc_error(), scores.chi2(bins)[0], scores.overlap(bins))
