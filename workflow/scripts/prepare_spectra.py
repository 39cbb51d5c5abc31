"""rule prepare_spectra: spectra of any source -> one normalised table."""

from pathlib import Path

from quasarcurves.spectra.prepare import prepare
from scripts import adapter


def prepare_spectra(*, data: dict, spectra: Path) -> None:
    """Read, rebin and normalise the spectra of a study."""
    prepare(data, spectra)


if __name__ == "__main__":
    adapter.main(prepare_spectra)
