"""rule draw_subset: who trains, validates and tests, as row numbers."""

from quasarcurves.spectra.subsets import draw
from quasarcurves.spectra.table import load_column
from scripts import adapter
from scripts.adapter import Input, Output


def draw_subset(*, spectra: Input, settings: dict, subset: Output) -> None:
    """Draw the rows of one fraction and replicate."""
    draw(load_column(spectra, "target_id"), **settings).save(subset)


if __name__ == "__main__":
    adapter.main(draw_subset)
