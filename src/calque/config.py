"""The TOML file as typed models: an unknown key is an error that names the nearest."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from calque.errors import ConfigError, FileError, unknown
from calque.kinds import KINDS


class Section(BaseModel):
    """A TOML table with known keys."""

    model_config = ConfigDict(extra="forbid", validate_default=True)


class ReadConfig(Section):
    """What to read: `calque.read`'s arguments."""

    files: str | list[str] = Field(default_factory=list)
    tree: str | None = None
    columns: list[str] | None = None
    rename: dict[str, str] | None = None
    weight: str | None = None
    where: str | None = None
    exclude: list[str] = Field(default_factory=list)
    limit: int | None = None
    layout: str | None = None
    units: dict[str, str] | None = None
    drop_nonfinite: bool = False
    flags: dict[str, str] | None = None
    workers: int | None = None


class PrepareConfig(Section):
    """How to prepare: an ordered list of steps, or steps for single columns."""

    steps: list[str] | None = None
    columns: dict[str, str | list[str]] = Field(default_factory=dict)
    context: list[str] = Field(default_factory=list)
    judging: float = 1 / 3
    validation: float = 0.1


class OptimiserConfig(Section):
    """Optimiser of every player."""

    name: Literal["adam", "adam-amsgrad", "rmsprop"] = "adam"
    rate: float = Field(default=1e-3, gt=0)
    beta1: float = 0.9
    beta2: float = 0.999
    decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"


class FitConfig(Section):
    """How to train: the kind of generator, its settings, the loop's."""

    kind: str = "flow"
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
    checkpoint_every: int = Field(default=250, ge=1)
    tensorboard: bool = False
    device: str = "cpu"
    threads: int = Field(default=0, ge=0)
    teacher: FitConfig | str | None = None


OF_STEPS = ("batch", "optimiser", "average", "clip", "precision")  # settings without a meaning where none is taken


class JudgeConfig(Section):
    """How to judge: by which measures, in which views (`define` makes views of expressions), with how many rows."""

    measures: str | list[str] = "all"
    classifier: Literal["fast", "note"] = "fast"
    network: Literal["network", "calochallenge"] = "network"
    rows: int = Field(default=100_000, ge=100)
    neighbours: int = Field(default=10_000, ge=100)
    seeds: int = Field(default=1, ge=1)
    folds: int = Field(default=0, ge=0)
    views: list[str] | None = None
    define: dict[str, dict[str, str]] = Field(default_factory=dict)
    plots: bool = True


class ProduceConfig(Section):
    """What to produce: `calque.produce`'s arguments."""

    n: int = Field(default=0, ge=0)
    out: str = "fast.root"
    tree: str | None = None
    context: dict[str, float] = Field(default_factory=dict)
    where: str | None = None
    way: Literal["rejection", "latent"] = "rejection"
    order: Literal["shuffled", "sorted"] = "shuffled"
    exact: bool = False
    compression: str = "lz4"
    layout: str | None = None
    block: int = Field(default=10_000, ge=1)
    workers: int = Field(default=2, ge=1)
    precision: Literal["float32", "bf16"] = "float32"


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


class Config(Section):
    """A whole run: five sections, one seed, one folder; `categories` trains one model each."""

    seed: int = 0
    out: str = "runs/calque"
    read: ReadConfig = Field(default_factory=ReadConfig)
    prepare: PrepareConfig = Field(default_factory=PrepareConfig)
    fit: FitConfig = Field(default_factory=FitConfig)
    judge: JudgeConfig = Field(default_factory=JudgeConfig)
    produce: ProduceConfig = Field(default_factory=ProduceConfig)
    categories: dict[str, CategoryConfig] = Field(default_factory=dict)
    leaderboard: LeaderboardConfig | None = None

    def category(self, name: str) -> Config:
        """The configuration of one category: the common one, overridden by its own tables."""
        own = self.categories[name].model_dump(exclude_none=True)
        base = self.model_dump(exclude={"categories"})
        where = [text for text in (self.read.where, own.pop("where", None)) if text]
        if where:
            base["read"]["where"] = " and ".join(f"({text})" for text in where)
        base["fit"] = for_category(base["fit"], own.get("fit", {}), name)
        if "steps" in own:
            own["prepare"] = {**own.get("prepare", {}), "steps": own.pop("steps")}
        base["out"] = str(Path(self.out) / name)
        return build(merge(base, own), f"category {name!r}")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables, the second's values winning.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def load_config(path: str | Path, settings: Sequence[str] = (), out: str | None = None) -> Config:
    """Read a TOML file, override `key.key=value` settings; raises FileError and ConfigError in one line."""
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    for setting in settings:
        raw = merge(raw, parse_setting(setting))
    config = build(merge(raw, {"out": out} if out else {}), str(path))
    for name in config.categories:
        config.category(name)
    return config


def parse_setting(text: str) -> dict[str, Any]:
    """Read one override; a value that is no TOML is a string.

    >>> parse_setting("fit.steps=10"), parse_setting("read.files=a.root")
    ({'fit': {'steps': 10}}, {'read': {'files': 'a.root'}})
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes key.key=value; it was given {text!r}")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    for name in reversed(key.split(".")):
        parsed = {name.strip(): parsed}
    return dict(parsed)


def build(raw: Mapping[str, Any], where: str) -> Config:
    """Validate raw tables; raises ConfigError that names the nearest key."""
    try:
        return Config.model_validate(with_presets(raw))
    except ValidationError as error:
        raise ConfigError(explain(Config, error, where)) from error


def with_presets(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put in what a kind of generator brings along; what the user sets wins."""
    fit = raw.get("fit", {})
    return {**raw, "fit": complete(fit)} if isinstance(fit, Mapping) else raw


