"""Judging: how far the copy is from the original, and how well that is known."""

from calque.judging.classifying.classifier import Classifier, Judgement
from calque.judging.classifying.scores import Scores
from calque.judging.columns import Columns
from calque.judging.judge import judge_tables
from calque.judging.measure import Estimate, Measure
from calque.judging.merit import Merit, figure_of_merit
from calque.judging.neighbours.copying import Copying
from calque.judging.report import Report
from calque.judging.views import DERIVED, RAW, VIEWS, View, derive, view

__all__ = [
    "DERIVED", "RAW", "VIEWS", "Classifier", "Columns", "Copying", "Estimate", "Judgement", "Measure", "Merit",
    "Report", "Scores", "View", "derive", "figure_of_merit", "judge_tables", "view",
]
