"""Complaints in one line, and settings checked against the code that takes them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from calque.config.sections import CategoryConfig, Section
from calque.errors import ConfigError, unknown

LONGEST = 100  # letters of a value in a message


def explain(section: type[Section], error: ValidationError, where: str) -> str:
    """The first complaint, in one line."""
    first = error.errors()[0]
    types = ("str", "list[str]", "FitConfig")  # which of several types failed
    named = [str(part) for part in first["loc"] if part not in types]
    names = [part for part in named if not part.startswith(("[key]", "function-", "dict["))]
    if first["type"] == "extra_forbidden":
        fields = fields_at(section, names[:-1])
        place = f"in [{'.'.join(names[:-1])}] of {where}" if names[:-1] else f"in {where}"
        return unknown("setting", names[-1], fields, place)
    return f"{'.'.join(names)} = {shortened(first['input'])} in {where}: {first['msg'].removeprefix('Value error, ')}"


def shortened(value: Any) -> str:
    """A value, for a message."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


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
