"""What a study cannot tell, however its trainings turn out: known before any of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from quasarcurves.study.study import Study
from quasarcurves.training.settings import TrainingSettings

SETTLED_EPOCH = 50
"""Tall spikes are searched for after this epoch, as `analysis.spikes` has it (which is slow to import)."""

FEWEST_STEPS = 101
"""Spikes are searched for in no fewer steps, as `analysis.answer` has it."""

FEWEST_SIZES = 5
"""Sizes from which on a number of examples can be told, as `analysis.answer` has it."""

FEWEST_TESTED = 100
"""Examples of the test set: with half of them of the kind that is looked for, a share of 90 % of these that is found is
known to 8 % either way (two standard deviations of a binomial)."""

FEWEST_TRAINED = 100
"""Examples of the largest training set: the published curve begins at 6,000, and below 100 nothing is learnt of rare
kinds."""

TINY_BATCH = 0.25
"""Of a batch: an incomplete last one of that share or less makes spikes of its own (docs/findings.md)."""


def warning(study: Study, n_examples: int) -> str:
    """Return one line on what a study cannot tell; empty if there is nothing.

    Parameters
    ----------
    study : Study
    n_examples : int
        Prepared ones, roughly.
    """
    found = list(unanswered(study, n_examples))
    return f"What this study cannot tell: {'; '.join(found)}." if found else ""


def unanswered(study: Study, n_examples: int) -> Iterator[str]:
    """Yield each thing that a study cannot tell, with the reason."""
    yield from _of_lengths(study, n_examples)
    if study.config["subsets"]["validation_fraction"] == 0:
        yield "which model validation calls best, as there is no validation set"
    if study.config["study"]["replicates"] == 1:
        yield "how runs differ, as there is one replicate"
    optimizers = [optimizer for optimizer, _ in {(run.optimizer, run.n_train(n_examples)) for run in study.runs}]
    sizes = max(map(optimizers.count, optimizers))  # of the optimizer that has most
    if sizes < FEWEST_SIZES:
        yield f"how many {study.task.examples} are enough, as there {_are(sizes)} and {FEWEST_SIZES} are needed"
    yield from _of_sets(study, n_examples)


def _of_lengths(study: Study, n_examples: int) -> Iterator[str]:
    groups = {(run.optimizer, run.n_train(n_examples)) for run in study.runs}
    lengths = [(study.training_settings(optimizer), n_train) for optimizer, n_train in groups]
    if all(settings.n_steps(n_train) < FEWEST_STEPS for settings, n_train in lengths):
        yield f"spikes, as no training has {FEWEST_STEPS} steps"
    elif all(settings.n_epochs(n_train) <= SETTLED_EPOCH for settings, n_train in lengths):
        yield f"tall spikes of epochs, as no training has more than {SETTLED_EPOCH}"
    if tiny := sorted(set(tiny_batches(lengths))):
        last, batch, n_train = tiny[0]
        yield (
            f"the optimizer's spikes from those of a tiny last batch, which has {last} of {batch} "
            f"{study.task.examples} where {n_train:,} are trained on (training.last_batch: drop leaves it out)"
        )


def _of_sets(study: Study, n_examples: int) -> Iterator[str]:
    tested = round(study.config["subsets"]["test_fraction"] * n_examples)
    trained = max(run.n_train(n_examples) for run in study.runs)
    if trained < FEWEST_TRAINED:
        yield (
            f"what a useful network does, as {trained} {study.task.examples} are trained on at most, fewer than "
            f"{FEWEST_TRAINED}"
        )
    if tested < FEWEST_TESTED:
        yield f"{study.task.scores} well, as {tested} {study.task.examples} are tested, fewer than {FEWEST_TESTED}"
    if only := study.task.one_kind(study.prepared, study.data):
        yield only


def tiny_batches(lengths: Iterable[tuple[TrainingSettings, int]]) -> Iterator[tuple[int, int, int]]:
    """Yield the last batch, the batch size and the training examples of trainings whose last batch is tiny.

    Parameters
    ----------
    lengths : iterable of (TrainingSettings, int)
        Settings and training examples of each.
    """
    for settings, n_train in lengths:
        last, batch = n_train % settings.batch_size, settings.batch_size
        if settings.last_batch == "keep" and n_train > batch and 0 < last <= TINY_BATCH * batch:
            yield last, batch, n_train


def _are(sizes: int) -> str:
    return "is 1 size" if sizes == 1 else f"are {sizes} sizes"
