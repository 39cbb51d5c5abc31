"""What a study cannot tell is said before it is run."""

import pytest

from quasarcurves.analysis import spikes
from quasarcurves.analysis.answer import enough_data, replies
from quasarcurves.study import Study, limits

N_SPECTRA = 2000


FRACTIONS = (0.5, 0.4, 0.3, 0.2, 0.1)


def study(epochs=60, validation=0.1, replicates=2, fractions=FRACTIONS, **optimizers):
    return Study.from_config(
        {
            "study": {"name": "small", "replicates": replicates},
            "data": {"source": "simulated", "n_spectra": N_SPECTRA},
            "subsets": {"fractions": list(fractions), "validation_fraction": validation},
            "training": {"epochs": epochs, "batch_size": 32},
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
    assert (limits.SETTLED_EPOCH, limits.FEWEST_STEPS) == (spikes.SETTLED_EPOCH, replies.SHORTEST)
    assert limits.FEWEST_SIZES == enough_data.FEWEST_SIZES
