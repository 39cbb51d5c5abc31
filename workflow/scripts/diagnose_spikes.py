"""rule diagnose_spikes: what comes before spikes, what predicts them, and what hypotheses about their cause come to."""

from quasarcurves.analysis import diagnosis
from scripts import adapter
from scripts.adapter import Input, Output


def diagnose_spikes(
    *, histories: Input, spikes: Input, spike_trends: Input, aligned: Output, predictors: Output, hypotheses: Output
) -> None:
    """Look for the cause of a study's spikes."""
    diagnosis.write(histories, spikes, spike_trends, aligned, predictors, hypotheses)


if __name__ == "__main__":
    adapter.main(diagnose_spikes)
