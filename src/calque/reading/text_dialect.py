"""How a file of text is laid out: separator, header, comments, Geant4's ntuples; found from its first lines."""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from calque.reading.text_lines import is_comment, number_lines, split_line, split_lines
from calque.reading.text_titles import is_value, parse_title

SEPARATORS = (",", ";", "\t", "|", " ")
HEAD_LINES, HEAD_LETTERS, LEAST_LINES = 200, 1 << 20, 3
WHOLE = re.compile(r"\d+")
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
UNIT_AFTER_BLANK = re.compile(r"\s+(?=\[[^\]]*\])")
GEANT4 = "class tools::wcsv"


@dataclass(frozen=True)
class Dialect:
    """The layout of a file of text.

    Attributes
    ----------
    separator : str
        One sign; a blank stands for any run of blanks.
    skip : int
        Lines before the first row, which may hold comments.
    titles : tuple of (name, unit)
        One for each column; a name is empty where the header has none.
    line : int
        Letters of the longest line among the first.
    decimal_comma : bool
        Whether a comma stands before the decimals.
    types : tuple of str
        What Geant4 states of each column; empty for other files.
    """

    separator: str
    skip: int
    titles: tuple[tuple[str, str], ...]
    line: int = 0
    decimal_comma: bool = False
    types: tuple[str, ...] = ()


def find_dialect(path: Path) -> Dialect:
    """Find the layout of a file from its first lines.

    Parameters
    ----------
    path : Path
        A file of text, perhaps compressed.

    Returns
    -------
    Dialect
        Without titles where the file has no rows and no header.

    Raises
    ------
    FileError
        Where a line has no end within reason.
    UnicodeDecodeError
        Where the file is no text.
    """
    lines = _read_head(path)
    rows = [(number, line) for number, line in lines if not is_comment(line) and line.strip()]
    start = rows[0][0] if rows else len(lines) + 1
    comments = [line.strip().lstrip("#").strip() for number, line in lines if number < start and is_comment(line)]
    if any(comment.startswith(GEANT4) for comment in comments):
        return _read_geant4(comments)
    if not rows:
        return Dialect(",", 0, ())
    separator = _find_separator([line for _, line in rows])
    records = list(split_lines((_join_units(line, separator) for _, line in rows), separator))
    comma = separator != "," and _has_decimal_comma(records)
    longest = max(len(line) for _, line in rows)
    header, is_first = _find_header(path, records, comments, separator, comma)
    skip = _last_line_of_first(rows, separator) if is_first else 0
    width = _common_width(records[1:] or records)
    return Dialect(separator, skip, _titles(header, records[1:], width), longest, comma)


def _read_head(path: Path) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    letters = rows = 0
    for number, line in number_lines(path):
        found.append((number, line))
        letters += len(line)
        rows += not is_comment(line)
        if rows >= LEAST_LINES and (rows >= HEAD_LINES or letters > HEAD_LETTERS):
            break
    return found


def _read_geant4(comments: Sequence[str]) -> Dialect:
    """Names and types from the lines that Geant4 writes before an ntuple."""
    words = [comment.split(maxsplit=2) for comment in comments]
    separator = next((chr(int(word[1])) for word in words if word[0] == "separator"), ",")
    columns = [word for word in words if word[0] == "column" and len(word) == 3]
    titles = tuple(parse_title(word[2]) for word in columns)
    return Dialect(separator, 0, titles, types=tuple(word[1] for word in columns))


def _find_separator(lines: Sequence[str]) -> str:
    """The sign that splits the lines into most numbers."""
    scores = [(_score(lines, separator), separator) for separator in SEPARATORS]
    best = max(scores, key=lambda one: one[0])
    return best[1] if best[0] > 0 else ","


def _score(lines: Sequence[str], separator: str) -> float:
    """How well a sign separates: the share of cells that hold a value, and of lines of the common width."""
    try:
        records = list(split_lines((_join_units(line, separator) for line in lines), separator))
    except csv.Error:  # a cell without an end: not this sign
        return 0.0
    body = records[1:] or records
    width = _common_width(body)
    fit = sum(len(record) == width for record in body) / len(body)
    if width < 2 or (separator == " " and fit < 0.9):
        return 0.0
    cells = [cell for record in body for cell in record]
    values = sum(_is_number(cell, separator != ",") for cell in cells) / len(cells)
    return 1 + 2 * values + fit


def _join_units(line: str, separator: str) -> str:
    """Where blanks separate, a unit in brackets belongs to the word before it."""
    return UNIT_AFTER_BLANK.sub("", line) if separator == " " and "[" in line else line


