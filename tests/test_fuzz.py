"""Damaged files of every kind end in one line, or give what they gave before: some of benchmarks/fuzz.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from shared import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))

from fuzz import ChangedError, Subject, attempt, make_subjects, try_mutant

from calque.errors import FileError

MUTANTS = 70


def test_damage_is_refused_or_without_effect(tmp_path: Path) -> None:
    subjects = make_subjects(tmp_path)
    whole = {subject.path: subject.path.read_bytes() for subject in subjects}
    outcomes = [try_mutant(subjects, number, seed=5) for number in range(MUTANTS)]
    assert not [entry for entry in outcomes if entry["outcome"] not in ("survived", "refused")]
    assert sum(entry["outcome"] == "refused" for entry in outcomes) > MUTANTS / 2
    assert {entry["kind"] for entry in outcomes} >= {"root", "csv", "toml", "checkpoint", "folder (run)"}
    assert all(path.read_bytes() == content for path, content in whole.items()), "every file is put back"


def test_the_fuzz_finds_what_it_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")

    def fail() -> None:
        raise FileError("two\nlines")

    with pytest.raises(ChangedError, match="holds something else"):
        attempt(Subject("kind", path, lambda: "other", "expected"))
    with pytest.raises(ChangedError, match="several lines"):
        attempt(Subject("kind", path, fail))
    found = try_mutant([Subject("kind", path, lambda: 1 // 0), Subject("kind", tmp_path / "a", fail)], 0, 0)
    assert found["outcome"] == "traceback"
    assert "ZeroDivisionError" in found["why"]
    assert path.read_bytes() == b"abc"
