"""All settings are checked before the first step of a training: those that need no data, then those that do."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calque.config import Config
from calque.contexts import fix
from calque.errors import CalqueError, ConfigError, FileError
from calque.fitting.watch import check_watch
from calque.folder import RESERVED
from calque.judging.catalogue import choose_measures
from calque.judging.judge import asked_views
from calque.judging.verdict import resolve
from calque.preparing import JUDGE, Data
from calque.producing.produce import check, check_region, check_unweight
from calque.reading.deposits import geometry_in
from calque.reading.formats import Compression, format_of
from calque.reading.where import Where
from calque.threads import choose_device


def check_early(config: Config) -> None:
    """Check what needs no data.

    Parameters
    ----------
    config
        The whole configuration, its categories included.

    Raises
    ------
    CalqueError
        For a category that would overwrite a run's own files, an unknown measure, and what cannot be produced.
    """
    for name in config.categories:
        if name in RESERVED:
            raise ConfigError(f"a category cannot be called {name!r}: a run folder keeps something of its own there")
    for part in [config.category(name) for name in config.categories] or [config]:
        choose_measures(part.judge.measures)
        check_watch(part.fit)
        check_learnt(config.produce.unweight and config.produce.n > 0, part)
    if config.produce.n:
        check_produce(config)


def check_learnt(is_unweighted: bool, part: Config) -> None:
    """Raise ConfigError where events are to be accepted by a weight that is not learnt."""
    if is_unweighted and part.fit.weights != "column":
        raise ConfigError(f"produce.unweight = true accepts events by their learnt weight, but fit.weights = "
                          f"{part.fit.weights!r}; set fit.weights = \"column\", or leave unweight out")


def check_produce(config: Config) -> None:
    """Check the numbers, the region, the device and the file of what is to be produced."""
    wanted = config.produce
    check(wanted.n, False, 0, wanted.block, wanted.workers)
    check_region(wanted.where, False, wanted.order, wanted.way, None)
    check_unweight(wanted.unweight, False, wanted.order, wanted.way)
    if wanted.device is not None:
        choose_device(wanted.device)
    out = Path(config.out) / wanted.out
    format_of(out, wanted.layout)
    Compression.parse(wanted.compression)
    inside = [Path(config.out), *(Path(config.out) / name for name in config.categories)]
    if out.parent not in inside and not out.parent.is_dir():
        raise FileError(f"produce.out: cannot write {out}: there is no folder {out.parent.resolve()}")
    if out.parent in inside and out.name in RESERVED:
        raise ConfigError(f"produce.out = {wanted.out!r} is a file of the run itself; choose another name")


def check_late(config: Config, data: Data) -> None:
    """Check what needs the columns of the data.

    Parameters
    ----------
    config
        The configuration of one training.
    data
        Its sample, prepared.

    Raises
    ------
    CalqueError
        For a view or an expression of the judge, a context or a column of a condition that is not there.
    """
    check_views(config, data)
    if not config.produce.n:
        return
    if config.produce.context:
        fix(data.context, config.produce.context)
    if config.produce.where is not None:
        types = {**data.preparation.dtypes, **{one.name: one.dtype for one in data.context.conditions}}
        Where(config.produce.where).mask({name: np.ones(1, kind) for name, kind in types.items()},
                                         "among what is drawn")


def check_views(config: Config, data: Data) -> None:
    """Show a row in every view that is asked for."""
    real = data.judged(JUDGE)
    if not len(real) or (config.judge.views is None and not config.judge.define):
        return
    geometry = geometry_in(config.read.layout, resolve(config.read.files)) if config.read.files else None
    try:
        for view in asked_views(real, config.judge.views, config.judge.define, geometry):
            view(real.rows(slice(0, 1)))
    except CalqueError as error:
        raise ConfigError(f"[judge]: {error}") from error
