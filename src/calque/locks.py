"""One writer at a time: an exclusive lock on a file, which ends with its process."""

from __future__ import annotations

import errno
import os
import socket
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from calque.atomic import guarded, make_folder
from calque.errors import FileError

UNABLE = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass
class _Held:
    """A lock of this process: its open file, the thread that owns it, and how often it was taken."""

    descriptor: int
    thread: int
    count: int = 1


_HELD: dict[str, _Held] = {}
_GUARD = threading.Lock()


class Lock:
    """An exclusive lock: a file at `path` that one process holds, and one thread of it, as often as it wants.

    The operating system frees it when the process ends, by a kill too. Folders made for it are removed with it if
    nothing else was put there.

    Parameters
    ----------
    path
        The lock's own file. It is removed at the release; a killed process leaves it behind, without effect.
    subject
        What is written under this lock, for the message.
    remedy
        What the other process's user can do instead.

    Raises
    ------
    FileError
        By `acquire`, where another process or thread holds the lock: it names the process.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> with Lock(place / "a.csv.lock", "a.csv", "choose another name"):
    ...     (place / "a.csv.lock").exists()
    True
    >>> (place / "a.csv.lock").exists()
    False
    """

    def __init__(self, path: Path, subject: Path | str, remedy: str) -> None:
        self.path, self.subject, self.remedy = path, subject, remedy
        self._key = os.path.realpath(path)
        self._made: list[Path] = []
        self._is_taken = False

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock, or raise FileError that names its holder."""
        with _GUARD:
            held = _HELD.get(self._key)
            if held is None:
                self._take()
            elif held.thread == threading.get_ident():
                held.count += 1
                self._is_taken = True
            else:
                raise FileError(self._refusal(f"process {os.getpid()} (another thread)"))

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held."""
        with _GUARD:
            held = _HELD.get(self._key)
            if not self._is_taken or held is None:
                return
            self._is_taken = False
            held.count -= 1
            if held.count:
                return
            del _HELD[self._key]
            self.path.unlink(missing_ok=True)  # while it is held: nobody else can have it
            os.close(held.descriptor)
        self._remove_empty()

    def _take(self) -> None:
        with guarded(self.path):
            parents = (self.path.parent, *self.path.absolute().parent.parents)
            self._made = [folder for folder in parents if not folder.exists()]
            make_folder(self.path.parent)
            descriptor = self._lock()
            if descriptor is None:
                return
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
        _HELD[self._key] = _Held(descriptor, threading.get_ident())
        self._is_taken = True

    def _lock(self) -> int | None:
        """The locked file, or None where the file system has no locks."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _lock_descriptor(descriptor)
            except BlockingIOError:
                holder = _name_holder(descriptor)
                os.close(descriptor)
                raise FileError(self._refusal(holder)) from None
            except OSError as error:
                os.close(descriptor)
                self.path.unlink(missing_ok=True)
                if error.errno not in UNABLE:
                    raise
                warnings.warn(f"{self.path.parent} is on a file system without locks: nothing keeps two processes "
                              f"from writing {self.subject} at once", stacklevel=5)
                return None
            if _is_same_file(descriptor, self.path):
                return descriptor
            os.close(descriptor)  # its last holder removed it in the meantime

    def _refusal(self, holder: str) -> str:
        return f"{self.subject} is being written by {holder}; {self.remedy}"

    def _remove_empty(self) -> None:
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:  # it is not empty: something came of the work
                return


def lock_output(path: Path) -> Lock:
    """The lock of a file that is written."""
    return Lock(path.with_name(f".{path.name}.lock"), path, "wait for it, or choose another name")


def _lock_descriptor(descriptor: int) -> None:
    """Lock an open file, or raise BlockingIOError where another holds it."""
    try:
        import fcntl
    except ImportError:  # a system without such locks
        raise OSError(errno.ENOSYS, "no locks") from None
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _name_holder(descriptor: int) -> str:
    """The process that wrote itself into a lock file, and its machine where that is another."""
    pid, _, host = os.pread(descriptor, 300, 0).decode(errors="replace").strip().partition(" ")
    if not pid.isdigit():
        return "another process"
    return f"process {pid}" if host == socket.gethostname() else f"process {pid} on {host}"


def _is_same_file(descriptor: int, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _close_in_child() -> None:
    """A forked process does not hold its parent's locks: they end with the parent."""
    global _GUARD
    _GUARD = threading.Lock()
    for held in _HELD.values():
        os.close(held.descriptor)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
