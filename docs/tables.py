"""Fill the tables of findings_tables.md from the CSV files of findings/: `python docs/tables.py`.

A table stands between `<!-- cures: STUDY FRACTION REFERENCE -->`, or `metrics` for `cures`, and `<!-- end -->`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

DOCS = Path(__file__).parent
PAGE = DOCS / "findings_tables.md"
_BLOCK = re.compile(r"(<!-- (cures|metrics): (\S+) (\S+) (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_HEADINGS = (
    "optimizer",
    "runs",
    "tall spikes",
    "per 1,000 steps",
    "times those of {}",
    "removed?",
    "final training loss / {}",
    "final test loss / {}",
    "best test loss / {}",
    "late effective step / {}",
)


_METRICS = {
    "optimizer": "",
    "completeness": "difference_completeness",
    "purity": "difference_purity",
    "completeness of broad absorption lines": "difference_bal_completeness",
    "sigma dv / {}": "ratio_sigma_dv",
}
"""Headings of a table of metrics, and the columns below them."""


def filled(text: str, folder: Path = DOCS / "findings") -> str:
    """Return the text of a page, its tables filled from the CSV files of a folder."""
    return _BLOCK.sub(lambda found: found[1] + _table(folder, *found.group(2, 3, 4, 5)) + found[6], text)


def _table(folder: Path, kind: str, study: str, fraction: str, reference: str) -> str:
    table = pd.read_csv(folder / study / "cures.csv")
    rows = table[(table["fraction"] == float(fraction)) & (table["reference"] == reference)]
    headings, make = (_HEADINGS, _row) if kind == "cures" else (tuple(_METRICS), _metrics)
    lines = [[heading.format(reference) for heading in headings], ["---"] + ["---:"] * (len(headings) - 1)]
    lines += [make(row) for row in rows.to_dict("records")]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(row: dict) -> list[str]:
    ratios = ("price_train", "price_test", "price_test_best", "step_ratio")
    return [
        row["optimizer"],
        f"{row['replicates']}",
        f"{row['spikes_tall']}",
        _interval(row, "tall_per_1000_steps"),
        _interval(row, "rate_ratio_tall"),
        row["removes_spikes_adjusted"] if isinstance(row["removes_spikes_adjusted"], str) else "",
        *(_interval(row, name) for name in ratios),
    ]


def _metrics(row: dict) -> list[str]:
    return [row["optimizer"], *(_interval(row, name) for name in list(_METRICS.values())[1:])]


def _interval(row: dict, name: str) -> str:
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if pd.isna(value) and pd.isna(high):
        return ""
    middle = "?" if pd.isna(value) else f"{value:.2g}"
    return f"{middle} ({low:.2g} to {high:.2g})"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
