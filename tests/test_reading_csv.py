"""Text from everywhere: separators, headers, marks, types from all values, nothing rounded and nothing shifted."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.errors import CalqueError, DataError, FileError
from calque.reading import Sink, look, read, write
from calque.table import Table

pytestmark = pytest.mark.filterwarnings("ignore:.*left out", "ignore:.*rows dropped")
PX = [-0.1796, 1.5237, 0.5695]
PY = [-0.2752, 0.235, 1.0585]


def store(folder: Path, text: str | bytes) -> Path:
    path = folder / "x.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def check(path: Path, **columns: list[float]) -> None:
    """Names, order and values are these."""
    table = read(path)
    assert {name: table[name].tolist() for name in table} == columns
    assert list(table) == list(columns)


def body(separator: str) -> str:
    return "".join(f"{x}{separator}{y}\n" for x, y in zip(PX, PY, strict=True))


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ", "   ", " \t ", ", ", " ; "])
@pytest.mark.parametrize("header", [True, False])
def test_separators_are_found(tmp_path: Path, separator: str, header: bool) -> None:
    names = ("px", "py") if header else ("c0", "c1")
    text = (f"px{separator}py\n" if header else "") + body(separator)
    check(store(tmp_path, text), **dict(zip(names, (PX, PY), strict=True)))


@pytest.mark.parametrize(
    "text",
    [
        "# made in May\npx,py\n" + body(","),
        "# px,py\n" + body(","),
        "# made in May\n#\n# px,py\n" + body(","),
        "# px py\n" + body(" "),
        "\n\n  # note\npx,py\n" + body(",").replace("\n", "\n# between\n", 1) + "# end",
        "px,py\r\n" + body(",").replace("\n", "\r\n"),
        "\ufeffpx,py\n" + body(","),
        "\ufeff# px,py\n" + body(","),
        "px,py\r" + body(",").replace("\n", "\r"),
        '"px","py"\n' + body(","),
        "px,py\n" + body(",").replace("\n", "\n\n"),
        "px,py\n" + body(",").rstrip("\n"),
        "px,py\n" + body(",").replace("\n", ",\n"),
        "px,py,\n" + body(",").replace("\n", ",\n"),
        ",px,py\n" + "".join(f"{row},{line}\n" for row, line in enumerate(body(",").splitlines())),
        "Unnamed: 0,px,py\n" + "".join(f"{3 * row},{line}\n" for row, line in enumerate(body(",").splitlines())),
        "px,py\n" + "".join(f"{row + 1},{line}\n" for row, line in enumerate(body(",").splitlines())),
        "px;py\n" + body(";").replace(".", ","),
        "#class tools::wcsv::ntuple\n#title hits\n#separator 59\n#vector_separator 44\n#column double px\n"
        "#column double py\n" + body(";"),
    ],
)
def test_the_same_events_in_other_clothes(tmp_path: Path, text: str) -> None:
    check(store(tmp_path, text), px=PX, py=PY)


def test_what_is_left_out_is_described(tmp_path: Path) -> None:
    path = store(tmp_path, ",px,name,\n0,1.5,mu,\n1,2.5,e,\n")
    kinds = {field.name: field.kind for field in look(path).trees[0].fields}
    assert kinds == {"index": "row labels of pandas", "px": "float64", "name": "text, such as 'mu'", "c3": "nothing"}


def test_units_stand_behind_names(tmp_path: Path) -> None:
    for text in ('px [GeV],"n"\n1.5,2\n', "px[GeV],n\n1.5,2\n", "px [GeV] n\n1.5 2\n", "# px [GeV] n\n1.5 2\n2.5 3\n"):
        table = read(store(tmp_path, text))
        assert (table.names, table.units) == (("px", "n"), {"px": "GeV"})
    assert read(store(tmp_path, "m[0],m[1]\n1.5,2\n")).names == ("m[0]", "m[1]")


def test_geant4_states_names_and_types(tmp_path: Path) -> None:
    head = "#class tools::wcsv::ntuple\n#title hits\n#separator 44\n#vector_separator 59\n"
    types = "#column double E dep\n#column int pdg\n#column vector<double> v\n#column string s\n"
    path = store(tmp_path, head + types + "1,11,1,a\n2,-11,3;4,b\n")
    table = read(path)
    assert table.names == ("E dep", "pdg")
    assert (table["E dep"].dtype, table["pdg"].tolist()) == (np.float64, [11, -11])
    assert "lists (vector<double>)" in {field.kind for field in look(path).trees[0].fields}


@pytest.mark.parametrize("mark", ["", "NA", "NaN", "nan", "null", "N/A", "NULL", "None", " ", " NA", "#N/A", '""'])
def test_missing_marks_are_counted(tmp_path: Path, mark: str) -> None:
    path = store(tmp_path, f"px,n,t,z\n1.5,3,True,1\n2.5,{mark},{mark},1\n{mark},{2**62 + 1},False,1\n")
    with pytest.raises(DataError, match=r"NaN or infinite: 1 in 'px', 1 in 'n', 1 in 't' .*rows 1, 2; drop_nonfinite"):
        read(path)
    with pytest.warns(UserWarning, match=r"2 rows dropped"):
        table = read(path, drop_nonfinite=True)
    assert [table[name].dtype for name in table] == [np.float64, np.int64, np.bool_, np.int64]
    assert read(path, columns=["z"], where=f"n == {2**62 + 1}")["z"].tolist() == [1]


def test_a_column_without_any_number_is_missing_altogether(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 in 'b'"):
        read(store(tmp_path, "a,b\n1,NA\n2,NA\n"))


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1.5D+01", "-2.d-3"], [15.0, -0.002]),
        (["0.1-100", "2.5+100"], [0.1e-100, 2.5e100]),
        (["+1.5", " 2 ", "3."], [1.5, 2.0, 3.0]),
        (["+7", " 8"], [7, 8]),
        (["0x1F", "0xff"], [31, 255]),
        (["True", "false", "TRUE"], [True, False, True]),
        (["1e3", "1E-3"], [1e3, 1e-3]),
        ([str(2**64 - 1), "0"], [2**64 - 1, 0]),
        ([str(-(2**63)), str(2**63 - 1)], [-(2**63), 2**63 - 1]),
        (["1" + "0" * 22, "1.5"], [1e22, 1.5]),
    ],
)
def test_numbers_of_all_spellings_are_exact(tmp_path: Path, texts: list[str], values: list[float]) -> None:
    path = store(tmp_path, "a,b\n" + "".join(f"{text},1\n" for text in texts))
    found = read(path, columns=["a"])["a"]
    assert found.tolist() == values
    assert found.dtype == (np.uint64 if values[0] == 2**64 - 1 else np.asarray(values).dtype)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([str(2**64 + 1), "1"], r"holds whole numbers that 64 bits cannot hold without rounding, such as 1844674407"),
        (["-1", str(2**64 - 1)], r"holds whole numbers that 64 bits cannot hold"),
        ([str(2**53 + 1), "0.5"], r".*(mixes fractions with whole numbers beyond 2\^53|without rounding)"),
        (["0.5", str(2**53 + 1)], r"holds .* without rounding, such as 9007199254740993"),
        (["1", "2", "x"], r"holds numbers only up to line 4, where it holds 'x'; mend the file, or name the columns"),
        (["1", "True"], r"holds numbers only up to line 3, where it holds 'True'"),
        (["True", "1"], r"holds numbers only up to line 3, where it holds '1'"),
        (["1.5", "1.5.1"], r"holds numbers only up to line 3"),
        (["1.5", "***"], r"holds numbers only up to line 3, where it holds '\*\*\*'"),
    ],
)
def test_what_would_be_rounded_or_is_no_number_is_refused(tmp_path: Path, texts: list[str], message: str) -> None:
    path = store(tmp_path, "a,b\n" + "".join(f"{text},1\n" for text in texts))
    with pytest.raises(DataError, match=rf"column 'a' in .*x.csv {message}"):
        read(path)
    with pytest.raises(DataError, match=rf"column 'a' in .*{message.split(';')[0]}"):
        read(path, columns=["a"])
    assert len(read(path, columns=["b"])) == len(texts)
    assert len(look(path).trees[0].fields) == 2


@pytest.mark.parametrize("late", ["7.5", str(2**63), "text", "1.5D+01", "NA", "-3"])
def test_types_are_of_the_whole_file(tmp_path: Path, late: str) -> None:
    """A value beyond the first block of a reader changes a type, never a number."""
    rows = 700_000
    path = store(tmp_path, "n,m\n" + "1234567,8\n" * rows + f"{late},9\n" + "1,8\n")
    if late == "text":
        with pytest.raises(DataError, match=rf"only up to line {rows + 2}, where it holds 'text'"):
            read(path)
        return
    if late == "NA":
        with pytest.raises(DataError, match=rf"1 in 'n' .*first in rows {rows};"):
            read(path)
        return
    table = read(path)
    assert (len(table), table["m"][-2]) == (rows + 2, 9)
    assert table["n"].dtype == {"7.5": np.float64, str(2**63): np.uint64, "1.5D+01": np.float64, "-3": np.int64}[late]
    assert table["n"][-3:].tolist() == [1234567, float(late.replace("D", "E")), 1]


def test_ragged_rows_name_their_line(tmp_path: Path) -> None:
    for text, message in {
        "a,b\n1,2\n3\n": r"line 3 has 1 values, not 2",
        "a,b\n1,2\n3,4,5\n6,7\n": r"line 3 has 3 values, not 2",
        "# one\n\na,b\n# two\n1,2\n3,4\n5,6,7\n8,9\n": r"line 7 has 3 values, not 2",
        "a b\n1 2\n3 4\n5 6\n" + "7 8\n" * 30 + "1 2 3\n": r"line 35 has 3 values, not 2",
    }.items():
        with pytest.raises(FileError, match=message):
            read(store(tmp_path, text))


def test_a_first_line_of_numbers(tmp_path: Path) -> None:
    """Names where pandas wrote them, an event where they fit with the others; either is said where it is a guess."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(20, 3)))
    for labels in (False, True):
        frame.to_csv(tmp_path / "x.csv", index=labels)
        if labels:
            table = read(tmp_path / "x.csv")
        else:
            with pytest.warns(UserWarning, match=r"first line of .*x.csv \(0, 1, 2\) is taken as names of columns"):
                table = read(tmp_path / "x.csv")
        assert table.names == ("0", "1", "2")
        np.testing.assert_array_equal(table["1"], frame[1])
    pd.DataFrame(random.integers(0, 9, (20, 3))).to_csv(tmp_path / "y.csv", index=False)
    with pytest.warns(UserWarning, match=r"is taken as names"):
        assert len(read(tmp_path / "y.csv")) == 20
    np.savetxt(tmp_path / "z.csv", np.arange(12).reshape(4, 3), "%d", delimiter=",")
    with pytest.warns(UserWarning, match=r"first line of .*z.csv \(0, 1, 2\) is taken as an event"):
        assert len(read(tmp_path / "z.csv")) == 4
    pd.DataFrame(random.normal(size=(20, 2)), columns=["2016", "2017"]).to_csv(tmp_path / "u.csv", index=False)
    with pytest.warns(UserWarning, match=r"\(2016, 2017\) is taken as names"):
        assert read(tmp_path / "u.csv").names == ("2016", "2017")
    for text in ("0.5,1.5\n2.5,3.5\n", "0,0\n0.5,1.5\n1.5,0.5\n3.5,2.5\n", "3,1\n4,1\n5,9\n"):
        assert len(read(store(tmp_path, text))) == text.count("\n")


