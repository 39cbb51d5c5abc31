"""rule judge_convergence: has each run converged, and should one be concerned?"""

from quasarcurves.analysis import convergence as judged
from scripts import adapter
from scripts.adapter import Input, Output


def judge_convergence(
    *, histories: Input, spikes: Input, test_losses: Input, stopping: Input, convergence: Output
) -> None:
    """Judge every run of a study."""
    judged.write(histories, spikes, test_losses, stopping, convergence)


if __name__ == "__main__":
    adapter.main(judge_convergence)
