"""Measures of one column at a time."""

from calque.judging.columns.columns import Columns
from calque.judging.columns.distances import DISTANCES, Distance

__all__ = ["DISTANCES", "Columns", "Distance"]