def test_words_above_words_are_a_header_unless_numbers_say_otherwise(tmp_path: Path) -> None:
    assert read(store(tmp_path, "pz,name\n1,mu\n2,e\n")).names == ("pz",)
    assert read(store(tmp_path, "1,mu\n2,e\n3,mu\n")).names == ("c0",)
    assert read(store(tmp_path, "px,1,2\n1,2,3\n4,5,6\n")).names == ("px", "1", "2")


def test_names_that_occur_twice_differ(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"names occur twice; the later columns are called x_2"):
        check(store(tmp_path, "x,y,x\n1,2,3\n4,5,6\n"), x=[1, 4], y=[2, 5], x_2=[3, 6])


def test_quotes_keep_separators_and_line_ends(tmp_path: Path) -> None:
    path = store(tmp_path, '"a, b","c\nd","say ""e"""\n1,2,3\n"4",5,6\n')
    check(path, **{"a, b": [1, 4], "c\nd": [2, 5], 'say "e"': [3, 6]})


def test_thirty_thousand_columns_are_no_trouble(tmp_path: Path) -> None:
    names = [f"column{place}" for place in range(30_000)]
    path = store(tmp_path, ",".join(names) + "\n" + (",".join(["1.5"] * len(names)) + "\n") * 3)
    table = read(path, columns=["column7", "column29999"])
    assert table["column29999"].tolist() == [1.5] * 3


