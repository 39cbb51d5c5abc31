"""The page of `quasarcurves diagnose` in a real browser: its chart is drawn, in both themes, it asks for nothing."""

from pathlib import Path

import axe_core_python
import numpy as np
import pytest

from quasarcurves.analysis.checkup import diagnose
from quasarcurves.page import checkup as page
from support.browser import browser, open_page, prefer, requests, resize

pytestmark = pytest.mark.page
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text()
EPOCHS = np.arange(120)


def curve(n):
    loss = 2 / (1 + EPOCHS / 6) * np.exp(0.02 * np.random.default_rng(n).standard_normal(120))
    loss[60:62] *= 5
    return {"loss": loss.tolist(), "val_loss": (1.1 * loss + n**-0.5).tolist()}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.mark.parametrize("sizes", [(64,), (64, 256, 1024, 4096, 16384)])
def test_the_page_draws_its_curves_and_asks_nobody(driver, tmp_path, sizes):
    found = diagnose({f"{n} examples": curve(n) for n in sizes}, examples=sizes)
    page.write(found, [], tmp_path / "a.html")
    driver.get_log("browser"), driver.get_log("performance")
    open_page(driver, tmp_path / "a.html")
    traces = driver.execute_script("return document.getElementById('chart').data.map((trace) => trace.x.length)")
    assert traces == [120, 120, 1] * len(sizes)
    for theme in ("light", "dark"):
        prefer(driver, theme)
        driver.execute_script(f"setTheme({str(theme == 'dark').lower()})")
        driver.execute_script(AXE)
        found = driver.execute_async_script("axe.run(document).then((all) => arguments[0](all.violations))")
        assert [each["id"] for each in found] == []
    for width in (360, 1300):
        resize(driver, width, 900)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    assert requests(driver) == []
    assert [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
