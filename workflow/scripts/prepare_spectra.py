"""rule prepare_spectra: spectra of any source -> one normalised table."""

from quasarcurves.spectra.prepare import prepare
from scripts import adapter
from scripts.adapter import Output


def prepare_spectra(*, data: dict, spectra: Output) -> None:
    """Read, rebin and normalise the spectra of a study."""
    prepare(data, spectra)


if __name__ == "__main__":
    adapter.main(prepare_spectra)
