"""Tables and texts as HTML pages: Snakemake's report shows those, and offers CSV and Markdown for download alone."""

from __future__ import annotations

import html
from pathlib import Path

import pandas as pd
from markdown_it import MarkdownIt

from quasarcurves.analysis import tables
from quasarcurves.files import whole_file
from quasarcurves.page import banner

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px sans-serif; margin: 1em; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th {{ position: sticky; top: 0; background: white; border-bottom: 1px solid black; }}
th, td {{ padding: 0.2em 0.6em; text-align: right; white-space: nowrap; }}
tr:nth-child(even) td {{ background: #f2f2f2; }}
p {{ max-width: 90ch; line-height: 1.5; }}
</style>
</head>
<body>
<div id="banner" hidden></div>
<p>{title}</p>
{body}
</body>
</html>
"""

_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")

_MOST_ROWS = 2000
"""Rows that a browser still shows easily: a longer table is cut there, and its title says so."""


def write(source: Path, path: Path) -> None:
    """Write a file of the results as a page: a CSV as a table with numbers to 4 digits, any other as Markdown."""
    if source.suffix == ".csv":
        title, body = _of_table(source.name, tables.read(source))
    else:
        title, body = source.name, _MARKDOWN.render(banner.without(source.read_text()))
    with whole_file(path) as temporary:
        temporary.write_text(_PAGE.format(title=html.escape(title), body=body), encoding="utf-8")


def _of_table(name: str, table: pd.DataFrame) -> tuple[str, str]:
    rows = len(table)
    title = f"{name}: {rows:,} rows" + (f", the first {_MOST_ROWS:,} of them" if rows > _MOST_ROWS else "")
    shown = table.head(_MOST_ROWS)
    return title, shown.to_html(index=False, border=0, na_rep="", float_format=lambda value: f"{value:.4g}")
