"""rule write_verdict: the tables in plain words."""

from quasarcurves.analysis import verdict as words
from scripts import adapter
from scripts.adapter import Input, Output


def write_verdict(*, convergence: Input, cures: Input, verdict: Output) -> None:
    """Say what a study found."""
    words.write(convergence, cures, verdict)


if __name__ == "__main__":
    adapter.main(write_verdict)
