"""Pages of spectra, and of networks compared."""
