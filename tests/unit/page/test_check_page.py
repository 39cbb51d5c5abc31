"""The page of a study that has not run: it stands alone, and says what the terminal says."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from quasarcurves.page import check
from quasarcurves.spectra import census
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
    return outlook.look(study, [read(study.data)])


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
    for line in (*found.chances, *found.warnings, *outlook.about_spectra(found.census), *outlook.about_cost(found)):
        assert line in text, line
    assert page.count("<svg") == 2
    for each in found.sets:
        assert f"<td>{each.name}</td><td>{outlook.between(each.spectra)}</td>" in page


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


def test_every_example_has_a_frame_and_few_or_strange_spectra_are_drawn(found):
    frames = check.examples(found.census.examples).axes
    assert sum(axes.axison for axes in frames) == len(found.census.examples) == 24
    one = found.census.examples.take(np.array([0]))
    one.z[:] = np.nan
    assert sum(axes.axison for axes in check.examples(one).axes) == 1
    left, right = check.histograms(census.take([one])).axes
    assert len(right.patches) > 0
    assert [text.get_text() for text in left.texts] == ["none"]
