"""What a study found, as answer.md and answer.json: four questions, each a module that answers from the tables.

No number is computed anew but counts, pooled rates and minutes; all others stand in the tables.
"""

from __future__ import annotations

import json
from pathlib import Path

from quasarcurves.analysis import tables
from quasarcurves.analysis.answer import compose
from quasarcurves.analysis.answer.replies import Study
from quasarcurves.analysis.metrics.description import Description
from quasarcurves.files import whole_file


def write(
    runs: Path,
    spikes: Path,
    spike_statistics: Path,
    spike_trends: Path,
    hypotheses: Path,
    cures: Path,
    cures_overall: Path,
    convergence: Path,
    stopping: Path,
    learning_curve: Path,
    page: Path,
    data: Path,
    interventions: Path | None = None,
    replay_findings: Path | None = None,
    *,
    description: Description,
) -> None:
    """Write answer.md and answer.json.

    Parameters
    ----------
    runs, spikes, spike_statistics, spike_trends, hypotheses, cures, cures_overall, convergence, stopping : Path
    learning_curve : Path
        The tables of these names.
    page, data : Path
        Files written: the Markdown, and the JSON that `compose.as_json` describes.
    interventions, replay_findings : Path, optional
        The tables of these names, where there were replays.
    description : Description
        What the task calls its examples and metrics.

    Raises
    ------
    ValueError
        If runs.csv has no rows.
    """
    paths = (runs, spikes, spike_statistics, spike_trends, hypotheses, cures, cures_overall)
    of_replays = [None if path is None else tables.read(path) for path in (interventions, replay_findings)]
    known = [tables.read(path) for path in (*paths, convergence, stopping, learning_curve)]
    study = Study(*known, *of_replays, description=description)
    if study.runs.empty:
        raise ValueError(f"{runs}: expected a row per run, found none")
    replies = compose.answers(study)
    with whole_file(page) as temporary:
        temporary.write_text(compose.as_page(study, replies))
    with whole_file(data) as temporary:
        temporary.write_text(json.dumps(compose.as_json(replies), indent=1, allow_nan=False) + "\n")
