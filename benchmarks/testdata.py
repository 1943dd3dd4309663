"""Real files of many experiments: every table is looked at and read, per event and per particle.

    pip download --no-deps scikit-hep-testdata    # or any other folder of ROOT, HDF5 and Parquet files
    python benchmarks/testdata.py FOLDER

Values of ROOT files are compared with uproot's own arrays. Printed are the files and tables that were read, refused in
one line, or failed with a traceback; the exit status is 1 where one failed or a value differs.
"""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from calque.errors import CalqueError
from calque.reading import iterate, look
from calque.reading.branches import find_columns
from calque.reading.formats import Field
from calque.reading.particles import SEPARATOR
from calque.reading.source import Source

SUFFIXES = (".root", ".h5", ".hdf5", ".parquet", ".pq")
ROWS = 2000
COLLECTIONS = 6  # of each table, read per particle


class Tally:
    """Counts of what was tried, with a line for each failure."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def attempt(self, what: str, where: str, task: Callable[[], Any]) -> Any:
        """Do a task; one line is a refusal, anything else a failure."""
        try:
            result = task()
        except CalqueError as error:
            self.counts[f"{what}: refused"] += 1
            if "\n" in str(error):
                self.fail(what, where, "an error of several lines")
            print(f"  {what} {where}: {error}"[:300])
            return None
        except Exception as error:
            self.fail(what, where, repr(error)[:200])
            traceback.print_exc(limit=-3)
            return None
        self.counts[f"{what}: read"] += 1
        return result

    def fail(self, what: str, where: str, why: str) -> None:
        """Note a failure."""
        self.counts[f"{what}: failed"] += 1
        self.failures.append(f"{what} {where}: {why}")


def check_file(path: Path, tally: Tally) -> None:
    """Look at a file and read all its tables."""
    began = time.perf_counter()
    tally.attempt("look", path.name, lambda: str(look(path)))
    names = tally.attempt("trees", path.name, lambda: Source.trees(path)) or []
    for name in names:
        source = tally.attempt("open", f"{path.name}:{name}", lambda name=name: Source.open(path, name))
        if source is None:
            continue
        fields = tally.attempt("describe", str(source), lambda source=source: source.fields) or []
        check_events(source, fields, tally)
        for prefix in collections_of(fields)[:COLLECTIONS]:
            check_particles(source, prefix, tally)
    print(f"{path.name}: {len(names)} tables, {time.perf_counter() - began:.1f} s", flush=True)


def check_events(source: Source, fields: list[Field], tally: Tally) -> None:
    """Read the first rows of a table, one an event, and compare them."""
    lengths = {one.rows for one in fields if one.dtype is not None and one.rows}
    if not lengths:
        tally.counts["per event: no numbers or no rows"] += 1
    for length in lengths:
        names = [one.name for one in fields if one.dtype is not None and one.rows == length]
        found = tally.attempt("per event", str(source), lambda names=names: first_rows(source, names, None))
        if found is not None and source.path.suffix == ".root":
            compare(found, source, "per event", tally)


def check_particles(source: Source, prefix: str, tally: Tally) -> None:
    """Read the first entries of a collection and compare them."""
    where = f"{source} {prefix}"
    found = tally.attempt("per particle", where, lambda: first_rows(source, None, prefix))
    if found is not None and source.path.suffix == ".root":
        compare(found, source, "per particle", tally)


def first_rows(source: Source, names: list[str] | None, per: str | None) -> dict[str, Any]:
    """The first rows, as `calque.read` gives them and, for the comparison, before it checks that they are finite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = {"tree": source.tree or None, "columns": names, "per": per, "rows": ROWS, "drop_nonfinite": True}
        next(iter(iterate(source.path, **chosen)), None)
    opened = Source.open(source.path, source.tree, None, per)
    wanted = names or [one.name for one in opened.fields if one.dtype is not None]
    return next(opened.pieces(wanted, ROWS), {})


def compare(found: dict[str, Any], source: Source, what: str, tally: Tally) -> None:
    """Compare columns with uproot's: numbers of the events, or entries of lists where rows are particles."""
    with uproot.open(source.path) as file:
        table = file[source.tree]
        columns = find_columns(table, found)
        wanted = "item" if what == "per particle" else "dtype"
        for name in found.keys() & columns.keys():
            if getattr(columns[name].field, wanted) is None:
                continue
            tally.counts[f"{what}: columns compared"] += 1
            if differs(found[name], values_of_uproot(table, columns[name])):
                tally.fail(what, f"{source} {name}", "other values than uproot's")


def values_of_uproot(table: Any, column: Any) -> Any:
    """A branch by its full path, then the member of it, by uproot and awkward-array alone."""
    path = column.full_name
    for _ in column.leaf.path:
        path = path.rpartition("/")[0]
    branch = table[path] if path in table.keys() else column.branch  # noqa: SIM118
    array = branch.array(entry_stop=ROWS, library="ak")
    for part in column.leaf.path:
        array = array[part]
    return ak.to_numpy(ak.flatten(array, axis=1) if column.leaf.is_list else array)


def differs(ours: Any, theirs: Any) -> bool:
    """Whether the first rows are not the same numbers, bit for bit."""
    shared = min(len(ours), len(theirs))
    one, other = (np.ascontiguousarray(values[:shared]) for values in (ours, theirs))
    return one.dtype != other.dtype.newbyteorder("=") or one.tobytes() != other.astype(one.dtype).tobytes()


def collections_of(fields: list[Field]) -> list[str]:
    """Prefixes of the lists of numbers."""
    found: dict[str, None] = {}
    for one in fields:
        if one.item is not None and one.rows:
            name = one.path or one.name
            match = SEPARATOR.search(name, 1)
            found[name[: match.start()] if match else name] = None
    return list(found)


def main(folder: str) -> int:
    """Check every file of a folder; the exit status."""
    tally = Tally()
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    for path in files:
        check_file(path, tally)
    print(f"\n{len(files)} files")
    for what, number in sorted(tally.counts.items()):
        print(f"{number:7d}  {what}")
    print(f"{len(tally.failures):7d}  failures")
    for failure in tally.failures:
        print(f"         {failure}")
    return bool(tally.failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
