"""Judge a table of generated rows: every measure in every view, each with its error and its floor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from calque.errors import ConfigError
from calque.geometry import Geometry
from calque.judging.catalogue import (
    CATALOGUE,
    NEEDS_CONTEXT,
    NEEDS_DRAWS,
    NEEDS_GEOMETRY,
    NEEDS_TRAINING,
    ONCE,
    PIXELS,
    SINGLE,
    UNFIT_FOR_SHOWERS,
    Budget,
    Choice,
    choose_measures,
)
from calque.judging.classifying.classifier import Classifier, Judgement
from calque.judging.copies import check_overlap
from calque.judging.images import image_columns
from calque.judging.measure import Estimate, Measure
from calque.judging.repeats import describe_repeats, merge_repeats
from calque.judging.report import Report
from calque.judging.samples import NotMeasurableError, check_effective, comparable, match_units
from calque.judging.showers.challenge import challenge_views
from calque.judging.showers.observables import number_view
from calque.judging.tied_views import known_views, tied_views
from calque.judging.views import RAW, View, natural_views, view
from calque.names import split_names
from calque.table import Table


def judge_tables(
    real: Table,
    fake: Table,
    *,
    train: Table | None = None,
    views: str | Sequence[str | View] | None = None,
    define: Mapping[str, Mapping[str, str]] | None = None,
    measures: str | Sequence[str] = "all",
    seed: int = 0,
    geometry: Geometry | None = None,
    **budget: Any,
) -> Report:
    """Compare generated rows with real rows that no training saw.

    `train` are the rows of the training: floors compare them with `real`, and copying is tested. `views` are names
    or views (default: raw, derived where there are px and py, images where there are any, and those of `define`,
    which makes views of expressions: {"mass": {"m": "sqrt(e**2 - p**2)"}}); "all" are the same. `measures` is "all",
    "quick", "none", or names from the catalogue, as a list or with commas.
    With the `geometry` of showers their observables stand for images, and CaloChallenge's views may be
    asked for. `budget` holds the settings of `Budget`. Tables in other units than `real` are converted.
    Raises DataError where the tables cannot be compared, ConfigError for impossible settings.
    """
    fake = match_units(fake, real)
    train = None if train is None else match_units(train, real)
    seen = asked_views(real, views, define or {}, geometry)
    allowed = Budget(**budget, geometry=geometry)
    real.require(allowed.context)
    choice = choose_measures(measures)
    able = possible(choice, train is not None, allowed)
    wanted = list(made(able, seen, real, allowed, choice.is_strict))
    comparable(real, fake)
    samples = Samples.of(real, fake, train)
    outcome = Outcome(not choice.is_strict, notes=[*samples.notes])
    for name, measure in wanted:
        outcome.add(name, measure, samples.real, samples.fake, samples.train, seed)
    return Report(tuple(outcome.estimates), samples.sizes, seed, outcome.judgements, tuple(outcome.notes), geometry)


@dataclass(frozen=True)
class Samples:
    """Tables whose rows are independent: repeated real rows are merged, and nothing lies in two of them.

    `sizes` gives the rows that were handed over, and the effective ones after merging; `notes` are lines about rows
    that repeat.
    """

    real: Table
    fake: Table
    train: Table | None
    sizes: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, real: Table, fake: Table, train: Table | None) -> Samples:
        """Merge and check; raises DataError for too few effective rows, and for rows in two tables."""
        merged, note = merge_repeats(real, fake)
        known, note_too = (None, "") if train is None else merge_repeats(train, fake)
        tables = {"real": (real, merged), "fake": (fake, fake)}
        tables |= {} if train is None or known is None else {"train": (train, known)}
        for _, table in tables.values():
            check_effective(table)
        check_overlap(merged, fake, "judging needs rows that were generated")
        if known is not None:
            check_overlap(merged, known, "judging needs rows that no training saw")
        sizes = {name: {"rows": len(given), "effective": table.effective_size}
                 for name, (given, table) in tables.items()}
        notes = tuple(line for line in (note, note_too, describe_repeats(fake, real)) if line)
        return cls(merged, fake, known, sizes, notes)


def possible(choice: Choice, trained: bool, budget: Budget) -> list[str]:
    """Measures for which everything is there; raises ConfigError where one asked for by name lacks something."""
    lacking = dict.fromkeys(() if trained else NEEDS_TRAINING, "the rows of the training (train)")
    lacking |= dict.fromkeys(() if budget.draw else NEEDS_DRAWS,
                             "what the generator draws for given contexts: a run")
    lacking |= dict.fromkeys(() if budget.context else NEEDS_CONTEXT,
                             "the columns that the generator was given (context)")
    lacking |= dict.fromkeys(() if budget.geometry else NEEDS_GEOMETRY, "a layout of showers (read.layout)")
    for name in choice.named:
        if name in lacking:
            raise ConfigError(f"the measure {name!r} needs {lacking[name]}; name them, or leave the measure out")
    unfit = [name for name in UNFIT_FOR_SHOWERS if budget.geometry and name not in choice.named]
    return [name for name in choice.names if name not in lacking and name not in unfit]


def asked_views(
    real: Table, views: str | Sequence[str | View] | None, define: Mapping[str, Mapping[str, str]],
    geometry: Geometry | None = None,
) -> list[View]:
    """The views to judge in; raises ConfigError for a name that is neither known nor defined."""
    check_names(real, define)
    summary = number_view(real, geometry)
    own = (*natural_views(real), *tied_views(real), *([] if summary is None else [summary]))
    natural = {known.name: known for known in own}
    natural |= {name: View.of_expressions(name, expressions) for name, expressions in define.items()}
    if views is None or views == "all":
        return list(natural.values())
    asked_for = split_names(views) if isinstance(views, str) else views
    if not asked_for:
        raise ConfigError("no view to judge in; leave views out, or name at least one")
    more = {known.name: known for known in (*known_views(real), *challenge_views(real, geometry))}
    found: dict[str, View] = {}
    for asked in asked_for:
        chosen = list(natural.values()) if asked == "all" else [view(asked, natural | more)]
        found |= {one.name: one for one in chosen}
    return list(found.values())


def check_names(real: Table, define: Mapping[str, Mapping[str, str]]) -> None:
    """Raise ConfigError where one name would mean two things: a column is judged once, whatever the view."""
    meaning = {name: name for name in real.features}
    for view_name, expressions in define.items():
        for name, text in expressions.items():
            if meaning.setdefault(name, text.strip()) != text.strip():
                raise ConfigError(f"judge.define.{view_name} calls {text.strip()!r} {name!r}, which is "
                                  f"{meaning[name]!r} already; give it a name of its own")


@dataclass
class Outcome:
    """What the measures say, one after another; what cannot be taken on these samples is noted, if `lenient`."""

    lenient: bool
    estimates: list[Estimate] = field(default_factory=list)
    judgements: dict[str, Judgement] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, measure: Measure, real: Table, fake: Table, train: Table | None, seed: int) -> None:
        """Measure; keep the output of a classifier for plots."""
        try:
            if isinstance(measure, Classifier):
                self.judgements[name] = measure.judge(real, fake, train, seed)
                self.keep(self.judgements[name].estimates)
            else:
                self.keep(measure(real, fake, train, seed))
        except NotMeasurableError as error:
            if not self.lenient:
                raise
            self.notes.append(f"{name} is left out: {error}")

    def keep(self, estimates: Iterable[Estimate]) -> None:
        """Add what is new: a column that several views show is judged in the first."""
        known = {estimate.name for estimate in self.estimates}
        new = [estimate for estimate in estimates if estimate.name not in known]
        self.estimates += new
        self.notes += [f"{estimate.name}: {line}" for estimate in new for line in estimate.details.get("left_out", [])]


def made(
    names: Sequence[str], views: Sequence[View], real: Table, budget: Budget, strict: bool
) -> Iterator[tuple[str, Measure]]:
    """Make every measure for every view that has what it needs, named e.g. "trees_raw".

    Raises ConfigError, if `strict`, for one that takes numbers where every view has images.
    """
    shown = {seen.name: seen(real.rows(slice(0, 1))) for seen in views}
    for name in names:
        if name in NEEDS_GEOMETRY:
            yield name, CATALOGUE[name](RAW, budget)
            continue
        needed = set(budget.context if name in NEEDS_CONTEXT else ())
        able = [seen for seen in views if needed <= set(shown[seen.name].features)
                and not (name in SINGLE and image_columns(shown[seen.name]))
                and not (name in PIXELS and not image_columns(shown[seen.name]))]
        if not able and name in SINGLE and strict:
            raise ConfigError(f"the measure {name!r} takes numbers, not pixels ({', '.join(image_columns(real))}); "
                              f"judge in the view '{'observables' if budget.geometry else 'images'}' too, or in one of "
                              "expressions (judge.define)")
        if not able and name in PIXELS and strict:
            raise ConfigError(f"the measure {name!r} takes images; no view has both columns of images and the contexts")
        for seen in able[:1] if name in ONCE else able:
            yield f"{name}_{seen.name}", CATALOGUE[name](seen, budget)
