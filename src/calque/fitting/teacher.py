"""Where a student's teacher comes from: a run in memory, a run folder, or settings to train it with first."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from calque.config import Config, FitConfig
from calque.errors import ConfigError
from calque.preparing import Data
from calque.run import Run, load_run

Teacher = Run | str | Path | Mapping[str, Any]
FOLDER = "teacher"


def described(teacher: Teacher) -> Any:
    """What the configuration says of a teacher: the folder it lies in, or the settings of its training."""
    if not isinstance(teacher, Run):
        return teacher if isinstance(teacher, Mapping) else str(teacher)
    return teacher.config.fit.model_dump() if teacher.folder is None else str(teacher.folder)


def find_teacher(config: Config, taught: bool, given: Teacher | None, data: Data,
                 train: Callable[[Config], Run]) -> Run | None:
    """The trained teacher of a kind that is taught; raises ConfigError where there is none, or one too many."""
    wanted = config.fit.teacher
    if not taught and wanted is None:
        return None
    if not taught:
        raise ConfigError(f"fit.teacher would be ignored: kind {config.fit.kind!r} learns from events; "
                          'leave it out, or set fit.kind = "student"')
    if wanted is None:
        raise ConfigError(f"kind {config.fit.kind!r} learns from a teacher: set fit.teacher to the folder of a run, or "
                          'give its settings in [fit.teacher], such as kind = "flow"')
    if isinstance(given, Run):
        teacher = given
    else:
        teacher = train(own_config(config, wanted)) if isinstance(wanted, FitConfig) else load_run(Path(wanted))
    check_same(teacher, data)
    return teacher


def own_config(config: Config, wanted: FitConfig) -> Config:
    """The configuration of a teacher's own training, in a folder beside its student."""
    if wanted.weights != config.fit.weights:
        raise ConfigError(f"fit.teacher.weights = {wanted.weights!r}, but the student's are {config.fit.weights!r}: "
                          "both learn one prepared sample; leave the teacher's out")
    return config.model_copy(update={"fit": wanted, "out": str(Path(config.out) / FOLDER)})


def check_same(teacher: Run, data: Data) -> None:
    """Raise ConfigError unless teacher and student see the same columns, contexts and fitted steps."""
    ours = copy.deepcopy(data.preparation).float()
    for name, one, other in (("steps", teacher.preparation, ours), ("contexts", teacher.context, data.context)):
        if json.dumps(one.to_dict()) != json.dumps(other.to_dict()):
            where = f"the teacher in {teacher.folder}" if teacher.folder else "the teacher"
            raise ConfigError(f"{where} was trained with other {name}, or {name} fitted on other rows; train both with "
                              "the same [read], [prepare] and seed")


def for_student(config: Config, teacher: Run) -> Config:
    """A student's settings: its noise is its teacher's, and the last weights are the best where nothing is chosen."""
    latest = {"watch": "latest"} if config.fit.watch == "auto" else {}
    model = {"latent": teacher.generator.noise, **config.fit.model}
    return config.model_copy(update={"fit": config.fit.model_copy(update={"model": model, **latest})})


def credentials(teacher: Run) -> dict[str, Any]:
    """What a student's provenance says of its teacher."""
    digest = hashlib.sha256()
    for tensor in teacher.generator.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return {"kind": teacher.config.fit.kind, "folder": str(teacher.folder or ""), "weights": digest.hexdigest(),
            **{key: teacher.provenance.get(key) for key in ("best_step", "fit_seconds")}}