PROGRAM = """
import sys
from pathlib import Path
from calque.reading.formats import format_of
list(format_of(Path("x.csv")).iterate(Path(sys.argv[1]), "", ["a"], 10))
"""


def test_a_program_that_has_read_text_ends_in_peace(tmp_path: Path) -> None:
    """No thread of a library is left that reads from a file while the interpreter ends."""
    path = store(tmp_path, "a,b\n" + "1.5,2\n" * 60)
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_end_where_records_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int) -> None:
    """Whatever the length of a block, with line ends in quotes and comments between."""
    monkeypatch.setattr("calque.reading.text.BLOCK", size)
    monkeypatch.setattr("calque.reading.text.LINES", 0)
    lines = "".join(f'"{row}","a\nb, {row}",{row / 4}\n# note, {row}\n\n' for row in range(50))
    path = store(tmp_path, '"n","word\n",x\n' + lines)
    table = read(path)
    assert table["n"].tolist() == list(range(50))
    assert table["x"].tolist() == [row / 4 for row in range(50)]


def test_compressed_text(tmp_path: Path) -> None:
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2.5\n3,4.5\n"))
    assert read(tmp_path / "x.csv.gz")["b"].tolist() == [2.5, 4.5]
    write(Table.of({"a": np.arange(5.0)}), tmp_path / "y.csv.gz")
    assert gzip.decompress((tmp_path / "y.csv.gz").read_bytes()).startswith(b"a\n0.0\n")
    assert len(read(tmp_path / "y.csv.gz")) == 5


