"""Spectra of any source on one grid, and the subsets that are trained on."""

from quasarcurves.spectra.table import Spectra

__all__ = ["Spectra"]
