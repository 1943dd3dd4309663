"""What a classifier says: its output for both samples, and its ROC curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calque.judging.classifying.classifier import Judgement
from calque.judging.classifying.scores import Scores
from calque.judging.drawing.binning import Binning
from calque.judging.drawing.overlays import in_numbers, in_words, overlay
from calque.judging.drawing.paper import LINES, QUIET, entitle, figure, label_numbers, safe_label
from calque.judging.drawing.plot import Data, Numbers, Plot, number
from calque.judging.drawing.tails import share_beyond
from calque.judging.measure import plus_minus

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS = 200
WORDS = {"auc": "AUC", "chi2_output": "χ²/ndf", "overlap_output": "overlap", "auc_network": "AUC",
         "js_network": "JS"}


def output(judgement: Judgement, name: str, file: str) -> Plot:
    """Draw the output of the first training for both samples, with what all trainings say."""
    scores, label = judgement.scores[0], f"output of {name}"
    binning = Binning(score_edges(np.concatenate([scores.real, scores.fake])))
    shares = (binning.fill(scores.real, scores.real_weights), binning.fill(scores.fake, scores.fake_weights))
    made = overlay(*shares, f"{safe_label(label)} (1: real)", binning)
    lines = said(judgement)
    made.axes[0].text(0.03, 0.955, "\n".join(lines), transform=made.axes[0].transAxes, va="top", fontsize=11,
                      linespacing=1.4)
    alt = "; ".join([f"Classifier {in_words(*shares, label)}", *lines])
    return Plot(f"classifier_{file}", name, "classifiers", made, alt, in_numbers(*shares, "output"))


def said(judgement: Judgement) -> list[str]:
    """Word the numbers of a judgement."""
    return [f"{WORDS[estimate.measure]} {plus_minus(estimate.value, estimate.error)}"
            for estimate in judgement.estimates if estimate.measure in WORDS]


def score_edges(scores: Numbers, bins: int = 50) -> Numbers:
    """Equal bins over the range of the output, rounded outwards to hundredths."""
    return np.linspace(np.floor(100 * scores.min()) / 100, np.ceil(100 * scores.max() + 1e-9) / 100, bins + 1)


def roc(judgement: Judgement, name: str, file: str) -> Plot:
    """Draw the ROC curve of the first training, and below what it has beyond the diagonal, with its error."""
    curve, floor = follow(judgement.scores[0]), [follow(scores) for scores in judgement.floor_scores[:1]]
    made = draw(curve, floor, next((line for line in said(judgement) if line.startswith("AUC")), ""))
    gain = curve["gain"]
    at = int(np.argmax(np.abs(gain)))
    alt = (f"ROC curve of {name}: AUC of this training {number(judgement.scores[0].auc())}; where "
           f"{100 * curve['generated'][at]:.0f} % of the generated events pass for real, "
           f"{100 * curve['real'][at]:.0f} % of the real ones do, the largest difference")
    data = Data("points", {"generated that pass": curve["generated"]},
                {"real that pass": curve["real"], "difference": gain, "difference_error": curve["error"]})
    return Plot(f"roc_{file}", f"{name}, ROC", "classifiers", made, alt, data)


def follow(scores: Scores) -> dict[str, Numbers]:
    """Shares of both samples that score at or above thresholds, from none to all."""
    pooled = np.concatenate([scores.real, scores.fake])
    places = np.unique(np.quantile(pooled, np.linspace(0, 1, STEPS)))[::-1]
    places = np.concatenate([[np.inf], places])
    real, real_error = share_beyond(scores.real, scores.real_weights, places, 1)
    fake, fake_error = share_beyond(scores.fake, scores.fake_weights, places, 1)
    return {"generated": fake, "real": real, "gain": real - fake, "error": np.hypot(real_error, fake_error)}


def draw(curve: dict[str, Numbers], floors: list[dict[str, Numbers]], note: str) -> Figure:
    """Draw the curve above and its gain over the diagonal below; the floor in grey."""
    made = figure(6.4, 5.6)
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=(3, 1.5))
    made.subplots_adjust(left=0.145, right=0.965, top=0.965, bottom=0.125, hspace=0.06)
    upper.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=":")
    lower.axhline(0, color=QUIET, linewidth=1, linestyle=":")
    for floor in floors:
        line(upper, lower, floor, QUIET, "floor: real against real")
    line(upper, lower, curve, LINES[0], "generated against real")
    upper.set(ylim=(0, 1.02), ylabel="share of real that pass")
    upper.legend(loc="lower right", title=note or None)
    lower.set(xlim=(0, 1), xlabel="share of generated that pass")
    lower.set_ylabel("difference", loc="center")
    for axes in (upper, lower):
        entitle(axes)
        label_numbers(axes.yaxis)
    label_numbers(lower.xaxis)
    made.align_ylabels()
    return made


def line(upper: Axes, lower: Axes, curve: dict[str, Numbers], colour: str, label: str) -> None:
    """Draw one curve in both panels."""
    upper.plot(curve["generated"], curve["real"], color=colour, linewidth=1.6, label=label)
    low, high = curve["gain"] - curve["error"], curve["gain"] + curve["error"]
    lower.fill_between(curve["generated"], low, high, color=colour, alpha=0.25, linewidth=0)
    lower.plot(curve["generated"], curve["gain"], color=colour, linewidth=1.6)
