"""Tables and texts as pages that a report shows."""

from html.parser import HTMLParser

import pandas as pd

from quasarcurves.page import tables


class Cells(HTMLParser):
    """Texts of the cells of a page."""

    def __init__(self, page):
        super().__init__()
        self.found, self.tag = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        if tag in ("th", "td"):
            self.found.append("")

    def handle_endtag(self, tag):
        self.tag = ""

    def handle_data(self, data):
        if self.tag in ("th", "td"):
            self.found[-1] += data


def test_a_table_keeps_its_cells(tmp_path):
    table = pd.DataFrame({"optimizer": ["adam", "<b>"], "loss": [0.00123456, None], "n": [1024, 7]})
    table.to_csv(tmp_path / "runs.csv", index=False)
    tables.write(tmp_path / "runs.csv", tmp_path / "deep" / "runs.html")
    page = (tmp_path / "deep" / "runs.html").read_text()
    assert Cells(page).found == ["optimizer", "loss", "n", "adam", "0.001235", "1024", "<b>", "", "7"]
    assert "runs.csv: 2 rows" in page


def test_long_tables_are_cut_and_say_so(tmp_path):
    pd.DataFrame({"n": range(2500)}).to_csv(tmp_path / "spikes.csv", index=False)
    tables.write(tmp_path / "spikes.csv", tmp_path / "spikes.html")
    page = (tmp_path / "spikes.html").read_text()
    assert len(Cells(page).found) == 2001
    assert "spikes.csv: 2,500 rows, the first 2,000 of them" in page


def test_an_empty_table_has_its_columns(tmp_path):
    pd.DataFrame({"onset": [], "peak": []}).to_csv(tmp_path / "spikes.csv", index=False)
    tables.write(tmp_path / "spikes.csv", tmp_path / "spikes.html")
    assert Cells((tmp_path / "spikes.html").read_text()).found == ["onset", "peak"]


def test_a_text_is_shown_as_it_stands(tmp_path):
    (tmp_path / "answer.md").write_text("# Answer\n\n**spikes** < 3 & rare <b>\n\n| a |\n|---|\n| 1 |\n")
    tables.write(tmp_path / "answer.md", tmp_path / "answer.html")
    page = (tmp_path / "answer.html").read_text()
    assert "<h1>Answer</h1>\n<p><strong>spikes</strong> &lt; 3 &amp; rare &lt;b&gt;</p>" in page
    assert Cells(page).found == ["a", "1"]
