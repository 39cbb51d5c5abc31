"""The pages under docs/ say what the files beside them say."""

import re
import runpy
from pathlib import Path

import pandas as pd

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "controls.md").read_text()
tables = runpy.run_path(str(DOCS / "tables.py"))


def test_tables_are_those_of_the_files():
    assert tables["filled"](PAGE) == PAGE
    assert len(re.findall("<!-- cures:", PAGE)) >= 3


def test_a_changed_file_changes_its_table(tmp_path):
    block = re.search(r"<!-- cures: (\S+) (\S+) (\S+) -->.*?<!-- end -->", PAGE, re.DOTALL)
    study, fraction, reference = block.groups()
    cures = pd.read_csv(DOCS / "controls" / study / "cures.csv")
    rows = (cures["fraction"] == float(fraction)) & (cures["reference"] == reference)
    cures.loc[rows, "price_train"] = 0.123
    (tmp_path / study).mkdir()
    cures.to_csv(tmp_path / study / "cures.csv", index=False)
    assert tables["filled"](block[0], tmp_path).count("0.12 (") >= rows.sum() - 1


def test_linked_files_of_the_page_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (DOCS / link).exists(), link
