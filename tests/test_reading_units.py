"""Units: read, asked for and compared; values are converted, never renamed."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from calque.errors import DataError
from calque.judging.judge import judge_tables
from calque.reading import iterate, read, write
from calque.reading.units import convert_factor, convert_table, convert_values
from calque.table import Table

FACTORS = [
    ("cm", "m", 0.01), ("GeV", "MeV", 1000.0), ("MeV/c", "GeV", 0.001), ("GeV/c2", "GeV", 1.0),
    ("GeV/c^2", "MeV/c**2", 1000.0), ("GeV/c²", "MeV", 1000.0), ("µm", "μm", 1.0), ("#mum", "mm", 0.001),
    ("cm-1", "1/m", 100.0), ("cm^{2}", "mm²", 100.0), ("deg", "rad", np.pi / 180), ("cm/ns", "m/s", 1e7),
    ("%", "1", 0.01), ("ADC", "ADC", 1.0), ("degC", "degree_Celsius", 1.0), ("barn", "cm2", 1e-24),
]  # fmt: skip
REFUSED = [
    ("cm", "GeV", "measure different things"), ("degC", "K", "more than a factor"), ("ADC", "GeV", "'ADC' is no unit"),
    ("GeV", "gev", "'gev' is no unit"), ("GeV/c", "cm", "measure different things"), ("2**999999999*m", "m", "no unit"),
    ("m**99**99**99", "m", "no unit"), ("nan", "m", "no unit"), ("dBm", "mW", "more than a factor"),
    ("((((", "m", "no unit"), ("", "m", "no unit"), ("m" * 10_000, "m", "no unit"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "factor"), FACTORS)
def test_factors_are_exact_and_each_way(one: str, other: str, factor: float) -> None:
    assert convert_factor(one, other) == pytest.approx(factor, rel=1e-15)
    assert convert_factor(other, one) * factor == pytest.approx(1.0, rel=1e-15)
    assert convert_factor("GeV", "MeV") == 1000.0


@pytest.mark.parametrize(("one", "other", "says"), REFUSED)
def test_units_that_have_no_factor_are_refused(one: str, other: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        convert_factor(one, other)


@pytest.mark.parametrize(("kind", "becomes"), [
    ("float64", "float64"), ("float32", "float32"), ("float16", "float32"), ("int16", "float64"), ("uint8", "float64"),
])  # fmt: skip
def test_values_are_rounded_once(kind: str, becomes: str) -> None:
    values = np.arange(0, 120, dtype=kind)
    metres = convert_values(values, "cm", "m")
    assert metres.dtype == becomes
    np.testing.assert_array_equal(metres, (np.arange(120) / 100).astype(becomes))
    assert convert_values(values, "cm", "cm") is values


def test_large_integers_are_not_rounded_in_silence() -> None:
    times = np.array([2**53 + 1], dtype=np.int64)
    assert convert_values(times - 1, "ns", "s")[0] == 2**53 / 1e9
    for values in (times, -times, times.astype(np.uint64)):
        with pytest.raises(DataError, match=r"beyond 2\^53 would lose digits .*'ns' to 's'"):
            convert_values(values, "ns", "s")


def test_asked_units_convert_what_a_file_states(tmp_path: Path) -> None:
    table = Table.of({"z": np.array([-6350, 25]), "w": [1.0, 2.0], "q": [5.0, 6.0]}, {"z": "cm", "q": "ADC"})
    write(table, tmp_path / "x.root")
    got = read(tmp_path / "x.root", units={"z": "m", "w": "1"})
    assert got["z"].tolist() == [-63.5, 0.25]
    assert got["z"].dtype == np.float64
    assert got.units == {"z": "m", "w": "1", "q": "ADC"}
    assert read(tmp_path / "x.root", units={"z": "cm"})["z"].dtype == np.int64
    with pytest.raises(DataError, match=r"'q' of .*x.root is in 'ADC', 'GeV' .* is known; leave 'q' out"):
        read(tmp_path / "x.root", units={"q": "GeV"})
    with pytest.raises(DataError, match=r"'z' of .* is in 'cm', 'GeV' .*different things"):
        read(tmp_path / "x.root", units={"z": "GeV"})
    with pytest.raises(DataError, match=r"'z' of .* is in 'cm', .*'metre_s' is no unit"):
        read(tmp_path / "x.root", units={"z": "metre_s"})


def test_conditions_see_new_names_and_converted_values(tmp_path: Path) -> None:
    table = Table.of({"fZ": np.array([100.0, 200.0, 300.0]), "n": np.arange(3)}, {"fZ": "cm"})
    write(table, tmp_path / "x.h5")
    chosen = {"rename": {"fZ": "z"}, "units": {"z": "m"}, "where": "z > 1.5"}
    assert read(tmp_path / "x.h5", columns=["n"], **chosen)["n"].tolist() == [1, 2]
    flagged = next(iterate(tmp_path / "x.h5", flags={"far": "z > 2.5"}, **chosen))
    assert flagged["far"].tolist() == [0, 1]
    assert flagged["z"].tolist() == [2.0, 3.0]


def test_tables_are_converted_by_name() -> None:
    table = Table.of({"e": [1.0, 2.0], "x": [3.0, 4.0]}, units={"e": "GeV"}, source="here")
    new = convert_table(table, {"e": "MeV", "x": "m", "absent": "s"})
    assert (new["e"].tolist(), new["x"].tolist(), new.units) == ([1000.0, 2000.0], [3.0, 4.0], {"e": "MeV"})
    assert table["e"].tolist() == [1.0, 2.0]
    with pytest.raises(DataError, match="column 'e' of here is in 'GeV', 's' is asked for"):
        convert_table(table, {"e": "s"})


def test_the_judge_converts_before_it_compares() -> None:
    stream = np.random.default_rng(0)
    real, fake = ({"e": stream.normal(5, 1, 400), "x": stream.normal(0, 1, 400)} for _ in range(2))
    one = Table.of(real, {"e": "GeV"})
    same = judge_tables(one, Table.of(fake, {"e": "GeV"}), measures=["columns"])
    with pytest.warns(UserWarning, match="converted 'e' from MeV to GeV"):
        other = judge_tables(one, Table.of({**fake, "e": 1000 * fake["e"]}, {"e": "MeV"}), measures=["columns"])
    for left, right in zip(same.estimates, other.estimates, strict=True):
        assert right.value == pytest.approx(left.value, rel=1e-6)
    with pytest.raises(DataError, match="is in 'cm', 'GeV' is asked for"):
        judge_tables(one, Table.of(fake, {"e": "cm"}), measures=["columns"])


def test_no_library_of_units_is_loaded_without_a_conversion(tmp_path: Path) -> None:
    write(Table.of({"z": [1.0, 2.0]}, {"z": "cm"}), tmp_path / "x.npz")
    program = ("import sys, calque; calque.read(sys.argv[1], units={'z': 'cm'}); "
               "sys.exit('pint' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path / "x.npz")], check=False).returncode == 0


def test_reading_without_a_request_keeps_the_units(tmp_path: Path) -> None:
    write(Table.of({"z": [1.0, 2.0]}, {"z": "cm"}), tmp_path / "x.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = read(tmp_path / "x.parquet")
    assert (got["z"].tolist(), got.units) == ([1.0, 2.0], {"z": "cm"})
