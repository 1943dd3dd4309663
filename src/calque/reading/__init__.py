"""Reading and writing events: one contract for every format."""

from calque.reading.files import find, fingerprint
from calque.reading.looking import Look, look
from calque.reading.sink import Sink, write
from calque.reading.stream import iterate, read, summarise
from calque.reading.summary import ColumnSummary, Summary

__all__ = [
    "ColumnSummary",
    "Look",
    "Sink",
    "Summary",
    "find",
    "fingerprint",
    "iterate",
    "look",
    "read",
    "summarise",
    "write",
]
