"""Streams of events to disk, on any number of workers."""

from calque.producing.produce import Production, produce

__all__ = ["Production", "produce"]