def complete(fit: Mapping[str, Any]) -> dict[str, Any]:
    """A [fit] table with its kind's presets; a teacher's has its own, and sees and uses what its student does."""
    completed = merge(presets(fit.get("kind", "flow")), fit)
    if isinstance(fit.get("teacher"), Mapping):
        common = {key: fit[key] for key in ("weights", "device", "threads") if key in fit}
        completed["teacher"] = complete({**common, **fit["teacher"]})
    return completed


def presets(kind: str) -> dict[str, Mapping[str, Any]]:
    """What a kind of generator brings along, as tables of [fit]; nothing for a kind that does not exist."""
    found = KINDS.get(kind)
    return {"model": found.model, "objective": found.settings, "optimiser": found.optimiser} if found else {}


def solved(kind: str) -> bool:
    """Whether a kind takes no steps; a kind that does not exist is not solved either."""
    return kind in KINDS and KINDS[kind].solved


def check_used(fit: FitConfig) -> None:
    """Raise ConfigError for settings of steps, where the kind takes none."""
    ours = FitConfig()
    given = [f"fit.{name}" for name in OF_STEPS if getattr(fit, name) != getattr(ours, name)]
    if given and solved(fit.kind):
        raise ConfigError(f"{', '.join(given)} would be ignored: kind {fit.kind!r} is solved at once, not trained step "
                          f"by step; leave {'it' if len(given) == 1 else 'them'} out")


def without_presets(fit: Mapping[str, Any]) -> dict[str, Any]:
    """A [fit] table as the user wrote it: what its kind or a default brought along is taken out again."""
    defaults = merge({"optimiser": OptimiserConfig().model_dump()}, presets(fit["kind"]))
    tables = {name: {key: value for key, value in fit[name].items() if key not in known or known[key] != value}
              for name, known in defaults.items()}
    return {**fit, **tables}


def for_category(fit: Mapping[str, Any], own: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The common [fit] table as a category's own table finds it: nothing that is another kind's, its own teacher."""
    changed = own.get("kind", fit["kind"]) != fit["kind"]
    found = {**without_presets(fit), "teacher": None} if changed else dict(fit)
    if changed and solved(own["kind"]):
        found = {key: value for key, value in found.items() if key not in OF_STEPS}
    teacher = found["teacher"]
    if isinstance(teacher, str):
        found["teacher"] = str(Path(teacher) / name)
    elif teacher:
        theirs = own.get("teacher", {})
        found["teacher"] = for_category(teacher, theirs if isinstance(theirs, Mapping) else {}, name)
    return found


def explain(section: type[Section], error: ValidationError, where: str) -> str:
    """The first complaint, in one line."""
    first = error.errors()[0]
    types = ("str", "list[str]", "FitConfig")  # which of several types failed
    names = [str(part) for part in first["loc"] if part not in types]
    if first["type"] == "extra_forbidden":
        fields = fields_at(section, names[:-1])
        place = f"in [{'.'.join(names[:-1])}] of {where}" if names[:-1] else f"in {where}"
        return unknown("setting", names[-1], fields, place)
    return f"{'.'.join(names)} = {first['input']!r} in {where}: {first['msg']}"


def fields_at(section: type[Section], path: Sequence[str]) -> list[str]:
    """Known keys of a nested section; the name of a category stands for any."""
    for name in path:
        inner = section.model_fields[name].annotation if name in section.model_fields else section
        found = [part for part in (inner, *get_args(inner)) if inspect.isclass(part) and issubclass(part, Section)]
        section = found[0] if found else CategoryConfig
    return list(section.model_fields)


def checked(kind: str, call: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check settings against a constructor's annotated keywords; raises ConfigError that names the nearest."""
    signature = inspect.signature(call)
    hints = get_type_hints(call.__init__ if inspect.isclass(call) else call)
    known = [name for name, p in signature.parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    values = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(unknown(f"setting of {kind}", name, known))
        try:
            values[name] = TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as error:
            raise ConfigError(f"{kind}: {name} = {value!r}: {error.errors()[0]['msg']}") from error
    return values


def to_toml(tables: Mapping[str, Any], prefix: str = "") -> str:
    """Write nested tables as TOML; nothing stands for None.

    >>> print(to_toml({"seed": 0, "fit": {"kind": "flow"}}))
    seed = 0
    <BLANKLINE>
    [fit]
    kind = "flow"
    """
    lines = [f"{toml_key(key)} = {toml_value(item)}" for key, item in tables.items()
             if item is not None and not isinstance(item, Mapping)]
    for key, item in tables.items():
        if isinstance(item, Mapping):
            name = f"{prefix}{toml_key(key)}"
            lines += ["", f"[{name}]", to_toml(item, f"{name}.")]
    return "\n".join(lines)


def toml_key(key: str) -> str:
    """A key, quoted where it has to be."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key)


def toml_value(item: Any) -> str:
    """A value on one line."""
    if isinstance(item, Mapping):
        return "{" + ", ".join(f"{toml_key(k)} = {toml_value(v)}" for k, v in item.items() if v is not None) + "}"
    if isinstance(item, list | tuple):
        return "[" + ", ".join(map(toml_value, item)) + "]"
    if isinstance(item, float):
        return repr(item)
    return json.dumps(item, ensure_ascii=False).replace("\x7f", "\\u007f")
