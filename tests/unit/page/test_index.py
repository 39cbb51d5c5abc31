"""index.html, from made-up results: what it holds, and that odd names, gaps and missing files do it no harm."""

import base64
import gzip
import json
import re
import struct

import h5py
import numpy as np
import pandas as pd
import pytest

from quasarcurves.page import index, losses, sections
from quasarcurves.training.history import History
from support import made_up_pages

ODD = "</script><b>&\"'"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "results"
    made_up_pages.make(folder, **made_up_pages.KINDS["all diverged"])
    return folder


def data_of(page):
    packed = re.search(r'id="data">([^<]*)<', page)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def write(tmp_path, tables=(), answers=None, **others):
    """Write a page of an answer and some tables alone."""
    answers = answers or {
        "why": {"answer": "no", "sentence": "No spike."},
        "cures": [],
        "converged": [],
        "enough_data": [],
    }
    (tmp_path / "answer.json").write_text(json.dumps(answers))
    for name, table in dict(tables).items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    files = [tmp_path / "answer.json", *(tmp_path / f"{name}.csv" for name in dict(tables))]
    shown = {"tables": others.get("texts", {}), "figures": {}}
    index.write(files, shown, others.get("study", {}), "0" * 16, tmp_path / "index.html")
    return (tmp_path / "index.html").read_text()


def test_a_page_needs_an_answer_alone(tmp_path):
    page = write(tmp_path)
    assert "No spike." in page
    assert page.count('<article class="card">') == 4
    assert data_of(page)["losses"]["runs"] == []
    assert '\n<div id="banner" hidden></div>\n' in page


def test_the_chart_calls_examples_what_the_task_does(tmp_path):
    assert data_of(write(tmp_path))["losses"]["examples"] == "spectra"
    index.write([tmp_path / "answer.json"], {"tables": {}, "figures": {}}, {}, "", tmp_path / "page.html", "digits")
    assert data_of((tmp_path / "page.html").read_text())["losses"]["examples"] == "digits"


def test_without_an_answer_it_is_said_what_was_expected(tmp_path):
    with pytest.raises(ValueError, match=r"index.html: expected an answer.json to write it from, found 0 other files"):
        index.write([], {"tables": {}, "figures": {}}, {}, "", tmp_path / "index.html")
    (tmp_path / "answer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"answer.json: expected the keys why, .*, found no why"):
        sections.read_answer(tmp_path / "answer.json")
    (tmp_path / "answer.json").write_text("no")
    with pytest.raises(ValueError, match=r"answer.json: expected JSON"):
        sections.read_answer(tmp_path / "answer.json")


def test_odd_names_are_shown_as_they_are_written(tmp_path):
    reply = {"answer": "yes", "sentence": ODD, "optimizer": ODD, "do": ODD, "needs": ODD}
    answers = {"why": reply, "cures": [reply], "converged": [reply], "enough_data": [reply]}
    table = pd.DataFrame({"optimizer": [ODD], "seconds": [1.0]})
    texts, study = {"runs.csv": f"{ODD} ``{ODD}``"}, {"study": {"name": ODD}}
    page = write(tmp_path, {"runs": table}, answers, texts=texts, study=study)
    assert "<b>" not in page
    assert page.count("<script") == page.count("</script>") == 3
    assert data_of(page)["tables"]["runs"]["rows"][0][0] == ODD


def test_cells_without_a_number_are_empty_and_infinite_ones_say_so(tmp_path):
    table = pd.DataFrame({"seconds": [1.5, np.nan, np.inf], "diverged": [True, False, True], "n": [1, 2, 3]})
    rows = data_of(write(tmp_path, {"runs": table}))["tables"]["runs"]["rows"]
    assert rows == [[1.5, "True", 1], [None, "False", 2], ["inf", "True", 3]]


def test_a_long_table_is_cut_and_an_unknown_one_stands_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "_MOST_ROWS", 3)
    page = write(tmp_path, {"new_things": pd.DataFrame({"x": range(7)}), "runs": pd.DataFrame({"seconds": [1.0]})})
    table = data_of(page)["tables"]["new_things"]
    assert (len(table["rows"]), table["all"]) == (3, 7)
    assert page.index(sections.OTHERS) < page.index('data-table="new_things"')
    assert page.index('data-table="runs"') < page.index('id="others"')


def test_figures_stand_with_their_question_and_those_of_a_new_category_at_the_end(folder):
    page = (folder / "index.html").read_text()
    places = [page.index(f"<h3>{title}") for title in ("Spikes found: adam", "Loss against epoch", "A figure of a new")]
    starts = [page.index(f'<section id="{name}"') for name in ("why", "cures", "converged", "enough_data", "others")]
    assert starts[0] < places[0] < starts[1] < starts[2] < places[1] < starts[3] < starts[4] < places[2]
    assert page.count("data:image/webp;base64,") == 3