@given(
    values=st.lists(st.floats(width=64), min_size=1, max_size=20),
    small=st.lists(st.floats(width=32), min_size=20, max_size=20),
    whole=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), min_size=20, max_size=20),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_bits_survive(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], small: list[float], whole: list[int]
) -> None:
    rows = len(values)
    table = Table.of({
        "d": np.asarray(values), "f": np.asarray(small[:rows], np.float32), "u": np.asarray(whole[:rows], np.uint64),
        "sure": np.ones(rows),
    })  # fmt: skip
    path = tmp_path_factory.mktemp("bits") / "x.csv"
    write(table, path)
    finite = np.isfinite(table["d"]) & np.isfinite(table["f"])
    if not finite.any():
        with pytest.raises(DataError, match=r"no rows"):
            read(path, drop_nonfinite=True)
        return
    again = read(path, drop_nonfinite=True)
    assert again["d"].tobytes() == table["d"][finite].tobytes()
    assert again["f"].astype(np.float32).tobytes() == table["f"][finite].tobytes()
    assert again["u"].tolist() == table["u"][finite].tolist()


@given(text=st.text("0123456789.,;\t \n\r\"#-+eENA[]xab'", max_size=80))
@settings(max_examples=150, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("ignore")
def test_any_text_is_read_or_refused_in_a_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = store(tmp_path_factory.mktemp("any"), text)
    try:
        rows = len(read(path, drop_nonfinite=True))
    except CalqueError as error:
        rows, said = 0, str(error)
        assert "\n" not in said.replace("\\n", ""), said
    assert rows <= text.count("\n") + text.count("\r") + 1


def test_arrays_of_numpy_and_pandas_agree(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"x": random.normal(size=500), "n": random.integers(-9, 9, 500)})
    frame["b"] = frame["x"] > 0
    frame.to_csv(tmp_path / "x.csv", sep=";")
    table = read(tmp_path / "x.csv")
    for name in ("x", "n", "b"):
        np.testing.assert_array_equal(table[name], frame[name])
        assert table[name].dtype == frame[name].dtype


def test_what_was_torn_ends_with_a_whole_line(tmp_path: Path) -> None:
    (tmp_path / "x.csv.part").write_text("n [m],x\n1,2.5\n3,4.5\n5,6")
    (table,) = Sink(tmp_path / "x.csv", resume=True).salvaged()
    assert {name: table[name].tolist() for name in table} == {"n": [1, 3], "x": [2.5, 4.5]}
