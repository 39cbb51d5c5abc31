"""What a study cannot tell is said before it is run."""

from dataclasses import replace

import pytest

from quasarcurves.analysis import spikes
from quasarcurves.analysis.answer import enough_data
from quasarcurves.study import Study, limits

N_SPECTRA = 2000


FRACTIONS = (0.5, 0.4, 0.3, 0.2, 0.1)


def study(epochs=60, validation=0.1, replicates=2, fractions=FRACTIONS, batch=25, n=N_SPECTRA, **optimizers):
    return Study.from_config(
        {
            "study": {"name": "small", "replicates": replicates},
            "data": {"source": "simulated", "n_spectra": n},
            "subsets": {"fractions": list(fractions), "validation_fraction": validation},
            "training": {"epochs": epochs, "batch_size": batch},
            "optimizers": optimizers or {"adam": {"class": "Adam"}},
        }
    )


def test_nothing_is_said_where_all_can_be_told():
    assert limits.warning(study(), N_SPECTRA) == ""


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epochs": 50}, "tall spikes of epochs, as no training has more than 50"),
        ({"epochs": 1}, "spikes, as no training has 101 steps"),
        (
            {"batch": 32, "fractions": [0.5, 0.496, 0.48, 0.464, 0.448]},  # 31 batches and 8 more
            "the optimizer's spikes from those of a tiny last batch, which has 8 of 32 spectra where 1,000 are trained "
            "on (training.last_batch: drop leaves it out)",
        ),
        ({"validation": 0}, "which model validation calls best, as there is no validation set"),
        ({"replicates": 1}, "how runs differ, as there is one replicate"),
        ({"fractions": [0.5]}, "how many spectra are enough, as there is 1 size and 5 are needed"),
        ({"fractions": [0.5, 0.1]}, "how many spectra are enough, as there are 2 sizes and 5 are needed"),
    ],
)
def test_each_limit_is_said_in_one_line(changed, words):
    assert limits.warning(study(**changed), N_SPECTRA) == f"What this study cannot tell: {words}."


def test_sizes_are_those_that_an_optimizer_is_trained_at():
    few = {"class": "Adam", "fractions": [0.5, 0.1]}
    words = "how many spectra are enough, as there are 2 sizes and 5 are needed"
    assert limits.warning(study(adam=few), N_SPECTRA) == f"What this study cannot tell: {words}."
    assert limits.warning(study(adam={"class": "Adam"}, amsgrad=few), N_SPECTRA) == ""


def test_limits_are_those_of_the_analysis():
    assert (limits.SETTLED_EPOCH, limits.FEWEST_STEPS) == (spikes.SETTLED_EPOCH, spikes.SHORTEST)
    assert limits.FEWEST_SIZES == enough_data.FEWEST_SIZES


def test_forty_spectra_are_too_few_and_said_to_be():
    text = limits.warning(study(n=40, batch=8), 40)
    assert "what a useful network does, as 20 spectra are trained on at most, fewer than 100" in text
    assert "purity and completeness well, as 6 spectra are tested, fewer than 100" in text


@pytest.mark.parametrize(
    ("last_batch", "n_train", "found"),
    [("keep", 258, [(2, 32, 258)]), ("keep", 264, [(8, 32, 264)]), ("keep", 265, []), ("keep", 256, []),
     ("drop", 258, []), ("keep", 8, [])],
)  # fmt: skip
def test_a_last_batch_is_tiny_up_to_a_quarter(last_batch, n_train, found):
    settings = study(batch=32).training_settings("adam")
    assert list(limits.tiny_batches([(replace(settings, last_batch=last_batch), n_train)])) == found
