"""Conditions: names of any spelling, deep nesting, exact integers, missing entries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.config import load_config
from calque.errors import ConfigError, DataError
from calque.reading import read, write
from calque.reading.where import Where
from calque.table import Table

ODD_NAMES = ("a/b", "a.b", "µ", "μ", "ϕ", "lambda", "if", "m[0]", "px [GeV]", "1x", "it's", "max", "column_0_", "a b")



@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_in_backticks_is_a_column(name: str) -> None:
    columns = {"x": np.array([1.0, 2.0, 3.0]), name: np.array([3.0, 2.0, 1.0])}
    assert Where(f"`{name}` > 1.5 and x > 1.5").mask(columns).tolist() == [False, True, False]
    assert Where(f'"{name}" - 1 > 1.5').names == {name}


@pytest.mark.parametrize("name", ["µ", "μ", "ϕ", "φ", "lambda", "if", "Å", "ﬁ", "px_1", "column_7"])
def test_words_need_no_backticks_and_keep_their_letters(name: str) -> None:
    assert Where(f"{name} > 1.5").names == {name}
    assert Where(f"{name} > 1.5").mask({name: np.array([1.0, 2.0])}).tolist() == [False, True]


def test_a_letter_that_looks_the_same_finds_the_column(tmp_path: Path) -> None:
    """Micro sign and Greek letter, both phis: as long as only one of the columns can be meant."""
    table = Table.of({"μ": np.arange(5.0), "ϕ": np.arange(5.0)})
    write(table, tmp_path / "x.h5")
    assert len(read(tmp_path / "x.h5", where="µ > 1 and φ < 4")) == 2
    both = {"μ": np.arange(3.0), "µ": -np.arange(3.0)}
    assert Where("μ > 0").mask(both).tolist() == [False, True, True]
    assert Where("µ > 0").mask(both).tolist() == [False, False, False]


@given(name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_name_in_quotes_is_that_column(name: str) -> None:
    mark = next((mark for mark in "`'\"" if mark not in name), None)
    if mark is None:
        return
    columns = {name: np.array([1.0, 2.0])}
    condition = Where(f"2 * {mark}{name}{mark} > 3 and 1 < 2")
    assert condition.mask(columns).tolist() == [False, True]
    assert [part.names for part in condition.split()] == [{name}, frozenset()]


def test_the_remedy_is_named(tmp_path: Path) -> None:
    write(Table.of({"a.b": np.arange(3.0), "a/b": np.arange(3.0), "x": np.arange(3.0)}), tmp_path / "x.root")
    with pytest.raises(ConfigError, match=r"'a\.b' is not allowed .*stands in backticks, as in `a\.b` > 0"):
        read(tmp_path / "x.root", where="a.b > 0")
    with pytest.raises(DataError, match=r"no column 'a' in .*stands in backticks, as in `a\.b`"):
        read(tmp_path / "x.root", where="a/b > 0")
    assert len(read(tmp_path / "x.root", where="`a.b` > 0 and 'a/b' < 2")) == 1


def deep_conditions() -> dict[str, str]:
    return {
        "sum": "px" + "+1" * 900 + " > 0",
        "product": "px" + "*1" * 900 + " > 0",
        "signs": "-" * 900 + "px > 0",
        "nots": "not " * 450 + "(px > 0)",
        "brackets": "(" * 300 + "px" + ")" * 300 + " > 0",
        "calls": "abs(" * 170 + "px" + ")" * 170 + " > 0",
        "powers": "px" + "**1" * 600 + " > 0",
        "alternating": "(px<2 and (1<2 or " * 80 + "px > 0" + "))" * 80,
    }


@pytest.mark.parametrize("kind", deep_conditions())
def test_deep_conditions_are_worked_out_or_refused_in_a_line(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"inside one another; at most 150|cannot parse the condition") as caught:
        Where(deep_conditions()[kind]).mask({"px": np.array([1.0, -1e9])})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_hundred_operators_are_no_trouble() -> None:
    assert Where("px" + "+1" * 100 + " > 100").mask({"px": np.array([0.0, 0.5])}).tolist() == [False, True]


def test_integers_of_64_bits_neither_wrap_nor_round() -> None:
    large = 2**63 - 1
    columns = {
        "u": np.array([0, 2**64 - 1], np.uint64),
        "i": np.array([large, -large], np.int64),
        "b": np.array([200, 100], np.uint8),
    }
    cases = {
        "u - 1 < 0": [True, False],
        "-u < -1": [False, True],
        "i + 1 > 0": [True, False],
        f"i == {large}": [True, False],
        f"i - 1 == {large - 1}": [True, False],
        f"i == {large - 1}": [False, False],
        "b + 100 > 250": [True, False],
        "i * 4 > 0": [True, False],
    }
    for text, held in cases.items():
        assert Where(text).mask(columns).tolist() == held, text


def test_a_negative_number_has_the_precision_of_its_column() -> None:
    assert Where("x == -0.1").mask({"x": np.array([-0.1, 0.1], np.float32)}).tolist() == [True, False]


def test_missing_entries_compare_as_nan_does() -> None:
    columns = {"n": np.ma.masked_array([1, 5, 9], [False, True, False]), "x": np.arange(3.0)}
    for text, held in {
        "n > 0": [True, False, True],
        "n < 0": [False, False, False],
        "n == 5": [False, False, False],
        "n != 1": [False, True, True],
        "n > 3 or x == 1": [False, True, True],
        "n + 1 > 5": [False, False, True],
        "not n > 3": [True, True, False],
    }.items():
        mask = Where(text).mask(columns)
        assert not np.ma.isMaskedArray(mask)
        assert mask.tolist() == held, text


def test_a_dotted_name_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[read]\nfiles = "x.root"\n')
    settings = ['read.rename."a.b"=ab', "read.rename.'c=d'=\"cd\"", 'read.where="ab > 1"']
    config = load_config(tmp_path / "x.toml", settings)
    assert config.read.rename == {"a.b": "ab", "c=d": "cd"}
    assert config.read.where == "ab > 1"
    with pytest.raises(ConfigError, match=r"is no key in TOML"):
        load_config(tmp_path / "x.toml", ['read.rename."\\q"=1'])
