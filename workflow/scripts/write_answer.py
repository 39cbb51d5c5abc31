"""rule write_answer: what a study found, in words and as data."""

from quasarcurves.analysis import answer as answers
from quasarcurves.steps import describing
from scripts import adapter
from scripts.adapter import Input, Output


def write_answer(
    *,
    runs: Input,
    spikes: Input,
    spike_statistics: Input,
    spike_trends: Input,
    hypotheses: Input,
    cures: Input,
    cures_overall: Input,
    convergence: Input,
    stopping: Input,
    learning_curve: Input,
    interventions: list[Input],
    replay_findings: list[Input],
    words: dict,
    answer: Output,
    answer_json: Output,
) -> None:
    """Answer the four questions of a study."""
    spiking = runs, spikes, spike_statistics, spike_trends, hypotheses, cures, cures_overall
    of_replays = (next(iter(tables), None) for tables in (interventions, replay_findings))
    answers.write(
        *spiking,
        convergence,
        stopping,
        learning_curve,
        answer,
        answer_json,
        *of_replays,
        description=describing.description(words),
    )


if __name__ == "__main__":
    adapter.main(write_answer)
