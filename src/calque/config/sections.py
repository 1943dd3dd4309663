"""The tables of a TOML file as typed models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from calque.config.plain import MOST_THREADS, MOST_WORKERS, check_inside


class Section(BaseModel):
    """A TOML table with known keys."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)


class ReadConfig(Section):
    """What to read: `calque.read`'s arguments."""

    files: str | list[str] = Field(default_factory=list)
    tree: str | None = None
    columns: list[str] | None = None
    rename: dict[str, str] | None = None
    weight: str | None = None
    where: str | None = None
    exclude: list[str] = Field(default_factory=list)
    limit: int | None = Field(default=None, ge=0)
    layout: str | dict[str, Any] | None = None
    per: str | list[str] | None = None
    units: dict[str, str] | None = None
    drop_nonfinite: bool = False
    flags: dict[str, str] | None = None
    workers: int | None = Field(default=None, ge=0, le=MOST_WORKERS)


class SimulateConfig(Section):
    """What to simulate where no files are read, and what a tuner asks again: a simulator with parameters."""

    simulator: str
    n: int = Field(default=20_000, ge=1)
    repeat: int = Field(default=1, ge=1)
    workers: int = Field(default=2, ge=0, le=MOST_WORKERS)
    chunk: int = Field(default=64, ge=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, tuple[float, float]] = Field(default_factory=dict)
    folder: str | None = None


class PrepareConfig(Section):
    """How to prepare: an ordered list of steps, or steps for single columns."""

    steps: list[str] | None = None
    columns: dict[str, str | list[str]] = Field(default_factory=dict)
    context: list[str] = Field(default_factory=list)
    together: list[str] = Field(default_factory=list)
    judging: float = Field(default=1 / 3, ge=0, lt=1)
    validation: float = Field(default=0.1, ge=0, lt=1)


OptimiserName = Literal["adam", "adam-amsgrad", "rmsprop", "sgd"]
Schedule = Literal["constant", "cosine", "linear", "exponential", "step"]


class PlayerConfig(Section):
    """What one player's optimiser does in its own way; the rest is as in [fit.optimiser]."""

    name: OptimiserName | None = None
    rate: float | None = Field(default=None, gt=0)
    beta1: float | None = Field(default=None, ge=0, lt=1)
    beta2: float | None = Field(default=None, ge=0, lt=1)
    momentum: float | None = Field(default=None, ge=0, lt=1)
    decay: float | None = Field(default=None, ge=0)
    schedule: Schedule | None = None
    last: float | None = Field(default=None, ge=0, le=1)
    drops: int | None = Field(default=None, ge=1)


class OptimiserConfig(Section):
    """Optimiser of every player; a table with a player's name overrides it for that player.

    `beta1` and `beta2` are Adam's, `momentum` that of RMSprop and SGD. A schedule goes from
    `rate` to the share `last` of it at the end: 0 for cosine and linear, 0.01 for exponential and
    for step, which falls in so many equal `drops` (3).
    """

    name: OptimiserName = "adam"
    rate: float = Field(default=1e-3, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    decay: float = Field(default=0.0, ge=0)
    schedule: Schedule = "constant"
    last: float | None = Field(default=None, ge=0, le=1)
    drops: int | None = Field(default=None, ge=1)
    critic: PlayerConfig | None = None
    generator: PlayerConfig | None = None
    constrainer: PlayerConfig | None = None
    prior: PlayerConfig | None = None


class FitConfig(Section):
    """How to train: the kind of generator, its settings, the loop's."""

    kind: str = "flow"
    preset: str = "default"
    weights: Literal["draw", "column", "none"] = "draw"
    steps: int = Field(default=2000, ge=0)
    batch: int = Field(default=512, ge=1)
    model: dict[str, Any] = Field(default_factory=dict)
    objective: dict[str, Any] = Field(default_factory=dict)
    optimiser: OptimiserConfig = Field(default_factory=OptimiserConfig)
    average: float = Field(default=0.999, ge=0, lt=1)
    clip: float = Field(default=0.0, ge=0)
    precision: Literal["float32", "bf16"] = "float32"
    watch: str = "auto"
    measures: list[str] = Field(default_factory=lambda: ["auc"])
    watch_every: int = Field(default=250, ge=1)
    watch_rows: int = Field(default=5000, ge=50)
    patience: int = Field(default=0, ge=0)
    show_every: int = Field(default=0, ge=0)
    checkpoint_every: int = Field(default=250, ge=1)
    tensorboard: bool = False
    device: str = "cpu"
    threads: int = Field(default=0, ge=0, le=MOST_THREADS)
    teacher: FitConfig | str | None = None



class JudgeConfig(Section):
    """How to judge: by which measures, in which views (`define` makes views of expressions), with how many rows."""

    measures: str | list[str] = "all"
    classifier: Literal["fast", "note"] = "fast"
    network: Literal["network", "calochallenge", "evaluate"] = "network"
    rows: int = Field(default=100_000, ge=100)
    neighbours: int = Field(default=10_000, ge=100)
    seeds: int = Field(default=1, ge=1)
    folds: int = Field(default=0, ge=0)
    views: str | list[str] | None = None
    define: dict[str, dict[str, str]] = Field(default_factory=dict)
    plots: bool = True


class ProduceConfig(Section):
    """What to produce: `calque.produce`'s arguments."""

    n: int = Field(default=0, ge=0)
    out: Annotated[str, AfterValidator(check_inside)] = "fast.root"
    tree: str | None = None
    context: dict[str, float] = Field(default_factory=dict)
    where: str | None = None
    way: Literal["rejection", "latent"] = "rejection"
    unweight: bool = False
    order: Literal["shuffled", "sorted"] = "shuffled"
    exact: bool = False
    compression: str = "lz4"
    layout: str | dict[str, Any] | None = None
    block: int | None = Field(default=None, ge=1)
    workers: int = Field(default=2, ge=1, le=MOST_WORKERS)
    precision: Literal["float32", "bf16"] = "float32"
    device: str | None = None


class TuneConfig(Section):
    """How to find the parameters that made the data: `calque.tune`'s arguments.

    `fit` are the settings of the generator of parameters and its critic, `summary` those of the network that sums an
    image up, `refine` those of the emulator's and its later trainings. A `frozen` emulator is not taught on. The
    `critic` sees summaries of images, or the images themselves. With
    shortcut.steps = 0 every step of a tuner draws images, else a small network answers for them. `plots` makes the
    page.
    """

    members: int = Field(default=5, ge=2)
    rounds: int = Field(default=2, ge=0)
    simulations: int = Field(default=10_000, ge=100)
    critic: Literal["summaries", "images"] = "summaries"
    frozen: bool = False
    fit: dict[str, Any] = Field(default_factory=dict)
    summary: dict[str, Any] = Field(default_factory=dict)
    refine: dict[str, Any] = Field(default_factory=dict)
    shortcut: dict[str, Any] = Field(default_factory=dict)
    plots: bool = True


class LeaderboardConfig(Section):
    """What to compare: entries with their own [fit] tables, each trained with every seed, judged in every part."""

    seeds: list[int] = Field(default_factory=lambda: [0, 1, 2])
    parts: dict[str, str] = Field(default_factory=dict)
    kinds: dict[str, dict[str, Any]] = Field(default_factory=dict)


class CategoryConfig(Section):
    """What one category does in its own way; `where` comes on top of the common condition."""

    where: str | None = None
    steps: list[str] | None = None
    seed: int | None = None
    read: dict[str, Any] | None = None
    prepare: dict[str, Any] | None = None
    fit: dict[str, Any] | None = None
    judge: dict[str, Any] | None = None
