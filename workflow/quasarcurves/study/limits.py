"""What a study cannot tell, however its trainings turn out: known before any of them."""

from __future__ import annotations

from collections.abc import Iterator

from quasarcurves.study.study import Study

SETTLED_EPOCH = 50
"""Tall spikes are searched for after this epoch, as `analysis.spikes` has it (which is slow to import)."""

FEWEST_STEPS = 101
"""Spikes are searched for in no fewer steps, as `analysis.answer` has it."""

FEWEST_SIZES = 5
"""Sizes from which on a number of spectra can be told, as `analysis.answer` has it."""


def warning(study: Study, n_spectra: int) -> str:
    """Return one line on what a study cannot tell; empty if there is nothing.

    Parameters
    ----------
    study : Study
    n_spectra : int
        Prepared spectra, roughly.
    """
    found = list(_unanswered(study, n_spectra))
    return f"What this study cannot tell: {'; '.join(found)}." if found else ""


def _unanswered(study: Study, n_spectra: int) -> Iterator[str]:
    groups = {(run.optimizer, run.n_train(n_spectra)) for run in study.runs}
    lengths = [(study.training_settings(optimizer), n_train) for optimizer, n_train in groups]
    if all(settings.n_steps(n_train) < FEWEST_STEPS for settings, n_train in lengths):
        yield f"spikes, as no training has {FEWEST_STEPS} steps"
    elif all(settings.n_epochs(n_train) <= SETTLED_EPOCH for settings, n_train in lengths):
        yield f"tall spikes of epochs, as no training has more than {SETTLED_EPOCH}"
    if study.config["subsets"]["validation_fraction"] == 0:
        yield "which model validation calls best, as there is no validation set"
    if study.config["study"]["replicates"] == 1:
        yield "how runs differ, as there is one replicate"
    optimizers = [optimizer for optimizer, _ in groups]
    sizes = max(map(optimizers.count, optimizers))  # of the optimizer that has most
    if sizes < FEWEST_SIZES:
        yield f"how many spectra are enough, as there {_are(sizes)} and {FEWEST_SIZES} are needed"


def _are(sizes: int) -> str:
    return "is 1 size" if sizes == 1 else f"are {sizes} sizes"
