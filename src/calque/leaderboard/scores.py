"""What one training is worth: its figures in every part of the sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from calque.errors import DataError
from calque.judging import judge_tables
from calque.judging.report import CLASSIFIERS
from calque.judging.verdict import geometry_of_run, settings_of
from calque.preparing import JUDGE, TRAIN, VALIDATE, Data
from calque.reading.where import Where
from calque.run import Run
from calque.seeds import derive
from calque.table import Table

MEASURES = ("trees", "copying")
Figure = dict[str, float]


@dataclass(frozen=True)
class Score:
    """Figures of one training: by part of the sample, by name (auc_raw, copying_raw …), value, error and floor."""

    name: str
    kind: str
    seed: int
    seconds: float = 0.0
    steps: int = 0
    best_step: int = 0
    parameters: int = 0
    parts: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)
    failed: str = ""
    preset: str = "default"

    def __str__(self) -> str:
        found = [f"{part} {name} {figure['value']:.4f}" for part, figures in self.parts.items()
                 for name, figure in figures.items() if name.startswith("auc")]
        return f"  {self.failed or ', '.join(found)}; {self.seconds:.0f} s"


def score(name: str, run: Run, data: Data, parts: Mapping[str, str]) -> Score:
    """Draw as many events as there are judging rows, and judge each part by itself, as [judge] says."""
    real = data.judged(JUDGE)
    trained = Table.concatenate([data.judged(TRAIN), data.judged(VALIDATE)])
    tables = real, run.imitate(real, seed=derive(data.seed, "leaderboard")), trained
    found = {part: figures(part, where, tables, run) for part, where in (parts or {"all": ""}).items()}
    made = run.provenance
    return Score(name, run.config.fit.kind, run.config.seed, made["fit_seconds"], made["steps"], made["best_step"],
                 sum(weight.numel() for weight in run.generator.parameters()), found,
                 preset=run.config.fit.preset)


def figures(part: str, where: str, tables: tuple[Table, Table, Table], run: Run) -> dict[str, Figure]:
    """Every AUC and copying fraction of one part; raises DataError where there is nothing of it."""
    chosen = [table.rows(Where(where).mask(table.columns)) if where else table for table in tables]
    if not len(chosen[0]):
        raise DataError(f"leaderboard.parts: {part!r} ({where}) holds for none of the judging rows")
    real, fake, train = (table.keep(chosen[0].varying) for table in chosen)
    wanted = {name: value for name, value in settings_of(run.config).items() if name not in ("plots", "measures")}
    report = judge_tables(real, fake, train=train, measures=MEASURES, geometry=geometry_of_run(run), **wanted)
    return {estimate.name: {"value": estimate.value, "error": estimate.error, "floor": estimate.floor}
            for estimate in report.of(*CLASSIFIERS, "copying")}
