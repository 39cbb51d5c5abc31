"""rule show_tables: tables and texts of the results as pages that the report can show."""

from quasarcurves.page import tables as writer
from scripts import adapter
from scripts.adapter import Input, Output


def show_tables(*, tables: list[Input], pages: list[Output]) -> None:
    """Write a page per table."""
    for table, page in zip(tables, pages, strict=True):
        writer.write(table, page)


if __name__ == "__main__":
    adapter.main(show_tables)
