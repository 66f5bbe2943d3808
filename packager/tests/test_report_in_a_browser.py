"""The report as people meet it: in Chromium, on a large screen, a phone and paper."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from packager import report
from packager.tests import browser

pytestmark = [pytest.mark.build, pytest.mark.tool("chromium", "chromedriver")]

SAMPLE = Path(__file__).parent / "data" / "report.json"
SECTIONS = ["changed", "cost", "bytes", "lint", "packages", "again"]


@pytest.fixture(scope="module")
def chrome(tool: Callable[[str], Path]) -> Iterator[Chrome]:
    with browser.browser(tool) as driver:
        yield driver


@pytest.fixture
def show(chrome: Chrome, tmp_path: Path) -> Callable[..., Chrome]:
    def shown(content: Any = None) -> Chrome:
        browser.resize(chrome, 1200, 900)
        browser.prefer(chrome, "screen", "light")
        complaints(chrome)  # about earlier pages
        page = tmp_path / "report.html"
        page.write_text(report.render(content or json.loads(SAMPLE.read_text())))
        chrome.get(page.as_uri())
        return chrome

    return shown


def complaints(chrome: Chrome) -> list[object]:
    """What the console has said since it was last asked."""
    found: list[object] = chrome.get_log("browser")  # type: ignore[no-untyped-call] # of selenium
    return found


def test_a_page_that_is_wrong_would_be_noticed(show: Callable[..., Chrome]) -> None:
    chrome = show()
    chrome.execute_script(
        "console.error('seen'); document.body.append(Object.assign(new Image(), {src: 'https://localhost/x.png'}))"
    )
    chrome.execute_async_script("setTimeout(arguments[0], 200)")
    log = json.dumps(complaints(chrome))
    assert "seen" in log and "Content Security Policy" in log


def test_all_sections_are_visible_and_the_console_is_silent(show: Callable[..., Chrome]) -> None:
    chrome = show()
    for name in SECTIONS:
        section = chrome.find_element(By.ID, name)
        assert section.is_displayed() and section.size["height"] > 100, name
        assert not section.find_elements(By.CSS_SELECTOR, ":scope > .absent"), name
    assert complaints(chrome) == []


def test_nothing_is_loaded_beside_the_page(show: Callable[..., Chrome]) -> None:
    entries = show().execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert [name for name in entries if not name.startswith("data:")] == []


def test_bars_are_as_long_as_what_they_stand_for(show: Callable[..., Chrome]) -> None:
    chrome = show()
    rows = {
        tuple(cell.text for cell in row.find_elements(By.CSS_SELECTOR, ".method, .number"))[:2]: sum(
            bar.size["width"] for bar in row.find_elements(By.TAG_NAME, "i")
        )
        for row in chrome.find_elements(By.CSS_SELECTOR, ".plot tr.full, .plot tr.zchunk")
    }
    full, small = rows["full", "158 MB"], rows["zchunk", "55.7 MB"]
    assert small / full == pytest.approx(55.7 / 158, rel=0.02)


def boxes(chrome: Chrome) -> dict[str, tuple[float, float]]:
    """What the map shows at its first level: name -> its size."""
    return {
        (box.get_attribute("title") or "").splitlines()[0]: (box.size["width"], box.size["height"])
        for box in chrome.find_elements(By.CSS_SELECTOR, ".treemap .area > .box")
    }


def test_the_map_opens_a_folder_by_a_click_and_comes_back(show: Callable[..., Chrome]) -> None:
    chrome = show()
    before = boxes(chrome)
    assert {"opt/gateway", "app.bin", "usr", "inode tables"} <= before.keys()
    chrome.find_element(By.CSS_SELECTOR, ".treemap .box[title^='libonig']").click()  # in usr
    inside = boxes(chrome)
    assert "libonig.so.5.3.0" in inside and "app.bin" not in inside
    larger, smaller = inside["libonig.so.5.3.0"], before["libonig.so.5.3.0"]
    assert larger[0] * larger[1] > 4 * smaller[0] * smaller[1]
    assert [crumb.text for crumb in chrome.find_elements(By.CSS_SELECTOR, ".treemap nav button")] == [
        "all",
        "usr",
    ]
    chrome.find_element(By.CSS_SELECTOR, ".treemap nav button").click()
    assert boxes(chrome) == before
    assert complaints(chrome) == []


def test_areas_of_the_map_are_as_large_as_the_bytes(show: Callable[..., Chrome]) -> None:
    chrome = show()
    found = boxes(chrome)
    (app, model) = (found[name][0] * found[name][1] for name in ("app.bin", "model.onnx"))
    assert app / model == pytest.approx(5_211_340 / 2_900_121, rel=0.03)


def test_a_phone_shows_the_whole_width(show: Callable[..., Chrome]) -> None:
    chrome = show()
    browser.resize(chrome, 390, 844)
    chrome.refresh()
    assert chrome.execute_script("return document.documentElement.scrollWidth") == 390
    assert complaints(chrome) == []


def test_a_dark_screen_gets_dark_paper(show: Callable[..., Chrome]) -> None:
    chrome = show()
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = chrome.execute_script(paper)
    browser.prefer(chrome, "screen", "dark")
    assert (light, chrome.execute_script(paper)) == ("rgb(255, 255, 255)", "rgb(20, 23, 26)")


def test_it_prints_with_everything_open(show: Callable[..., Chrome]) -> None:
    content = json.loads(SAMPLE.read_text())
    added = content["sbom"]["rootfs"]["since"]["2.0.0"]["added"]
    added += [{"name": f"package{number}", "version": "1"} for number in range(100)]
    chrome = show(content)
    assert not chrome.find_element(By.TAG_NAME, "details").get_attribute("open")
    printed = base64.b64decode(chrome.print_page())
    assert printed.startswith(b"%PDF") and len(printed) > 20_000
    assert chrome.find_element(By.TAG_NAME, "details").get_attribute("open")


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=\"console.error('run')\">'\"&{{7*7}}"


def test_names_with_markup_in_them_stay_names(show: Callable[..., Chrome]) -> None:
    def spoil(value: object) -> object:
        if isinstance(value, dict):
            return {key: spoil(each) for key, each in value.items()}
        if isinstance(value, list):
            return [spoil(each) for each in value]
        return (
            value + HOSTILE if isinstance(value, str) and value not in ("full", "zchunk", "rdiff") else value
        )

    content: Any = spoil(json.loads(SAMPLE.read_text()))
    chrome = show(content)
    assert chrome.find_elements(By.TAG_NAME, "img") == []
    assert len(chrome.find_elements(By.CSS_SELECTOR, "script:not([type])")) == 1
    assert HOSTILE in chrome.find_element(By.TAG_NAME, "h1").text
    assert any(HOSTILE in name for name in boxes(chrome))
    assert complaints(chrome) == []
