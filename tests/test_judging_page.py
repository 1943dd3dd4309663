"""The page: whole, silent towards the outside, safe with any name, and usable in a browser by hand and by keyboard."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calque.errors import FileError
from calque.judging.classifying.classifier import Judgement
from calque.judging.classifying.scores import Scores
from calque.judging.drawing.plots import draw_plots
from calque.judging.drawing.tails import share_beyond
from calque.judging.glossary import GLOSSARY
from calque.judging.measure import Estimate
from calque.judging.page import render_page, save_page
from calque.judging.page.vector import inline_svg
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
    settings = {"title": "A <b>title</b>", "provenance": PROVENANCE} | changed
    return render_page(judged, plots, real=real, fake=fake, **settings)


class Reader(HTMLParser):
    """Elements with their attributes, and the text of each script."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.text = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "script":
            self.scripts.append((self.elements[-1][1], ""))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and not self.scripts[-1][1]:
            self.scripts[-1] = (self.scripts[-1][0], data)
        else:
            self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [held for name, held in self.elements
                if name == tag and all(held.get(key.rstrip("_")) == value for key, value in wanted.items())]

    @property
    def data(self) -> list[dict[str, Any]]:
        return [json.loads(text) for held, text in self.scripts if held.get("type") == "application/json"]


@pytest.fixture(scope="module")
def hostile() -> str:
    return page(HOSTILE)


@pytest.fixture(scope="module")
def plain() -> str:
    return page()


# --- content ----------------------------------------------------------------------------------------------


def test_everything_is_on_the_page_in_order(plain: str) -> None:
    read = Reader(plain)
    assert [held["id"] for held in read.all("section")] == [
        "verdict", "measures", "corners", "columns", "tails", "pairs", "classifiers", "training", "origin"]
    assert len(read.all("figure")) == 3 + 3 + 3 + 2 + 1
    assert len(read.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    links = {held["href"] for held in read.all("a") if held["href"].startswith("#")}
    ids = [held["id"] for _, held in read.elements if "id" in held]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} <= set(ids)
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
    beside = Reader(page(("px", "py", "pz"), judgements=False, history=[]))
    assert beside.text.count("▲beyond its floor: Kolmogorov–Smirnov +9.4") == 1  # beside pz alone
    assert "none" not in read[read.index('id="measures"'):read.index('id="corners"')].lower()


def test_a_report_of_little_is_a_page() -> None:
    read = Reader(page(("only",), judgements=False, history=[], provenance=None))
    assert [held["id"] for held in read.all("section")] == [
        "verdict", "measures", "corners", "columns", "tails", "origin"]
    real = table(("only",), 1)
    bare = Report((Estimate("auc", "raw", 0.5),), {}, 0, {})
    assert "<figure" not in render_page(bare, [], real=real, fake=real)


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
    assert not read.all("b", text="title")
    for name in HOSTILE:
        assert name in read.text
    assert {data["axes"][0][0] for data in read.data} >= set(HOSTILE[1:]) | {f"{HOSTILE[0]} [GeV]"}
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
    assert page(("a",)) == page(("a",))


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


