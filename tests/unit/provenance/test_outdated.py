"""Page and answer say that they are not current, and stop saying so."""

import copy

import pytest

from quasarcurves.page import tables
from quasarcurves.provenance import outdated, receipts
from quasarcurves.study import Study
from quasarcurves.study.steps import File
from support import made_up_results

CONFIG = {
    "study": {"name": "planted"},
    "data": {"source": "simulated", "n_spectra": 400},
    "subsets": {"fractions": [0.8]},
    "training": {"epochs": 60},
    "optimizers": {"adam": {"class": "Adam"}},
}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study.from_config(CONFIG)
    made_up_results.make(study)
    return study


@pytest.fixture
def changed():
    config = copy.deepcopy(CONFIG)
    config["training"]["epochs"] = 80
    return Study.from_config(config)


def answer(study):
    return study.results / "answer.md"


def test_old_results_carry_a_banner_until_they_are_current(made, changed):
    before = answer(made).stat().st_mtime_ns
    outdated.mark(changed)
    text = answer(made).read_text()
    assert text.startswith(
        "> **These results are not current.** train f0.8_r0/adam is outdated (training.epochs is 80, was 60)"
    )
    assert answer(made).stat().st_mtime_ns == before
    assert receipts.verify(made.results) == []
    outdated.mark(made)
    assert answer(made).read_text() == made_up_results.CONTENT["answer.md"]
    assert answer(made).stat().st_mtime_ns == before


def test_pages_of_tables_carry_it_too(made, changed):
    page = made.results / "report" / "runs.csv.html"
    tables.write(made.results / "runs.csv", page)
    before = page.read_text()
    outdated.mark(changed)
    assert "training.epochs is 80, was 60" in page.read_text()
    outdated.mark(made)
    assert page.read_text() == before


def test_what_was_stopped_comes_first(made, changed):
    made_up_results.report(made, "f0.8_r0/adam", 55)
    outdated.mark(changed)
    assert "train f0.8_r0/adam is stopped (at epoch 55 of 60)" in answer(made).read_text()


def test_a_changed_answer_is_still_damaged_below_its_banner(made, changed):
    answer(made).write_text("# Another\n")
    outdated.mark(changed)
    assert [damage.path for damage in receipts.verify(made.results)] == [str(answer(made))]


def test_a_figure_that_is_not_current_marks_no_answer(made):
    other = Study.from_config({**CONFIG, "figures": {"purity_completeness": {"published": "farr2020"}}})
    outdated.mark(other)
    assert answer(made).read_text() == made_up_results.CONTENT["answer.md"]


def test_without_an_answer_nothing_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outdated.status, "standings", pytest.fail)
    outdated.mark(Study.from_config(CONFIG))


def test_the_page_carries_it_too(made, changed, monkeypatch):
    page = made.results / "index.html"
    page.write_bytes(made_up_results.CONTENT["index.html"].encode())
    monkeypatch.setattr(outdated, "_files", lambda study: [("write_answer", File("page", "index.html"))])
    outdated.mark(changed)
    assert '<div id="banner" role="status">' in page.read_text()
    outdated.mark(made)
    assert page.read_bytes().decode() == made_up_results.CONTENT["index.html"]
