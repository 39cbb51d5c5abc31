"""Commands for networks and spectra."""