def test_pictures_get_narrower_until_they_fit(folder, monkeypatch):
    figures = {path: folder / path for path in made_up_pages.FIGURES}
    known = {
        path: {"shows": "x", "category": category, "module": f"quasarcurves.figures.{name}", "of": of}
        for path, (_, category, name, of) in made_up_pages.FIGURES.items()
    }
    wide = index.pictures.load(figures, known)
    monkeypatch.setattr(index.pictures, "_MOST_BYTES", 0)
    narrow = index.pictures.load(figures, known)
    assert sum(len(each.source) for each in narrow) < sum(len(each.source) for each in wide)
    assert [(each.width, each.height) for each in narrow] == [(each.width, each.height) for each in wide]


def test_the_same_results_are_told_in_the_same_order(folder):
    page = (folder / "index.html").read_text()
    answer = json.loads((folder / "answer.json").read_text())
    headline = (folder / "answer.md").read_text().splitlines()[2]
    assert re.search(r'<h1 id="headline">(.*)</h1>', page)[1] + " " + re.search(r'"lead">(.*)</p>', page)[1] == headline
    assert answer["why"]["sentence"] in page


def numbers(packed, kind):
    data = base64.b64decode(packed)
    return np.array(struct.unpack(f"<{len(data) // 4}{kind}", data), np.int64 if kind == "I" else np.float32)


def test_losses_keep_their_highest_points_and_their_gaps(folder, monkeypatch):
    monkeypatch.setattr(losses, "_MOST_POINTS", 400)
    monkeypatch.setattr(losses, "_FEWEST_POINTS", 40)
    spikes = pd.read_csv(folder / "spikes.csv", dtype={"optimizer": str})
    found = losses.of_study(folder / "histories.h5", spikes)
    histories = list(losses.tables.by_run(folder / "histories.h5"))
    assert len(found["runs"]) == len(histories) == 8
    for run, history in zip(found["runs"], histories, strict=True):
        x, y = numbers(run["step"]["x"], "I"), numbers(run["step"]["y"], "f")
        loss = history.steps["loss"]
        assert len(x) <= 52
        assert np.array_equal(y, loss[x], equal_nan=True)
        assert np.nanmax(y) == np.nanmax(loss)
        assert np.isnan(y[-1])
        validated = numbers(run["validation"]["x"], "I")
        assert set(validated % 10) <= {0}
        assert np.array_equal(numbers(run["validation"]["step"], "I"), history.epochs["step"][validated - 1])
    for run, x, y, kind, height in found["spikes"]["step"]:
        assert y == pytest.approx(histories[run].steps["loss"][x], rel=1e-3)
        assert kind == "sustained"
        assert height >= 4


def test_of_a_long_run_every_step_around_its_highest_spikes_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(losses, "_MOST_POINTS", 6000)
    onsets, heights = [20_000, 50_100, 90_000], [5.0, 30.0, 9.0]
    loss = np.random.default_rng(1).lognormal(0, 0.1, 100_000).astype(np.float32)
    keys = {"fraction": 0.8, "replicate": 0, "optimizer": "adam"}
    epochs = {"loss": loss.reshape(-1, 100).mean(axis=1), "val_loss": np.ones(1000), "step": 100 * np.arange(1, 1001)}
    with h5py.File(tmp_path / "histories.h5", "w") as file:
        History(epochs, {"loss": loss}, {**keys, "outcome": {"n_train": 3200}}).write(file.create_group("f0.8_r0/adam"))
    spikes = [{**keys, "scale": "step", "kind": "sustained", "onset": onset, "peak": onset + 40, "height_ratio": height}
              for onset, height in zip(onsets, heights, strict=True)]  # fmt: skip
    (run,) = losses.of_study(tmp_path / "histories.h5", pd.DataFrame(spikes))["runs"]
    x, y = numbers(run["step"]["x"], "I"), numbers(run["step"]["y"], "f")
    assert np.array_equal(y, loss[x]) and (np.diff(x) > 0).all()
    for onset, kept in zip(onsets, (False, True, True), strict=True):
        assert (len(x[(x >= onset - 300) & (x < onset + 1000)]) == 1300) == kept
    assert len(x) <= 1.5 * 6000


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("Adam spikes; lion does not. More.", "Adam spikes."),
        ("Adam spikes at 0.3 per step. More; more.", "Adam spikes at 0.3 per step."),
        ("Nothing", "Nothing"),
    ],
)
def test_a_reason_is_the_first_clause(text, clause):
    assert sections.clause(text) == clause


def test_a_column_named_after_another_is_explained_by_it():
    assert index.meaning("rate_ratio_low") == (
        "Lower end of the interval: rate of sustained spikes over that of the reference"
    )
    assert index.meaning("difference_purity_verdict").startswith("Verdict: difference from the reference")
    assert index.meaning("nobody_knows") == ""


def test_every_column_of_the_tables_of_a_study_has_a_meaning(folder):
    missing = {
        column
        for name in made_up_pages.written_tables(folder)
        for column in pd.read_csv(name, nrows=0).columns
        if not index.meaning(column)
    }
    assert missing == set()
