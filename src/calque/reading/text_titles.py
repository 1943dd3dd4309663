"""Titles of columns in text: a name and its unit, as in "px [GeV]", both ways."""

from __future__ import annotations

import re

WITH_UNIT = re.compile(r"(.*?)(\s*)\[([^\[\]]*)\]\s*", re.DOTALL)
AS_IT_IS = " []"  # after a name that would be taken for something else
INDEX = re.compile(r"[\d\s,:]+")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?|0[xX][0-9a-fA-F]+|[+-]?inf(inity)?", re.IGNORECASE)
MISSING = frozenset((
    "", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "NAN", "-NaN", "-nan", "null", "NULL", "Null", "None",
    "1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND",
))  # fmt: skip
TRUTHS = ("True", "TRUE", "true")
FALSEHOODS = ("False", "FALSE", "false")


def is_value(cell: str) -> bool:
    """Whether a cell holds a number, a truth or a mark for what is missing."""
    cell = cell.strip()
    return cell in MISSING or cell in TRUTHS or cell in FALSEHOODS or NUMBER.fullmatch(cell) is not None


def parse_title(title: str) -> tuple[str, str]:
    """Split a title into name and unit.

    Parameters
    ----------
    title : str
        A cell of the header.

    Returns
    -------
    tuple of str
        Name and unit; the unit is empty where there is none.

    Examples
    --------
    >>> parse_title("px [GeV]"), parse_title("m[0]"), parse_title("a [b] []")
    (('px', 'GeV'), ('m[0]', ''), ('a [b]', ''))
    """
    if title.rstrip().endswith(AS_IT_IS):
        return title.rstrip().removesuffix(AS_IT_IS), ""
    found = WITH_UNIT.fullmatch(title)
    if found is None or (not found[2] and (INDEX.fullmatch(found[3]) or not found[3])):
        return title.strip(), ""
    if found[1].endswith(AS_IT_IS):
        return found[1].removesuffix(AS_IT_IS), found[3].strip()
    return found[1].strip(), found[3].strip()


def format_title(name: str, unit: str) -> str:
    """Write a title that `parse_title` splits into the same name and unit.

    >>> format_title("px", "GeV"), format_title("a [b]", ""), format_title("7", "")
    ('px [GeV]', 'a [b] []', '7 []')
    """
    plain = parse_title(name) == (name, "") and not is_value(name)
    start = name if plain else name + AS_IT_IS
    return f"{start} [{unit}]" if unit else start


def quote_cell(cell: str, blank: bool) -> str:
    """Put a cell in quotes where a sign in it would mean something to a reader of text."""
    signs = ",;|#\t\r\n\"" + (" " if blank else "")
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in signs) else cell
