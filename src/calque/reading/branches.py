"""Columns of a TTree or RNTuple: their names, types and values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import uproot

from calque.reading.formats import Field, Lists
from calque.reading.forms import Leaf, find_leaves
from calque.table import Array

UNIT = re.compile(r"(\S+)\s+\[([^\]]+)\]")
SEPARATOR = re.compile(r"[./;]")
HELPER = "_collection"  # how RNTuples call the lists that their other fields show again


@dataclass(frozen=True)
class Column:
    """One column: where its numbers lie in the file, and its description.

    `full_name` has the path of the branch and of all members; it is the name where a shorter one is not unique.
    """

    branch: Any
    leaf: Leaf
    field: Field
    full_name: str

    @property
    def is_plain(self) -> bool:
        """Whether the branch itself is one number or image per event."""
        return not self.leaf.path and not self.leaf.is_list


def find_columns(table: Any, wanted: Collection[str] | None = None) -> dict[str, Column]:
    """Find the columns of a TTree or RNTuple by their names, none of their values read.

    Parameters
    ----------
    table : uproot.TTree or uproot RNTuple
        The table.
    wanted : collection of str, optional
        Names that are needed; branches that cannot have them are passed over.

    Returns
    -------
    dict of Column
        A member of a branch is called `branch.member`. Names that several columns would share are full paths, and
        where a file has even those twice, the later ones end in ";2", ";3", ….

    """
    stems = None if wanted is None else _stems(wanted)
    found = list(_columns_of_tree(table, stems) if is_tree(table) else _columns_of_ntuple(table, stems))
    shared = Counter(column.field.name for column in found)
    copies: Counter[str] = Counter()
    named: dict[str, Column] = {}
    for column in found:
        name = column.field.name if shared[column.field.name] == 1 else column.full_name
        copies[name] += 1
        if copies[name] > 1:
            name = f"{name};{copies[name]}"
        named[name] = replace(column, field=replace(column.field, name=name))
    return named


def read_columns(table: Any, columns: Sequence[Column], start: int, stop: int) -> list[Array | Lists]:
    """Read values of columns for events from `start` to `stop`; each branch is read once."""
    held: dict[int, Any] = {}
    values: list[Array | Lists] = []
    for column in columns:
        if column.is_plain and is_tree(table):
            values.append(column.branch.array(entry_start=start, entry_stop=stop, library="np"))
            continue
        if id(column.branch) not in held:
            held[id(column.branch)] = column.branch.array(entry_start=start, entry_stop=stop, library="ak")
        values.append(column.leaf.take(held[id(column.branch)]))
    return values


def is_tree(table: Any) -> bool:
    """Whether it is a TTree (or TNtuple), not an RNTuple."""
    return isinstance(table, uproot.TTree)


def _columns_of_tree(tree: Any, stems: set[str] | None) -> Iterator[Column]:
    units = dict(UNIT.findall(tree.title or ""))
    branches = [(path, branch) for path, branch in tree.iteritems(full_paths=True) if not _is_group(branch)]
    shared = Counter(branch.name for _, branch in branches)
    for path, branch in branches:
        if stems is not None and stems.isdisjoint((branch.name.rstrip("."), path.rstrip("."))):
            continue
        name = branch.name if shared[branch.name] == 1 else path
        unit = units.get(branch.name) or _bracketed(branch.title)
        whole = Field(name, None, (), unit, int(branch.num_entries), _typename(branch))
        yield from _columns_of_branch(branch, _form(branch), whole, path)


def _columns_of_ntuple(ntuple: Any, stems: set[str] | None) -> Iterator[Column]:
    # one form a field, from the names below it: the form of the whole ntuple takes a time that grows as their square
    paths: dict[str, list[str]] = {}
    for path in (field.path for field in ntuple.all_fields):
        if path:
            paths.setdefault(path.partition(".")[0], []).append(path)
    for field in ntuple.fields:
        if not field.name.startswith(HELPER) and (stems is None or field.name in stems):
            whole = Field(field.name, None, (), "", int(ntuple.num_entries), field.typename)
            form = ntuple.field_form(field.field_id, paths[field.name])
            yield from _columns_of_branch(field, form, whole, field.name)


def _columns_of_branch(branch: Any, form: Any, whole: Field, path: str) -> Iterator[Column]:
    """The branch's numbers, or one column without a type where there are none."""
    leaves = [] if form is None else list(find_leaves(form))
    if all(leaf.dtype is None for leaf in leaves) or not _is_readable(branch, form, leaves):
        yield Column(branch, Leaf(), whole, path)
        return
    for leaf in leaves:
        name = ".".join((whole.name.rstrip("."), *leaf.short_path)) if leaf.path else whole.name
        full = "/".join((path.rstrip("."), *leaf.path)) if leaf.path else path
        dtype, item = (None, leaf.dtype) if leaf.is_list else (leaf.dtype, None)
        yield Column(branch, leaf, replace(whole, name=name, dtype=dtype, shape=leaf.shape, item=item, path=full), full)


def _stems(names: Collection[str]) -> set[str]:
    """Every name, and its beginnings up to each separator: the branches that it may be a member of."""
    ends = {name: [match.start() for match in SEPARATOR.finditer(name)] for name in names}
    return {name[:end].rstrip(".") for name, places in ends.items() for end in (*places, len(name))}


def _is_group(branch: Any) -> bool:
    """Whether a branch has no values of its own, only branches below it that are columns themselves."""
    return isinstance(branch.interpretation, uproot.interpretation.grouped.AsGrouped)


def _form(branch: Any) -> Any:
    """The type of one event; None where uproot has none, whatever the reason."""
    try:
        return branch.interpretation.awkward_form(branch.file)
    except Exception:
        return None


def _is_readable(branch: Any, form: Any, leaves: Sequence[Leaf]) -> bool:
    """Whether objects can be read: uproot lacks some ways of storing them, which only their bytes show.

    Objects with lists of text or objects are not tried: where uproot takes other bytes for the length of such a list,
    it fills the memory.
    """
    kind = getattr(branch, "interpretation", None)
    kind = kind.content if isinstance(kind, uproot.AsJagged) else kind
    if not isinstance(kind, uproot.AsObjects | uproot.AsStridedObjects) or not branch.num_entries:
        return True
    deep = form.is_record and any(leaf.is_list and leaf.dtype is None for leaf in leaves)
    if deep and isinstance(kind, uproot.AsObjects):
        return False
    try:
        branch.array(entry_stop=1, library="ak")
    except Exception:
        return False
    return True


def _typename(branch: Any) -> str:
    try:
        return str(branch.typename)
    except Exception:
        return type(branch.interpretation).__name__


def _bracketed(title: str) -> str:
    # "px [GeV]" has a unit; "px/F", "image[3][4]/F" and "fPx[MCTrack_]" have none
    match = re.search(r"\s\[([^\]]+)\]\s*$", title or "")
    return match.group(1) if match else ""
