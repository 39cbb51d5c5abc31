"""What tests and benchmarks share: made-up losses, runs and curves whose truth is known."""
