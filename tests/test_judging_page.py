"""The page: whole, silent towards the outside, safe with any name."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from pages import HOSTILE, Reader, bare, page, report, table

from calque.errors import FileError
from calque.judging.drawing.plots import draw_plots
from calque.judging.glossary import GLOSSARY
from calque.judging.measure import Estimate
from calque.judging.page import save_page
from calque.judging.page.vector import inline_svg


@pytest.fixture(scope="module")
def hostile() -> str:
    return page(HOSTILE, fewer=True)


@pytest.fixture(scope="module")
def plain() -> str:
    return page(fewer=True)


# --- content ----------------------------------------------------------------------------------------------


def test_everything_is_on_the_page_in_order(plain: str) -> None:
    read = Reader(plain)
    assert [held["id"] for held in read.all("section")] == [
        "verdict", "measures", "corners", "columns", "tails", "pairs", "classifiers", "training", "origin"]
    assert len(read.all("figure")) == 4 + 3  # one of each section, all pairs
    assert len(read.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    links = {held["href"] for held in read.all("a") if held["href"].startswith("#")}
    ids = [held["id"] for _, held in read.elements if "id" in held]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} <= set(ids)
    assert report(("px", "py", "pz")).verdict() in " ".join(read.text.split())
    for text in ("px > 2", "4.00 ± 0.50", "1.0000 %", "6 000 000", "ab" * 32, "a note with <b>"):
        assert text in read.text


def test_every_figure_has_words_numbers_and_downloads(plain: str) -> None:
    read = Reader(plain)
    figures, words = read.all("figure"), read.all("div", role="img")
    assert len(figures) == len(words) == len(read.data)
    assert all(len(held["aria-label"]) > 30 for held in words)
    says = r"Column px \[GeV\]: \d+ bins from .* to .*; generated over real between .* KS 0.01 \(floor 0.009\)"
    assert any(re.search(says, held["aria-label"]) for held in words)
    pdfs = [held["href"] for held in read.all("a") if held.get("download", "").endswith(".pdf")]
    assert len(pdfs) == len(figures)
    for link in pdfs:
        assert base64.b64decode(link.removeprefix("data:application/pdf;base64,")).startswith(b"%PDF")
    for action in ("png", "csv", "enlarge"):
        assert len([held for held in read.all("button") if held.get("data-do") == action]) == len(figures)


def test_the_numbers_of_a_plot_are_those_of_its_figure(plain: str) -> None:
    held = {data["name"]: data for data in Reader(plain).data}
    column, pair = held["column_px"], held["pair_px_py"]
    (_, edges), shares = column["axes"][0], dict(column["columns"])
    assert len(edges) == len(shares["real"]) + 1
    assert sum(shares["real"]) == pytest.approx(1, abs=0.02)
    assert len(pair["columns"][0][1]) == math.prod(len(edges) - 1 for _, edges in pair["axes"])
    upper, lower = column["frames"]
    assert upper["x"] == lower["x"] == pytest.approx([edges[0], edges[-1]])
    left, top, right, bottom = upper["box"]
    assert 0 < left < right < 72 * 6.4
    assert 0 < top < bottom < lower["box"][1]


def test_what_stands_out_comes_first_and_is_marked_by_more_than_colour() -> None:
    read = page(("px", "py", "pz", "e", "x", "y"), drawn=False)
    assert read.index("<h3>Coverage</h3>") < read.index("<h3>Kolmogorov–Smirnov</h3>") < read.index("<h3>Copying</h3>")
    group = read[read.index("<h3>Kolmogorov–Smirnov</h3>"):read.index("<h3>Copying</h3>")]
    assert group.index(">y</span>") < group.index(">x</span>") < group.index(">py</span>")
    assert group.count("beyond its floor") >= 5
    plots = draw_plots(None, table(("px", "pz"), 1), table(("px", "pz"), 2))
    beside = Reader(bare(Estimate("ks", "pz", 0.03, 0.002, 0.009, 0.001), Estimate("ks", "px", 0.009, 0.002, 0.009),
                         plots=[plot for plot in plots if plot.section in ("columns", "tails")]))
    assert beside.text.count("▲beyond its floor: Kolmogorov–Smirnov +9.4") == 1  # beside the column pz alone
    assert "none" not in read[read.index('id="measures"'):read.index('id="corners"')].lower()


def corner(view: str, value: float = 5.0, where: str = "px > 2 GeV") -> Estimate:
    details = {"where": where, "view": view, "share_real": 0.01, "share_fake": 0.05}
    return Estimate("region", view, value, 0.5, 1.0, 0.0, worse="away", details=details, null_error=0.1)


def test_a_corner_beyond_its_floor_counts_and_stands_out() -> None:
    read = Reader(bare(corner("raw"), Estimate("ks", "px", 0.010, 0.002, 0.009, 0.001)))
    assert "1 of 2" in read.within["p"]
    assert "Worst corner" in read.text
    assert "+40.0" in read.text
    assert len(read.all("li", class_="corner beyond")) == 1
    assert "open" in read.all("details", class_="group beyond")[0]
    assert read.all("section", id="verdict")[0]["class"] == "beyond"
    silent = Reader(bare(corner("raw", 1.1), Estimate("ks", "px", 0.010, 0.002, 0.009, 0.001)))
    assert "0 of 2" in silent.within["p"]
    assert "Worst corner" not in silent.text
    assert not silent.all("li", class_="corner beyond")
    assert silent.all("section", id="verdict")[0]["class"] == "within"


def test_a_corner_of_two_views_is_shown_once() -> None:
    read = Reader(bare(corner("raw"), corner("derived"), corner("mine", 3.0, "pz ≤ 1")))
    assert [held["class"] for held in read.all("li") if "corner" in held.get("class", "")] == ["corner beyond"] * 2
    assert "2 of 2" in read.within["p"]
    assert [text for text in read.within["dd"] if text in ("raw, derived", "mine")] == ["raw, derived", "mine"]
    assert "px > 2 GeV (raw, derived)" in read.text


def test_values_are_written_as_estimates_write_them() -> None:
    limit = Estimate("worth", "raw", 4.2e-6, 5.7e-7, details={"lower_limit": True, "cells": 3})
    unknown = Estimate("ks", "px", math.nan, null_error=math.nan)
    text = Reader(bare(limit, unknown, Estimate("js", "px", 0.03, 0.01, 0.02, 0.01, null_error=math.nan))).text
    assert "≥ (4.20 ± 0.57) × 10⁻⁶" in text
    assert "0.030 ± 0.010" in text
    assert re.search(r"\bnan\b", text, re.IGNORECASE) is None


def test_files_are_named_without_their_folders() -> None:
    real, fake = "/data/run 7/muons.root", "/tmp/copies/fake.root and 2 more"
    content = bare(Estimate("ks", "px", 0.5), notes=(f"left out: 3 rows of {real} are /not/ good",),
                   real=replace(table(("px",), 1), source=real), fake=replace(table(("px",), 2), source=fake),
                   title=f"{fake} against {real}", provenance={"folder": "/runs/muons-flow", "ratio": "a / b"})
    read = Reader(content)
    assert read.within["h1"] == ["fake.root and 2 more against muons.root"]
    assert "left out: 3 rows of muons.root are /not/ good" in read.text
    assert [held["title"] for held in read.all("td") if "title" in held] == [real, fake, "/runs/muons-flow"]
    assert {"muons.root", "fake.root and 2 more", "muons-flow"} <= set(read.within["td"])
    assert "a / b" in read.within["td"]
    for folder in ("/data", "/tmp", "/runs"):
        assert folder not in read.text
    assert Reader(bare(title="/runs/muons-flow")).within["h1"] == ["muons-flow"]


def test_pairs_that_were_left_out_are_said() -> None:
    two, many = table(("a", "b"), 1), table(tuple("abcdefghijkl"), 1)
    plots = [plot for plot in draw_plots(None, two, two) if plot.section == "pairs"]
    assert "Of 66 pairs the 45 that differ most are drawn." in bare(plots=plots, real=many, fake=many)
    assert "are drawn." not in bare(plots=plots, real=two, fake=two)


def test_a_report_of_little_is_a_page() -> None:
    read = Reader(page(("only",), judgements=False, history=[], provenance=None))
    assert [held["id"] for held in read.all("section")] == [
        "verdict", "measures", "corners", "columns", "tails", "origin"]
    assert "<figure" not in bare(Estimate("auc", "raw", 0.5))


def test_every_measure_of_the_glossary_is_explained_in_a_line() -> None:
    assert all(title and line.endswith(".") and len(line) < 110 for title, line in GLOSSARY.values())


# --- safety -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "hostile"])
def test_nothing_is_asked_of_any_other_place(kind: str, request: pytest.FixtureRequest) -> None:
    content = request.getfixturevalue(kind)
    for _, held in Reader(content).elements:
        for name, value in held.items():
            if name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
                assert value.startswith(("#", "data:")), (name, value[:80])
            assert not name.startswith("on")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', content)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1]
    style = re.search(r"<style>(.*?)</style>", content, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_only_the_script_of_the_page_may_run(hostile: str) -> None:
    read = Reader(hostile)
    running = [text for held, text in read.scripts if held.get("type") != "application/json"]
    assert running == [(files("calque.judging.page") / "page.js").read_text()]
    digest = base64.b64encode(hashlib.sha256(running[0].encode()).digest()).decode()
    assert f"sha256-{digest}" in read.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]


def test_hostile_names_are_text(hostile: str) -> None:
    read = Reader(hostile)
    assert not read.all("img")
    assert read.within["h1"] == ["A <b>title</b>"]
    assert set(read.within["b"]) == {"▲"}  # the page's own
    for name in HOSTILE:
        assert name in read.text
    assert {name for data in read.data for name, _ in data["axes"]} >= set(HOSTILE[1:]) | {f"{HOSTILE[0]} [GeV]"}
    assert len(read.data) == len(read.all("figure"))
    assert "<b>title" not in hostile
    assert "<i>a.root" not in hostile


def test_labels_are_kept_as_they_are() -> None:
    label = 'a id="p" style="fill: #000000" url(#q) 1.23456'
    svg = f'<svg viewBox="0 0 1 1"><g id="x"><text style="fill: #000000" x="1.23456">{label}</text></g></svg>'.encode()
    small = inline_svg(svg, "g0")
    assert f">{label}</text>" in small
    assert 'x="1.23"' in small
    assert 'id="x"' not in small
    assert "var(--ink,#000000)" in small


def test_equal_input_gives_equal_bytes() -> None:
    assert page(("a",), judgements=False, history=[]) == page(("a",), judgements=False, history=[])


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    real = table(("a", "b"), 1)
    judged, plots = report(("a", "b"), judgements=False), draw_plots(None, real, real)[:1]
    path = save_page(tmp_path / "new" / "report.html", judged, plots, real=real, fake=real)
    before = path.read_bytes()
    assert before.endswith(b"</html>")
    with pytest.raises(KeyError):
        save_page(path, judged, [replace(plots[0], section="nowhere")], real=real, fake=real)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot write"):
        save_page(tmp_path / "file" / "report.html", judged, plots, real=real, fake=real)