def _common_width(records: Sequence[Sequence[str]]) -> int:
    counts = Counter(len(record) for record in records)
    return counts.most_common(1)[0][0] if counts else 0


def _is_number(cell: str, comma: bool) -> bool:
    return is_value(cell) or (comma and DECIMAL_COMMA.fullmatch(cell.strip()) is not None)


def _has_decimal_comma(records: Sequence[Sequence[str]]) -> bool:
    cells = [cell.strip() for record in records for cell in record]
    commas = any(DECIMAL_COMMA.fullmatch(cell) for cell in cells)
    return commas and not any(DECIMAL_POINT.fullmatch(cell) for cell in cells)


def _find_header(
    path: Path, records: Sequence[Sequence[str]], comments: Sequence[str], separator: str, comma: bool
) -> tuple[Sequence[str], bool]:
    """Titles (none: they are numbered), and whether the first record holds them."""
    first, rest = records[0], records[1:]
    if not all(_is_number(cell, comma) for cell in first):
        above = _is_above_numbers(first, rest, comma)
        return (first, True) if above else ((), False)
    if first[0].strip() == "" and list(first[1:]) == _count(len(first) - 1) and len(first) > 1:
        return first, True  # pandas, with the labels of rows
    if comments and (titles := _titles_in_comment(comments[-1], separator, len(first))):
        return titles, False
    return (first, True) if _is_header_of_numbers(path, first, rest) else ((), False)


def _is_above_numbers(first: Sequence[str], rest: Sequence[Sequence[str]], comma: bool) -> bool:
    """Whether words of a first record are titles, not the words of an event."""
    columns = list(zip(*(record for record in rest if len(record) == len(first)), strict=False))
    numeric = [all(_is_number(cell, comma) for cell in column) for column in columns]
    words = [not _is_number(cell, comma) for cell in first]
    if any(word and number for word, number in zip(words, numeric, strict=False)):
        return True
    valued = [not word and cell.strip() != "" for word, cell in zip(words, first, strict=True)]
    return not any(value and number for value, number in zip(valued, numeric, strict=False))


def _titles_in_comment(comment: str, separator: str, width: int) -> Sequence[str]:
    """Titles of a header behind a comment sign, as numpy.savetxt writes it; empty where there is none."""
    titles = split_line(_join_units(comment, separator), separator)
    if len(titles) != width or all(is_value(title) for title in titles):
        return ()
    return () if width == 1 and " " in parse_title(titles[0])[0] else titles


def _is_header_of_numbers(path: Path, first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether whole numbers in a first line are names, as of a pandas frame without names."""
    plain = all(WHOLE.fullmatch(cell) for cell in first) and len(set(first)) == len(first)
    body = [record for record in rest if len(record) == len(first)]
    if not plain or not body:
        return False
    differs = [not any(WHOLE.fullmatch(cell.strip()) for cell in column) for column in zip(*body, strict=True)]
    counts = list(first) == _count(len(first))
    if counts:
        named = any(differs) or (len(first) > 2 and not _goes_on(first, body[0]))
    else:
        named = all(differs) and len(body) > 2
    if counts or named:
        _warn_of_first_line(path, first, named)
    return named


def _goes_on(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether the second line goes on counting where the first ended."""
    return list(second) == [str(int(cell) + len(first)) for cell in first]


def _warn_of_first_line(path: Path, first: Sequence[str], named: bool) -> None:
    shown = ", ".join(first[:4]) + (" …" if len(first) > 4 else "")
    if named:
        text = "names of columns; if it is an event, write a line of names above it"
    else:
        text = "an event; if it holds names, give them a letter"
    warnings.warn(f"the first line of {path} ({shown}) is taken as {text}", stacklevel=2)


def _count(number: int) -> list[str]:
    return [str(place) for place in range(number)]


def _last_line_of_first(rows: Sequence[tuple[int, str]], separator: str) -> int:
    """Number of the line with which the first record ends."""
    last = 0

    def feed() -> Iterator[str]:
        nonlocal last
        for number, line in rows:
            last = number
            yield line

    next(split_lines(feed(), separator))
    return last


def _titles(
    header: Sequence[str], rest: Sequence[Sequence[str]], width: int
) -> tuple[tuple[str, str], ...]:
    """Names and units; a header may lack the title of the row labels, or have none for an empty last column."""
    if not header:
        return tuple((f"c{place}", "") for place in range(width))
    titles = list(header)
    if len(titles) == width - 1:
        trails = all(record[-1].strip() == "" for record in rest if len(record) == width)
        titles = [*titles, ""] if trails else ["", *titles]
    return tuple(parse_title(title) for title in titles)
