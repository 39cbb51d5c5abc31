"""rule compute_hazards: how often replays spike from each state, and what each arm does to that."""

from quasarcurves.analysis.replays import tabulate
from quasarcurves.steps import describing
from scripts import adapter
from scripts.adapter import Input, Output


def compute_hazards(
    *,
    fork_replays: list[Input],
    forks: list[Input],
    words: dict,
    replays: Output,
    all_forks: Output,
    hazards: Output,
    interventions: Output,
    survival: Output,
    hazard_model: Output,
    replay_findings: Output,
) -> None:
    """Join the replays of a study, and compare the arms."""
    joined, found = (replays, all_forks), (hazards, interventions, survival, hazard_model, replay_findings)
    tabulate.write(fork_replays, forks, *joined, *found, describing.description(words).examples)


if __name__ == "__main__":
    adapter.main(compute_hazards)
