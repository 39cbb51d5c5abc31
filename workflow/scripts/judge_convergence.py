"""rule judge_convergence: has each run converged, and should one be concerned?"""

from quasarcurves.analysis import convergence as judged
from scripts import adapter
from scripts.adapter import Input, Output


def judge_convergence(*, histories: Input, test_losses: Input, convergence: Output) -> None:
    """Judge every run of a study."""
    judged.write(histories, test_losses, convergence)


if __name__ == "__main__":
    adapter.main(judge_convergence)