def luminance(colour: str) -> float:
    parts = [int(colour[place:place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast_is_that_of_wcag_aa(theme: int) -> None:
    style = (files("calque.judging.page") / "page.css").read_text()
    colours = {name: pair[theme] for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", style)}

    def contrast(first: str, second: str) -> float:
        low, high = sorted((luminance(colours[first]), luminance(colours[second])))
        return (high + 0.05) / (low + 0.05)

    for ink in ("ink", "soft", "accent", "alert"):
        assert min(contrast(ink, ground) for ground in ("page", "paper", "wash")) >= 4.5, ink
    for ink in ("fake", "quiet", *(f"line-{number}" for number in range(1, 7))):
        assert contrast(ink, "paper") >= 3, ink


def test_shares_beyond_a_place_are_binomial() -> None:
    rng = np.random.default_rng(0)
    places = np.array([0.5, 1.5])
    shares = np.array([share_beyond(rng.normal(size=500), np.ones(500), places, 1)[0] for _ in range(400)])
    mean, error = share_beyond(rng.normal(size=500), np.ones(500), places, 1)
    assert np.allclose(shares.std(axis=0), error, rtol=0.2)
    low, _ = share_beyond(np.array([1.0, 2.0, 2.0, 5.0]), np.array([1.0, 1.0, 1.0, 5.0]), np.array([2.0]), -1)
    assert low.tolist() == [3 / 8]
    assert mean[0] > mean[1]


# --- in a browser -----------------------------------------------------------------------------------------

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars")


class Page:
    """A page in Chromium, and what a person does with it."""

    def __init__(self, file: Path, width: int, work: Path) -> None:
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for flag in (*FLAGS, f"--user-data-dir={work / 'profile'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.downloads, self.file = work / "downloads", file
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(str(shutil.which("chromedriver"))))
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior",
                                    {"behavior": "allow", "downloadPath": str(self.downloads)})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
        self.driver.get(file.as_uri())
        self.run("document.documentElement.style.scrollBehavior = 'auto'")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        from selenium.webdriver.common.by import By

        found = self.driver.find_element(By.CSS_SELECTOR, selector)
        self.run("arguments[0].scrollIntoView({block: 'center'})", found)
        return found

    def press(self, *keys: str) -> None:
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def download(self, selector: str, name: str) -> bytes:
        self.run("arguments[0].click()", self.find(selector))
        for _ in range(100):
            done = self.downloads / name
            if done.is_file() and done.stat().st_size and not list(self.downloads.glob("*.crdownload")):
                return done.read_bytes()
            time.sleep(0.1)
        raise AssertionError(f"{name} was not downloaded")

    def requests(self) -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
                and event["params"]["documentURL"] == self.file.as_uri()]
        return [url for url in urls if not url.startswith(("data:", "blob:")) and url != self.file.as_uri()]

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module", params=[1280, 375])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, hostile: str) -> Iterator[Page]:
    pytest.importorskip("selenium", reason="selenium is not installed")
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    work = tmp_path_factory.mktemp("browser")
    (work / "report.html").write_text(hostile, encoding="utf-8")
    shown = Page(work / "report.html", request.param, work)
    yield shown
    shown.driver.quit()


@pytest.mark.browser
def test_it_opens_from_disk_without_error_or_request(opened: Page) -> None:
    figures = opened.run("return document.querySelectorAll('figure svg').length")
    assert figures == len(Reader(opened.file.read_text()).data)
    assert opened.run("return document.querySelectorAll('table').length") > 10
    assert opened.find("#columns svg").size["height"] > 100
    assert opened.requests() == []
    assert opened.complaints() == []


@pytest.mark.browser
def test_it_never_scrolls_sideways(opened: Page) -> None:
    opened.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert opened.run("return document.documentElement.scrollWidth <= innerWidth")
    opened.run("document.querySelectorAll('.numbers').forEach((one) => { one.open = false; })")


@pytest.mark.browser
def test_colours_change(opened: Page) -> None:
    def colours() -> tuple[str, str]:
        fill = "return getComputedStyle(document.querySelector('#columns svg')).fill"
        return opened.run("return getComputedStyle(document.documentElement).backgroundColor"), opened.run(fill)

    before = colours()
    opened.find("#theme").click()
    after = colours()
    assert before[0] != after[0]
    assert before[1] != after[1]
    assert opened.find("#theme").get_attribute("aria-pressed") == "true"
    opened.find("#theme").click()
    assert colours() == before


@pytest.mark.browser
def test_a_plot_is_enlarged_zoomed_and_closed_by_keyboard(opened: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    plot = opened.find("#columns .plot")
    opened.run("arguments[0].focus()", plot)
    opened.press(Keys.ENTER)
    assert opened.run("return document.getElementById('enlarged').open")
    width = "return document.querySelector('.stage svg').getBoundingClientRect().width"
    place = "return document.querySelector('.stage svg').getBoundingClientRect().x"
    first = opened.run(width)
    opened.press("+", "+")
    assert opened.run(width) == pytest.approx(1.69 * first, rel=0.01)
    before = opened.run(place)
    opened.press(Keys.ARROW_RIGHT)
    assert opened.run(place) == pytest.approx(before - 60, abs=1)
    opened.press("0")
    assert opened.run(width) == pytest.approx(first, rel=0.01)
    opened.press(Keys.ESCAPE)
    assert not opened.run("return document.getElementById('enlarged').open")
    assert opened.run("return document.activeElement.querySelector('svg') !== null")
    assert opened.run("return document.activeElement === arguments[0]", plot)


@pytest.mark.browser
def test_numbers_are_read_by_pointer_and_by_keyboard(opened: Page) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    for section in ("columns", "tails", "classifiers", "training", "pairs"):
        plot = opened.find(f"#{section} .plot")
        readout = opened.find(f"#{section} .readout")
        whole = readout.text
        opened.run("arguments[0].focus({preventScroll: true})", plot)
        opened.press(Keys.HOME, Keys.ARROW_RIGHT)
        by_key = readout.text
        assert by_key != whole
        opened.run("arguments[0].scrollIntoView({block: 'center'})", plot)
        ActionChains(opened.driver).move_to_element(plot).move_by_offset(60, -30).perform()
        assert readout.text not in (whole, by_key)
    data = {one["name"]: one for one in Reader(opened.file.read_text()).data}
    name, first = next((name, one) for name, one in data.items() if name.startswith("column"))
    readout = opened.find("#columns .readout")
    opened.run("arguments[0].focus({preventScroll: true})", opened.find("#columns .plot"))
    opened.press(Keys.END)
    assert f"real {first['columns'][0][1][-1]:.3f}"[:10] in readout.text, name


@pytest.mark.browser
def test_downloads_are_what_they_say(opened: Page) -> None:
    data = next(one for one in Reader(opened.file.read_text()).data if one["name"].startswith("pair"))
    for action, head in (("png", b"\x89PNG"), ("csv", b""), ("pdf", b"%PDF")):
        link = f"#pairs .exhibit [data-do={action}]" if action != "pdf" else "#pairs .exhibit a[download]"
        content = opened.download(link, f"{data['name']}.{action}")
        assert content.startswith(head)
        assert len(content) > 3000
        if action == "csv":
            rows = list(csv.DictReader(content.decode().splitlines()))
            assert len(rows) == len(data["columns"][0][1])
            assert [float(row["real"]) for row in rows] == pytest.approx(data["columns"][0][1])
    assert opened.requests() == []
    assert opened.complaints() == []
