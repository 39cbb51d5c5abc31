"""rule draw_subset: who trains, validates and tests, as row numbers."""

from quasarcurves.spectra.subsets import draw, load_target_ids
from scripts import adapter
from scripts.adapter import Input, Output


def draw_subset(*, spectra: Input, settings: dict, subset: Output) -> None:
    """Draw the rows of one fraction and replicate."""
    draw(load_target_ids(spectra), **settings).save(subset)


if __name__ == "__main__":
    adapter.main(draw_subset)
