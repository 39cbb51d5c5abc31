"""Where figures and tables stand: below which question, on the page and in Snakemake's report."""

from __future__ import annotations

from quasarcurves.analysis.questions import QUESTIONS

FIGURES = {
    "why": ("Spikes", "Causes"),
    "cures": ("Cures",),
    "converged": ("Losses", "Test set"),
    "enough_data": ("Learning curves",),
}
"""Categories of figures that belong to each question; any other stands in a section of its own."""

TABLES = {
    "why": (
        "spikes", "spike_statistics", "spike_trends", "hypotheses", "predictors", "replay_findings", "interventions",
        "hazards", "hazard_model", "spike_spectra",
    ),
    "cures": ("cures", "cures_overall", "spike_cost_summary", "spike_cost"),
    "converged": ("runs", "convergence", "stopping", "test_losses"),
    "enough_data": ("learning_curve", "test_summary", "test_metrics"),
}  # fmt: skip
"""Tables that belong to each question; any other stands in a section of its own."""

OTHERS = "Everything else"

ANSWER = "0. The answer"
NUMBERS = f"{len(QUESTIONS) + 2}. Tables"


def of_report(category: str) -> str:
    """Return the report's category for figures of a category: their question, numbered as it sorts by name."""
    for number, (name, title) in enumerate(QUESTIONS.items(), start=1):
        if category in FIGURES[name]:
            return f"{number}. {title}"
    return f"{len(QUESTIONS) + 1}. {OTHERS}"
