"""rule write_page: what a study found, on one page."""

from quasarcurves.page import index
from scripts import adapter
from scripts.adapter import Input, Output


def write_page(*, files: list[Input], shown: dict, study: dict, examples: str, templates: str, page: Output) -> None:
    """Write the page of a study from its answer, tables, losses and figures."""
    index.write(files, shown, study, templates, page, examples)


if __name__ == "__main__":
    adapter.main(write_page)
