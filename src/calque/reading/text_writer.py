"""csv written: a header with units, then one event a line."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping
from pathlib import Path
from typing import IO, cast

import numpy as np

from calque.errors import DataError
from calque.reading.text_titles import format_title, quote_cell
from calque.table import Array

PIECE = 20_000


class LineWriter:
    """Rows of text, each number as short as it can be without a loss."""

    def __init__(self, path: Path, units: Mapping[str, str], packed: bool = False) -> None:
        self.units = dict(units)
        self.raw = path.open("wb")
        # without a time of its own, so that the same events make the same file
        self.packer = gzip.GzipFile(fileobj=self.raw, mode="wb", compresslevel=1, mtime=0) if packed else None
        self.file = io.TextIOWrapper(cast(IO[bytes], self.packer or self.raw), encoding="utf-8", newline="")
        self.writer = csv.writer(self.file, lineterminator="\n")
        self.begun = False

    def write(self, columns: Mapping[str, Array]) -> None:
        """Append rows; the first call writes the header."""
        if not self.begun:
            self._begin(columns)
        rows = len(next(iter(columns.values())))
        for start in range(0, rows, PIECE):
            texts = [_text(array[start : start + PIECE]) for array in columns.values()]
            self.writer.writerows(zip(*texts, strict=True))
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        self.raw.close()

    def _begin(self, columns: Mapping[str, Array]) -> None:
        for name, array in columns.items():
            if array.ndim > 1:
                raise DataError(
                    f"csv cannot hold the image column {name!r} {array.shape[1:]}; write .root, .h5 or .npz"
                )
        titles = [quote_cell(format_title(name, self.units.get(name, "")), " " in name) for name in columns]
        self.file.write(",".join(titles) + "\n")
        self.begun = True


def _text(array: Array) -> list[str]:
    plain: list[str] = (array.astype(np.int8) if array.dtype.kind == "b" else array).astype(str).tolist()
    return plain
