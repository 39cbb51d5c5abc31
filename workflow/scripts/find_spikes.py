"""rule find_spikes: every spike of every run, the statistics of each run, and trends over runs."""

from quasarcurves.analysis.spikes import detection
from scripts import adapter
from scripts.adapter import Input, Output


def find_spikes(*, histories: Input, spikes: Output, spike_statistics: Output, spike_trends: Output) -> None:
    """Find the spikes of a study's losses."""
    detection.write(histories, spikes, spike_statistics, spike_trends)


if __name__ == "__main__":
    adapter.main(find_spikes)
