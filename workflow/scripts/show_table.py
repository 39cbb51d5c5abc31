"""rule show_table: a table or text of the results as a page that the report can show."""

from quasarcurves.figures import pages
from scripts import adapter
from scripts.adapter import Input, Output


def show_table(*, table: Input, page: Output) -> None:
    """Write a table as a page."""
    pages.write(table, page)


if __name__ == "__main__":
    adapter.main(show_table)
