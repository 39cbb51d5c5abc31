"""rule collect_microscopes: what was looked at closely, of all runs."""

from quasarcurves.analysis import tables
from scripts import adapter
from scripts.adapter import Input, Output


def collect_microscopes(
    *,
    magnified_steps: list[Input],
    magnified_spectra: list[Input],
    microscope: Output,
    spike_spectra: Output,
) -> None:
    """Join the tables of all runs that were looked at."""
    for parts, path in ((magnified_steps, microscope), (magnified_spectra, spike_spectra)):
        tables.write_parts(map(tables.read, parts), path, digits=8)


if __name__ == "__main__":
    adapter.main(collect_microscopes)
