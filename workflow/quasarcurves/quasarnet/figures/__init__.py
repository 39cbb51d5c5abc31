"""Figures of spectra, and of what QuasarNET says of them."""
