"""What each measure is called and says, in one line: one literal table."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """Title of a measure, and what it says."""

    title: str
    line: str


GLOSSARY: dict[str, Entry] = {
    "auc": Entry(
        "AUC, boosted trees",
        "How often boosted trees score a real event above a generated one: 0.5 cannot tell, 1 always can.",
    ),
    "auc_network": Entry(
        "AUC, network",
        "The same for a neural network, which sees smooth differences that trees miss.",
    ),
    "chi2_output": Entry(
        "χ²/ndf of the trees' output",
        "Distance of the histograms of the trees' output in units of their errors: 1 is the same.",
    ),
    "overlap_output": Entry(
        "Overlap of the trees' output",
        "Shared area of the histograms of the trees' output: 1 is the same, 0 is disjoint.",
    ),
    "js_network": Entry(
        "Jensen–Shannon, network",
        "Divergence in nats that the calibrated network finds: 0 is the same, log 2 is disjoint.",
    ),
    "region": Entry("Corners", "Generated over real events where the trees are most certain: 1 is the same."),
    "auc_in_bins": Entry("AUC in bins of the context", "AUC of the events in a bin of the context: 0.5 cannot tell."),
    "local": Entry(
        "Local classifier test",
        "How far a classifier's output at given contexts departs from one half: 0 is the same.",
    ),
    "response": Entry("Response", "Difference of images of equal parameters over the pixels' spread: 0 is the same."),
    "response_in_bins": Entry("Response in bins of the context", "The same in the worst bin of each parameter."),
    "energy_response": Entry(
        "Energy response",
        "Mean of total over incident energy, off the real one in the worst bin of energy: 0 is the same.",
    ),
    "energy_resolution": Entry(
        "Energy resolution",
        "The same of the spread of the response over its mean: 0 is the same, 0.1 is ten per cent.",
    ),
    "sparsity": Entry("Sparsity", "Mean share of a layer's cells with energy, generated over real: 1 is the same."),
    "cell_spectrum": Entry(
        "Spectrum of cells",
        "Separation power of the energies above zero of a layer's cells: 0 is the same, 1 is disjoint.",
    ),
    "ranks": Entry("Ranks", "Distance of the ranks of real among generated values from uniform ones: 0 is calibrated."),
    "ks": Entry(
        "Kolmogorov–Smirnov",
        "Largest difference of the cumulative distributions: 0 is the same, 1 is disjoint.",
    ),
    "wasserstein": Entry(
        "Wasserstein-1",
        "How far the events have to be moved on average, in the column's unit: 0 is the same.",
    ),
    "chi2": Entry("χ²/ndf", "Squared difference of the histograms in units of their errors: 1 is the same."),
    "granularity": Entry(
        "Granularity",
        "Share of rows with repeated values, or on the real lattice, generated less real: 0 is the same.",
    ),
    "kl": Entry("Kullback–Leibler", "Nats lost where the generated histogram stands for the real one: 0 is the same."),
    "js": Entry(
        "Jensen–Shannon",
        "Divergence in nats of both histograms from their mean: 0 is the same, log 2 is disjoint.",
    ),
    "separation": Entry(
        "Separation power",
        "½ Σ (p − q)²/(p + q) over the bins, as in CaloChallenge: 0 is the same, 1 is disjoint.",
    ),
    "tail_low": Entry(
        "Lower tail",
        "Mean distance of the lowest events from the median, generated over real: 1 is the same.",
    ),
    "tail_high": Entry(
        "Upper tail",
        "Mean distance of the highest events from the median, generated over real: 1 is the same.",
    ),
    "beyond_low": Entry(
        "Below low quantiles",
        "Generated over real events below the real 1 % or 0.1 % quantile, or the minimum: 1 is the same.",
    ),
    "beyond_high": Entry(
        "Above high quantiles",
        "Generated over real events above the real 99 % or 99.9 % quantile, or the maximum: 1 is the same.",
    ),
    "support": Entry(
        "Outside the support",
        "Share of generated values where no real event is: negative, not whole, beyond the extremes.",
    ),
    "sliced_wasserstein": Entry(
        "Sliced Wasserstein",
        "Wasserstein-1 averaged over directions in all scaled columns: 0 is the same.",
    ),
    "fpd": Entry(
        "Fréchet physics distance",
        "Distance of means and covariances, extrapolated to infinite samples: 0 is the same.",
    ),
    "kpd": Entry(
        "Kernel physics distance",
        "Squared difference of moments up to the fourth, by a polynomial kernel: 0 is the same.",
    ),
    "energy": Entry(
        "Energy distance",
        "Mean distance between the samples beyond that within each: 0 only if all agrees.",
    ),
    "correlation": Entry(
        "Correlation",
        "Largest difference of the rank correlations of any two columns: 0 is the same.",
    ),
    "precision": Entry(
        "Precision",
        "Share of generated events that lie where real ones do: low for impossible events.",
    ),
    "recall": Entry("Recall", "Share of real events that lie where generated ones do: low for forgotten events."),
    "density": Entry("Density", "Real neighbourhoods around a generated event, over those expected: 1 is the same."),
    "coverage": Entry(
        "Coverage",
        "Share of real neighbourhoods that hold a generated event: low where a mode was dropped.",
    ),
    "copying": Entry(
        "Copying",
        "Share of generated events nearest to a training, not a held-out event: 0.5 is honest, 1 copies.",
    ),
    "worth": Entry("Worth", "How many independent real events the generated ones are worth."),
    "spread": Entry("Spread", "Relative difference between trainings per bin, beyond counting: 0 is the same."),
    "deviation": Entry("Deviation", "Relative distance of the trainings' mean from the real events per bin."),
}


def explained(measure: str) -> Entry:
    """Look a measure up; one that is not in the table is called by its name.

    >>> explained("ks").title, explained("my_measure").title
    ('Kolmogorov–Smirnov', 'My measure')
    """
    return GLOSSARY.get(measure, Entry(measure.replace("_", " ").capitalize() or "(no name)", ""))
