"""Pages of studies in a real browser: what they show, that their parts work, and that they ask nobody for anything."""

import csv
import json
import time
from pathlib import Path

import axe_core_python
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from support import made_up_pages
from support.browser import browser, open_page, prefer, requests, resize

pytestmark = pytest.mark.page
ROOT = Path(__file__).parents[2]
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()
MOST_BYTES = 15e6
THEME = "return document.documentElement.dataset.theme"
SLOWEST = 3000
"""Milliseconds in which a chart is drawn, where a processor does a graphics card's work beside other work."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def driver(folder):
    with browser(folder) as driver:
        yield driver


@pytest.fixture(scope="module")
def pages(tmp_path_factory, finished):
    """Return the page of a kind of study, made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("pages"), {"smoke study": finished / "results" / "smoke" / "index.html"}

    def page(kind):
        if kind not in made:
            made[kind] = made_up_pages.make(folder / kind, **made_up_pages.KINDS[kind])
        return made[kind]

    return page


@pytest.fixture(scope="module", params=[*made_up_pages.KINDS, "smoke study"])
def opened(request, pages, driver):
    """Open the page of each kind of study; return it. Tests must leave it as it is."""
    driver.get_log("browser"), driver.get_log("performance")
    return opened_page(driver, pages(request.param))


@pytest.fixture
def large(pages, driver):
    """Open the page of 240 runs; return it."""
    return opened_page(driver, pages("240 runs"))


def opened_page(driver, page):
    resize(driver, 1400, 900)
    prefer(driver, "light")
    open_page(driver, page)
    return page


def unfold(driver):
    """Open all details, but of tables only the one of runs: all of them are hundreds of thousands of cells."""
    folded = "document.querySelectorAll('details:not(.table), [data-table=runs]')"
    driver.execute_script(f"{folded}.forEach((each) => {{ each.open = true; }})")


def text_of(driver, selector):
    return driver.find_element(By.CSS_SELECTOR, selector).get_attribute("textContent")


def words(text):
    return " ".join(text.split())


def test_a_page_says_what_the_answer_says_and_asks_for_nothing(opened, driver):
    said = words(text_of(driver, "main"))
    answer = json.loads((opened.parent / "answer.json").read_text())
    replies = [answer["why"], *answer["cures"], *answer["converged"], *answer["enough_data"]]
    for reply in replies:
        for key in ("sentence", "needs", "do"):
            assert words(reply[key] or "") in said
    paragraphs = (opened.parent / "answer.md").read_text().split("\n\n")
    assert words(text_of(driver, "h1") + " " + (text_of(driver, ".lead") if "lead" in driver.page_source else "")) == (
        words(paragraphs[1])
    )
    assert opened.stat().st_size < MOST_BYTES
    assert requests(driver) == []
    assert [each for each in driver.get_log("browser") if each["level"] == "SEVERE"] == []


def test_the_first_screen_has_headline_answers_and_chart(opened, driver):
    for selector in ("h1", ".card", "#chart"):
        for each in driver.find_elements(By.CSS_SELECTOR, selector):
            box = each.rect
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 900, selector
    assert len(driver.find_elements(By.CSS_SELECTOR, ".card")) == 4
    drawn = driver.execute_script("return chart.traces().reduce((n, trace) => n + trace.x.length, 0)")
    assert drawn > 10
    assert text_of(driver, "#chart .xtitle") == "epoch"
    images = driver.execute_script("return [...document.images].map((i) => [i.complete, i.naturalWidth])")
    assert len(images) >= len(made_up_pages.FIGURES)


def test_axe_finds_no_serious_fault(opened, driver):
    unfold(driver)
    driver.execute_script(AXE)
    for theme in ("dark", "light"):
        prefer(driver, theme)
        WebDriverWait(driver, 20).until(lambda d, theme=theme: d.execute_script(THEME) == theme)
        found = driver.execute_async_script("axe.run({resultTypes: ['violations']}).then(arguments[0])")
        serious = [fault for fault in found["violations"] if fault["impact"] in ("serious", "critical")]
        assert [(fault["id"], [node["html"][:200] for node in fault["nodes"][:3]]) for fault in serious] == []


def test_a_phone_shows_it_without_scrolling_sideways(opened, driver):
    unfold(driver)
    resize(driver, 390, 844)
    # the chart is drawn anew, a little later
    WebDriverWait(driver, 10).until(lambda d: d.execute_script("return document.documentElement.scrollWidth") == 390)
    resize(driver, 1400, 900)


def test_the_chart_fills_its_box_whatever_else_the_box_shows(pages, driver):
    opened_page(driver, pages("default study"))
    boxes = "return ['#chart', '#chart .main-svg'].map((s) => document.querySelector(s).getBoundingClientRect().bottom)"
    fold = "document.querySelector('#controls details').open = arguments[0]"
    bottom = driver.execute_script(boxes)[0]
    assert 840 < bottom < 900
    for (width, height), single_runs in (
        ((1400, 900), False),
        ((1400, 900), True),
        ((1400, 1200), False),
        ((390, 844), True),
    ):
        resize(driver, width, height)
        driver.execute_script(fold, single_runs)
        WebDriverWait(driver, 10).until(lambda d: abs(float.__sub__(*map(float, d.execute_script(boxes)))) < 1)
    driver.execute_script(fold, False)
    resize(driver, 1400, 900)


