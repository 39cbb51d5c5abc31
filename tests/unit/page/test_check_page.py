"""The page of a study that has not run: it stands alone, and says what the terminal says."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from quasarcurves.page import check
from quasarcurves.quasarnet.steps import first_look
from quasarcurves.spectra.sources import read
from quasarcurves.study import Study, outlook

STUDY = {
    "study": {"name": "small"},
    "data": {"source": "simulated", "n_spectra": 120},
    "subsets": {"fractions": [0.4]},
    "training": {"epochs": 20, "batch_size": 16},
    "optimizers": {"adam": {"class": "Adam"}},
}


@pytest.fixture(scope="module")
def found():
    study = Study.from_config(STUDY)
    return outlook.look(study, first_look.look([read(study.data)]))


@pytest.fixture(scope="module")
def page(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "new" / "check.html"
    check.write(found, path)
    return path.read_text()


def test_it_asks_for_no_other_file(page):
    attributes = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')\s>]+)", page)
    assert all(each.startswith("#") for each in attributes)
    assert "<script" not in page and "@import" not in page


def test_it_has_all_that_is_known(found, page):
    text = (
        re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page))
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
    )
    for line in (*found.chances, *found.warnings, *found.seen.about, *outlook.about_cost(found)):
        assert line in text, line
    assert page.count("<svg") == 2
    for each in found.sets:
        cells = "".join(f"<td>{cell}</td>" for cell in (each.name, *outlook.sizes(each)))
        assert len(outlook.sizes(each)) == 2 and f"<tr>{cells}</tr>" in page
    assert '<th scope="col">of them quasars</th>' in page


def test_its_elements_are_closed(page):
    open_ones = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "path", "use", "rect"):
                open_ones.append(tag)

        def handle_endtag(self, tag):
            if tag not in ("path", "use", "rect"):
                assert open_ones.pop() == tag

    Reader().feed(page)
    assert open_ones == []


def test_a_task_without_a_kind_to_find_and_without_figures_has_its_page_too(found, tmp_path):
    seen = outlook.Seen(["120 digits"], np.arange(120), known_cost=False)
    other = outlook.look(found.study, seen)
    check.write(other, tmp_path / "check.html")
    page = (tmp_path / "check.html").read_text()
    assert "<p>120 digits</p>" in page and "<figure" not in page and "quasar" not in page
    assert "nothing is known of this one before it is trained" in page
    assert other.sets[0].of_kind is None and not any("quasar" in each for each in other.chances)
