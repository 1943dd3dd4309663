"""The ways through an HDF5 file: links are followed inside the folder of the file, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py

HOPS = 32  # links after links; the library itself follows sixteen
DEEP = 8  # virtual datasets of virtual datasets


class LinkError(Exception):
    """A link that is not followed; its text goes on after the name of the column."""


class Shelf:
    """An HDF5 file and those of its folder that it links to.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.folder = path.resolve().parent
        self.stack = stack
        self.files: dict[Path, Any] = {}
        self.root = self._open(path.resolve())

    def find(self, path: str) -> Any:
        """Find a group or dataset; raises LinkError, or KeyError where there is none."""
        return self._walk(self.root, path, 0)

    def follow(self, group: Any, name: str, hops: int = 0) -> Any:
        """Find what a link of a group leads to.

        Parameters
        ----------
        group : h5py.Group
            Where the link is.
        name : str
            Its name.
        hops : int
            Links that led here.

        Returns
        -------
        h5py.Group or h5py.Dataset

        Raises
        ------
        LinkError
            Where it leads nowhere, round in circles or out of the folder.
        """
        if is_direct(group, name):
            return group[name]
        link = group.get(name, getlink=True)
        if hops > HOPS:
            raise LinkError("is a link that leads round in a circle")
        if isinstance(link, h5py.SoftLink):
            start = group.file["/"] if link.path.startswith("/") else group
            return self._walk_link(start, link.path, hops)
        if isinstance(link, h5py.ExternalLink):
            place = self.locate(group, link.filename)
            return self._walk_link(self._open(place), link.path, hops)
        return group[name]

    def locate(self, item: Any, name: str) -> Path:
        """Find a file that an item names; raises LinkError where it is not in the folder."""
        place = (Path(item.file.filename).parent / name).resolve()
        if not place.is_relative_to(self.folder):
            raise LinkError(f"leads to {name}, outside the folder of the file, which is not followed")
        if not place.is_file():
            raise LinkError(f"leads to {name}, which is not there")
        return place

    def check_storage(self, dataset: Any, depth: int = 0) -> None:
        """Raise LinkError where values of a dataset lie in files outside the folder, or in none."""
        properties = dataset.id.get_create_plist()
        if properties.get_layout() == h5py.h5d.CONTIGUOUS and properties.get_external_count():
            raise LinkError(f"takes its bytes from {dataset.external[0][0]}, a file of another kind, which is not read")
        if properties.get_layout() != h5py.h5d.VIRTUAL:
            return
        if depth > DEEP:
            raise LinkError("is virtual, of datasets that are virtual without end")
        for source in dataset.virtual_sources():
            if "%" in source.file_name:
                raise LinkError("is virtual, of files that are only numbered; name them one by one")
            inside = source.file_name == "."
            file = dataset.file if inside else self._open(self.locate(dataset, source.file_name))
            self.check_storage(self._walk_link(file, source.dset_name, depth), depth + 1)

    def _open(self, path: Path) -> Any:
        if path not in self.files:
            self.files[path] = self.stack.enter_context(h5py.File(path, "r"))
        return self.files[path]

    def _walk_link(self, start: Any, path: str, hops: int) -> Any:
        try:
            return self._walk(start, path, hops + 1)
        except (KeyError, AttributeError, OSError) as error:
            raise LinkError(f"is a link to {path}, which is not there") from error

    def _walk(self, item: Any, path: str, hops: int) -> Any:
        for name in path.split("/"):
            if name not in ("", "."):
                item = self.follow(item, name, hops)
        return item


@contextmanager
def opened(path: Path) -> Iterator[Shelf]:
    """Open a file, and what it links to as it is needed."""
    with ExitStack() as stack:
        yield Shelf(path, stack)


def is_direct(group: Any, name: str) -> bool:
    """Whether a name of a group is the thing itself, not a link to it."""
    found: bool = group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type == h5py.h5l.TYPE_HARD
    return found