def test_the_chart_of_240_runs_is_fluid_and_refined_where_one_looks(large, driver):
    for box in driver.find_elements(By.CSS_SELECTOR, "input[name=fraction]:not(:checked)"):
        box.click()
    assert driver.find_element(By.ID, "chart").get_attribute("data-runs") == "240"
    assert int(driver.find_element(By.ID, "chart").get_attribute("data-milliseconds")) < SLOWEST
    driver.find_element(By.CSS_SELECTOR, "input[name=axis]:not(:checked)").click()
    assert text_of(driver, "#chart .xtitle") == "optimizer step"
    assert "the lowest and highest of several steps" in text_of(driver, "#chart-note")
    training = "chart.traces().find((trace) => trace.name === 'training')"
    points = f"return {training}.x.filter((x) => x !== null && x < 1000).length"
    before = driver.execute_script(points)
    driver.execute_script("chart.zoom([0, 1000])")
    assert driver.execute_script(points) > before
    assert driver.execute_script("return document.getElementById('chart').layout.xaxis.range") == [0, 1000]
    assert int(driver.find_element(By.ID, "chart").get_attribute("data-milliseconds")) < SLOWEST


def test_runs_are_shown_and_hidden_and_keys_move_the_chart(large, driver):
    chart = driver.find_element(By.ID, "chart")
    shown = int(chart.get_attribute("data-runs"))
    driver.find_element(By.CSS_SELECTOR, "input[name=optimizer]").click()
    assert int(chart.get_attribute("data-runs")) == shown - 5
    with_spikes = driver.execute_script("return chart.traces().length")
    driver.find_element(By.CSS_SELECTOR, "input[name=spikes]").click()
    assert driver.execute_script("return chart.traces().length") == with_spikes - 2
    chart.send_keys("+")
    low, high = driver.execute_script("return chart.range")
    assert high - low == pytest.approx(250, abs=5)
    chart.send_keys(Keys.ARROW_RIGHT)
    assert driver.execute_script("return chart.range[0]") > low
    chart.send_keys("0")
    assert driver.execute_script("return chart.range") is None


def test_tables_sort_filter_and_export(large, driver, folder):
    table = driver.find_element(By.CSS_SELECTOR, "details[data-table=runs]")
    table.find_element(By.TAG_NAME, "summary").click()
    WebDriverWait(driver, 10).until(lambda _: table.find_elements(By.CSS_SELECTOR, "tbody tr"))
    heads = {head.text: head for head in table.find_elements(By.CSS_SELECTOR, "thead th")}

    def column(name):
        place = list(heads).index(name) + 1
        cells = table.find_elements(By.CSS_SELECTOR, f"tbody td:nth-child({place})")
        return [cell.get_attribute("textContent") for cell in cells]

    assert "training set" in heads["n_train"].find_element(By.TAG_NAME, "button").get_attribute("title").lower()
    for direction, sign in (("ascending", 1), ("descending", -1)):
        heads["n_train"].find_element(By.TAG_NAME, "button").click()
        assert heads["n_train"].get_attribute("aria-sort") == direction
        values = [sign * int(value) for value in column("n_train")]
        assert values == sorted(values)
    for name, words_of in (("optimizer", "amsgrad"), ("fraction", "0.8")):
        choice = table.find_element(By.CSS_SELECTOR, f"select[name={name}]")
        choice.find_element(By.XPATH, f"option[normalize-space()='{words_of}']").click()
    assert set(column("optimizer")) == {"amsgrad"}
    assert len(column("optimizer")) == 5
    table.find_element(By.XPATH, ".//button[normalize-space()='Export CSV']").click()
    exported = folder / "runs.csv"
    WebDriverWait(driver, 20).until(lambda _: exported.exists() and exported.stat().st_size)
    time.sleep(0.1)
    with exported.open() as file:
        rows = list(csv.DictReader(file))
    with (large.parent / "runs.csv").open() as file:
        wanted = [row for row in csv.DictReader(file) if row["optimizer"] == "amsgrad" and row["fraction"] == "0.8"]
    assert [{key: float(row[key]) for key in ("n_train", "replicate", "epochs")} for row in rows] == [
        {key: float(row[key]) for key in ("n_train", "replicate", "epochs")} for row in wanted
    ]


def test_the_theme_is_that_of_the_system_until_one_switches(pages, driver):
    opened_page(driver, pages("one run"))
    prefer(driver, "dark")
    WebDriverWait(driver, 20).until(lambda d: d.execute_script(THEME) == "dark")
    driver.find_element(By.ID, "theme").click()
    assert driver.execute_script(THEME) == "light"
    driver.execute_script("localStorage.clear()")


SHOWN = """
const found = document.querySelector(arguments[0]);
return found !== null && found.getClientRects().length > 0 && getComputedStyle(found).visibility === "visible";
"""


def test_it_prints_in_black_on_white_without_what_needs_a_mouse(pages, driver):
    opened_page(driver, pages("one run"))
    prefer(driver, "dark")
    pdf = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert len(pdf) > 10_000
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert driver.execute_script(THEME) == "light"
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    for selector, printed in (
        ("#controls button", False),
        ("#theme", False),
        ("#controls label", True),
        ("#chart", True),
    ):
        # in one script: the controls are made anew when the medium changes
        WebDriverWait(driver, 10).until(lambda _, s=selector, p=printed: driver.execute_script(SHOWN, s) == p, selector)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    driver.execute_script("dispatchEvent(new Event('afterprint'))")
