"""What tests and benchmarks share: made-up losses, runs, curves and spectra whose truth is known."""
