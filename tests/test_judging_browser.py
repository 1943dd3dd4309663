"""The page as people use it: in a browser, by hand and by keyboard, on a screen and on a phone; its contrast."""

from __future__ import annotations

import csv
import json
import re
import shutil
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import HOSTILE, Reader, page

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars")


class Page:
    """A page in Chromium, and what a person does with it."""

    def __init__(self, file: Path, work: Path) -> None:
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

    def open(self, width: int) -> None:
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
        self.driver.get(self.file.as_uri())
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
                content = done.read_bytes()
                done.unlink()
                return content
            time.sleep(0.1)
        raise AssertionError(f"{name} was not downloaded")

    def requests(self) -> set[str]:
        """What was asked for since the last call, the page itself included."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
                and event["params"]["documentURL"] == self.file.as_uri()]
        return {url for url in urls if not url.startswith(("data:", "blob:"))}

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    pytest.importorskip("selenium", reason="selenium is not installed")
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    work = tmp_path_factory.mktemp("browser")
    (work / "report.html").write_text(page(HOSTILE, fewer=True), encoding="utf-8")
    shown = Page(work / "report.html", work)
    yield shown
    shown.driver.quit()


@pytest.fixture(scope="module", params=[1280, 375])
def opened(request: pytest.FixtureRequest, browser: Page) -> Page:
    browser.open(request.param)
    return browser


@pytest.mark.browser
def test_it_opens_from_disk_without_error_or_request(opened: Page) -> None:
    figures = opened.run("return document.querySelectorAll('figure svg').length")
    assert figures == len(Reader(opened.file.read_text()).data)
    assert opened.run("return document.querySelectorAll('table').length") > 10
    assert opened.find("#columns svg").size["height"] > 100
    assert opened.requests() == {opened.file.as_uri()}
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
    assert opened.requests() <= {opened.file.as_uri()}
    assert opened.complaints() == []


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
