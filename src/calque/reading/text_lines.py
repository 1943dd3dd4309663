"""Lines of a text file: bytes without comments for arrow, and numbered records for messages."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from calque.errors import FileError

COMMENT = re.compile(rb"^[ \t]*#(?!N/?A\b)[^\n]*\n?", re.MULTILINE)
BLANKS = re.compile(rb"[ \t]+")
EDGES = re.compile(rb"^\t|\t(?=\r?$)", re.MULTILINE)
HEAD = 1 << 16
LONGEST = 1 << 26  # bytes of one line
PACKED = b"\x1f\x8b"  # how what gzip wrote begins
MARK = b"\xef\xbb\xbf"  # the byte order mark that Windows writes


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacked where it is compressed; its byte order mark is passed over."""
    with path.open("rb") as raw:
        packed = raw.read(len(PACKED)) == PACKED
    with cast(IO[bytes], gzip.open(path) if packed else path.open("rb")) as file:
        head = file.read(HEAD)
        if b"\r" in head and b"\n" not in head:  # lines end as on an old Macintosh
            yield io.BytesIO((head + file.read()).removeprefix(MARK).replace(b"\r", b"\n"))
            return
        file.seek(len(MARK) if head.startswith(MARK) else 0)
        yield file


def iterate_blocks(file: IO[bytes], size: int, blanks: bool, torn: bool) -> Iterator[bytes]:
    """Split a file into blocks of whole records without comments, for arrow.

    Arrow gets bytes, not the file: its own threads would still read from the file when the program ends.

    Parameters
    ----------
    file : binary file
        From where the first row begins.
    size : int
        Bytes of a block.
    blanks : bool
        Whether blanks separate the columns; a run of them becomes one tab.
    torn : bool
        Whether the last line counts only where it is whole.

    Yields
    ------
    bytes
        Lines; a line end in quotes ends no block.
    """
    rest = b""
    while block := file.read(size):
        text = rest + block
        cut = text.rfind(b"\n") + 1
        if text.count(b'"', 0, cut) % 2:
            cut = 0  # within quotes: more has to be read
        rest = text[cut:]
        if len(rest) > max(LONGEST, 2 * size):
            raise ValueError(f"a line or a text in quotes is longer than {LONGEST >> 20} MB")
        if cut:
            yield _clean_lines(text[:cut], blanks)
    if rest and not torn:
        yield _clean_lines(rest, blanks)


def _clean_lines(lines: bytes, blanks: bool) -> bytes:
    if b"#" in lines:
        lines = COMMENT.sub(b"", lines)
    if blanks:
        lines = EDGES.sub(b"", BLANKS.sub(b"\t", lines))
    return lines


def number_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a file with their numbers, from 1; comments too."""
    with opened(path) as file:
        number = 1
        while line := _read_line(file):
            yield number, line.decode()
            number += 1


def _read_line(file: IO[bytes]) -> bytes:
    line = file.readline(LONGEST)
    if len(line) == LONGEST:
        raise FileError(f"a line is longer than {LONGEST >> 20} MB; this is no table of text")
    return line


def is_comment(line: str) -> bool:
    """Whether a line is a comment."""
    return COMMENT.match(line.encode("utf-8", "replace")) is not None


def split_line(line: str, separator: str) -> list[str]:
    """Values of one line; a blank as separator stands for any run of blanks."""
    return next(split_lines(iter([line]), separator), [])


def split_lines(lines: Iterator[str], separator: str) -> Iterator[list[str]]:
    """Values of each record, which may have line ends in quotes."""
    if separator == " ":
        lines = (line.replace("\t", " ").strip() for line in lines)
    reader: Any = csv.reader(lines, delimiter=separator, skipinitialspace=separator == " ")
    yield from reader


def number_records(path: Path, separator: str, skip: int) -> Iterator[tuple[int, list[str]]]:
    """Records after `skip` lines with the number of their last line; comments and empty lines are passed over."""
    last = 0

    def lines() -> Iterator[str]:
        nonlocal last
        for number, line in number_lines(path):
            if number > skip and not is_comment(line) and line.strip():
                last = number
                yield line

    for record in split_lines(lines(), separator):
        yield last, record
