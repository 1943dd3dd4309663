"""A whole configuration: read, overridden, validated; an unknown key is an error that names the nearest."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, PrivateAttr, ValidationError, model_validator

from calque.config.messages import explain
from calque.config.plain import DEEPEST, check_folder_name, check_plain, parse_toml
from calque.config.presets import OF_KINDS, for_category, merge, with_presets
from calque.config.sections import (
    CategoryConfig,
    FitConfig,
    JudgeConfig,
    LeaderboardConfig,
    PrepareConfig,
    ProduceConfig,
    ReadConfig,
    Section,
    SimulateConfig,
    TuneConfig,
)
from calque.errors import ConfigError, FileError

# a part of a dotted key: in quotes, or up to the next dot
KEY_PART = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|[^="'.]+""")
DOTTED_KEY = re.compile(rf"((?:{KEY_PART.pattern})(?:\s*\.\s*(?:{KEY_PART.pattern}))*)\s*=")


FolderName = Annotated[str, AfterValidator(check_folder_name)]


class Config(Section):
    """A whole run: five sections, one seed, one folder; `categories` trains one model each.

    [fit] is completed by what its kind brings along. What was written of it is remembered, for a category of another
    kind keeps that alone. Configurations are equal that do the same.
    """

    seed: int = 0
    out: str = Field(default="runs/calque", min_length=1)
    simulate: SimulateConfig | None = None
    read: ReadConfig = Field(default_factory=ReadConfig)
    prepare: PrepareConfig = Field(default_factory=PrepareConfig)
    fit: FitConfig = Field(default_factory=FitConfig)
    judge: JudgeConfig = Field(default_factory=JudgeConfig)
    produce: ProduceConfig = Field(default_factory=ProduceConfig)
    tune: TuneConfig = Field(default_factory=TuneConfig)
    categories: dict[FolderName, CategoryConfig] = Field(default_factory=dict)
    leaderboard: LeaderboardConfig | None = None
    _written: dict[str, Any] = PrivateAttr(default_factory=dict)  # of [fit]

    @model_validator(mode="wrap")
    @classmethod
    def completed(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Put in what the kind of generator brings along."""
        made = handler(with_presets(raw) if isinstance(raw, Mapping) else raw)
        if isinstance(raw, Mapping):
            made._written = dict(raw.get("fit", {}))
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self.tables() == other.tables()

    def tables(self) -> dict[str, Any]:
        """All tables, complete; where several kinds may share [fit], its own tables are as they were written."""
        tables = self.model_dump()
        if self.categories or self.leaderboard:
            plain = {key: value for key, value in tables["fit"].items()
                     if key not in OF_KINDS and not isinstance(value, Mapping)}
            tables["fit"] = {**plain, **self._written}
        return tables

    def with_kind(self, kind: str | None, preset: str | None = None) -> dict[str, Any]:
        """All tables, [fit] as another kind or preset finds it: without what the first one brought along."""
        tables = self.model_dump()
        if kind not in (None, self.fit.kind) or preset not in (None, self.fit.preset):
            tables["fit"] = for_category(self._written, {"kind": kind or self.fit.kind}, "")
        return tables

    def category(self, name: str) -> Config:
        """The configuration of one category: the common one, overridden by its own tables."""
        own = self.categories[name].model_dump(exclude_none=True)
        base = self.model_dump(exclude={"categories"})
        where = [text for text in (self.read.where, own.pop("where", None)) if text]
        if where:
            base["read"]["where"] = " and ".join(f"({text})" for text in where)
        base["fit"] = for_category(self._written, own.get("fit", {}), name)
        if "steps" in own:
            own["prepare"] = {**own.get("prepare", {}), "steps": own.pop("steps")}
        base["out"] = str(Path(self.out) / name)
        return build(merge(base, own), f"category {name!r}")


def load_config(path: str | Path, settings: Sequence[str] = (), out: str | None = None) -> Config:
    """Read a TOML file, override `key.key=value` settings; raises FileError and ConfigError in one line."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    raw = parse_toml(text, str(path))
    for setting in settings:
        raw = merge(raw, parse_setting(setting))
    config = build(merge(raw, {} if out is None else {"out": out}), str(path))
    for name in config.categories:
        config.category(name)
    return beside(config, path)


def beside(config: Config, path: Path) -> Config:
    """A user's simulator is looked for beside the file that names it first, wherever its copy in a run lies."""
    wanted = config.simulate
    if wanted is None or ":" not in wanted.simulator or wanted.folder is not None:
        return config
    found = wanted.model_copy(update={"folder": str(path.resolve().parent)})
    return config.model_copy(update={"simulate": found})


def section_settings(section: str, settings: Sequence[str]) -> dict[str, Any]:
    """What `key.key=value` settings say of one section; raises ConfigError for those of another.

    >>> section_settings("tune", ["tune.members=3", "tune.fit.steps=10"])
    {'members': 3, 'fit': {'steps': 10}}
    """
    raw: dict[str, Any] = {}
    for setting in settings:
        raw = merge(raw, parse_setting(setting))
    strange = [name for name in raw if name != section]
    if strange or not isinstance(raw.get(section, {}), Mapping):
        raise ConfigError(f"--set {strange[0] if strange else section}: here only settings of [{section}] have an "
                          f"effect, such as --set {section}.key=value")
    return dict(raw.get(section, {}))


def parse_setting(text: str) -> dict[str, Any]:
    """Read one override; a value that is no TOML is a string.

    >>> parse_setting("fit.steps=10"), parse_setting("read.files=a.root")
    ({'fit': {'steps': 10}}, {'read': {'files': 'a.root'}})

    As in TOML, a key with a dot or another sign in it stands in quotes.

    >>> parse_setting('read.rename."a.b"=ab')
    {'read': {'rename': {'a.b': 'ab'}}}
    """
    names, value = _split_setting(text)
    if len(names) > DEEPEST:
        raise ConfigError(f"--set {names[0]}…: at most {DEEPEST} names may follow one another")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, lists in lists
        raise ConfigError(f"--set {'.'.join(names)}: its value is too long or nested too deep") from error
    for name in reversed(names):
        parsed = {name: parsed}
    return dict(parsed)


def _split_setting(text: str) -> tuple[list[str], str]:
    """The names of a dotted key, and the text of the value."""
    key = DOTTED_KEY.match(text)
    if key is None:
        raise ConfigError(f"--set takes key.key=value; it was given {text!r}")
    parts = KEY_PART.findall(key[1])
    return [_unquote_key(part.strip(), text) for part in parts], text[key.end() :]


def _unquote_key(part: str, text: str) -> str:
    if part[0] not in "\"'":
        return part
    try:
        return next(iter(tomllib.loads(f"{part} = 0")))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set {text!r}: {part} is no key in TOML: {error}") from None


def build(raw: Mapping[str, Any], where: str) -> Config:
    """Validate raw tables; raises ConfigError that names the nearest key."""
    check_plain(raw, where)
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(explain(Config, error, where)) from error
