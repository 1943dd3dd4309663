"""Reports and pages for tests, and what reads them."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np

from calque.judging.classifying.classifier import Judgement
from calque.judging.classifying.scores import Scores
from calque.judging.drawing.plot import Plot
from calque.judging.drawing.plots import draw_plots
from calque.judging.measure import Estimate
from calque.judging.page import render_page
from calque.judging.report import Report
from calque.table import Table

HOSTILE = ("</script><script>alert(1)</script><img src=x onerror=alert(1)>",
           "x" * 300 + "\"'& id=\"p\" url(#q) 1.23456", "=長い\u2028$\\frac{1}{2}$")
HISTORY = [{"step": step, "auc": 0.5 + 1 / (step + 2), "chi2": 100 / (step + 1), "critic": 0.7} for step in range(5)]
PROVENANCE = {"versions": {"calque": "1.0", "<b>": "</script>"}, "seed": 3, "device": None,
              "inputs": [{"name": "muons.root", "size": 6_000_000, "sha256": "ab" * 32}, {"name": "b.root"}]}


def table(names: tuple[str, ...], seed: int, shift: float = 0.0, rows: int = 400) -> Table:
    rng = np.random.default_rng(seed)
    columns = {name: rng.normal(shift, 1 + place, rows) for place, name in enumerate(names)}
    return Table.of(columns, {names[0]: "GeV"}, source="<i>a.root</i>")


def judgement(view: str) -> Judgement:
    rng = np.random.default_rng(0)
    one, two = (Scores(rng.beta(a, 2, 300), rng.beta(2, a, 300), np.ones(300), np.ones(300)) for a in (2.4, 2.0))
    return Judgement((Estimate("auc", view, one.auc(), 0.02, 0.5, 0.02),), (one,), (two,))


def report(names: tuple[str, ...], judgements: bool = True) -> Report:
    held = {f"trees_{view}": judgement(view) for view in (names[0],)} if judgements else {}
    estimates = [estimate for one in held.values() for estimate in one.estimates]
    for place, name in enumerate(names):
        estimates += [Estimate("ks", name, 0.01 + 0.01 * place, 0.002, 0.009, 0.001, how="null <b>"),
                      Estimate("wasserstein", name, 0.5, details={"unit": "<u>"})]
    estimates += [
        Estimate("copying", "raw", 0.51, 0.01, 0.5, 0.01), Estimate("my_<measure>", "raw", math.nan),
        Estimate("coverage", "raw", 0.5, 0.01, 0.97, 0.01, worse="lower"),
        Estimate("region", "raw", 4.0, 0.5, 1.0, 0.1,
                 details={"where": f"{names[0]} > 2", "share_real": 0.01, "n": None}),
    ]
    sizes = {"real": {"rows": 400.0, "effective": 300.4}, "fake": {"rows": 400.0, "effective": 400.0}}
    return Report(tuple(estimates), sizes, 0, held, ("a note with <b>",))


def page(names: tuple[str, ...] = ("px", "py", "pz"), **changed: Any) -> str:
    real, fake = table(names, 1), table(names, 2, 0.3)
    judged = report(names, changed.pop("judgements", True))
    plots = draw_plots(judged, real, fake, changed.pop("history", HISTORY)) if changed.pop("drawn", True) else ()
    plots = few(plots) if changed.pop("fewer", False) else plots
    settings = {"title": "A <b>title</b>", "provenance": PROVENANCE} | changed
    return render_page(judged, plots, real=real, fake=fake, **settings)


def few(plots: Sequence[Plot]) -> list[Plot]:
    """The first plot of each section, and all pairs."""
    first = {plot.section: plot.name for plot in reversed(plots)}
    return [plot for plot in plots if plot.section == "pairs" or plot.name == first[plot.section]]


def bare(*estimates: Estimate, notes: tuple[str, ...] = (), **settings: Any) -> str:
    """Page of some estimates."""
    real, plots = table(("px",), 1), settings.pop("plots", ())
    sizes = {name: {"rows": 400.0, "effective": 400.0} for name in ("real", "fake")}
    return render_page(Report(estimates, sizes, 0, {}, notes), plots, **{"real": real, "fake": real} | settings)


class Reader(HTMLParser):
    """Elements with their attributes, the text, that of each script, and that of each kind of element."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.text, self.within = "", defaultdict[str, list[str]](list)
        self.open: list[str] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "link", "col"):
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((self.elements[-1][1], ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        within = self.open[-1] if self.open else ""
        self.within[within].append(data)
        if within == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif within != "style":
            self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [held for name, held in self.elements
                if name == tag and all(held.get(key.rstrip("_")) == value for key, value in wanted.items())]

    @property
    def data(self) -> list[dict[str, Any]]:
        return [json.loads(text) for held, text in self.scripts if held.get("type") == "application/json"]
