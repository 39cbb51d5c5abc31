"""Spikes to expect are those of like studies; a chance is that of the rule on planted counts."""

import numpy as np
import pytest

from quasarcurves.study import Study, chances


def study(replicates=5, **optimizers):
    return Study.from_config(
        {
            "study": {"name": "small", "replicates": replicates},
            "data": {"source": "simulated", "n_spectra": 2560},
            "subsets": {"fractions": [0.4, 0.1]},
            "training": {"epochs": 300, "batch_size": 32},
            "optimizers": optimizers,
        }
    )


ADAM = {"class": "Adam", "learning_rate": 1e-3}


@pytest.mark.parametrize(
    ("changed", "rate"),
    [({}, 0.3), ({"learning_rate": 3e-3}, 1.0), ({"learning_rate": 1.7e-3}, 0.54), ({"learning_rate": 1e-1}, None),
     ({"amsgrad": True}, None), ({"beta_2": 0.99}, None), ({"clipnorm": 1.0}, None), ({"class": "AdamW"}, None)],
)  # fmt: skip
def test_only_plain_adam_at_a_usual_rate_has_like_studies(changed, rate):
    found = chances.rate_of(study(adam=ADAM | changed), "adam")
    assert found is None if rate is None else found == pytest.approx(rate, rel=0.02)


def test_what_is_expected_is_the_rate_times_the_steps_after_epoch_50():
    text = "\n".join(chances.of_spikes(study(adam=ADAM, amsgrad=ADAM | {"amsgrad": True}), 2560))
    # 32 batches of 1,024 spectra, 250 epochs, 5 replicates
    assert "about 12 in 5 x 8,000 steps after epoch 50 (like studies: 0.3 per 1,000)" in text
    assert "With 5 replicates an optimizer that leaves none of them is called a cure with a chance of about" in text


def test_two_replicates_settle_nothing_and_unlike_optimizers_promise_nothing():
    text = "\n".join(chances.of_spikes(study(2, adam=ADAM, amsgrad=ADAM | {"amsgrad": True}), 2560))
    assert text.endswith("No optimizer can be called a cure of the spikes: that takes 3 replicates.")
    assert next(chances.of_spikes(study(sgd={"class": "SGD"}), 2560)).startswith("Spikes to expect: not known")


def test_the_chance_grows_with_spikes_and_replicates_and_a_null_has_none():
    assert chances.chance(5, 2) == chances.chance(0, 5) == 0
    by_spikes = [chances.chance(expected, 5) for expected in (0.3, 3, 20)]
    assert by_spikes == sorted(by_spikes) and by_spikes[-1] > 0.7
    assert chances.chance(5, 8) > chances.chance(5, 3)
    # no cure: the same rate, and just the half that has to be undercut
    assert chances.chance(10, 5, left=1.0) == 0
    assert chances.chance(10, 5, left=0.5) <= 0.05


def test_the_chance_is_about_right_for_the_study_that_it_was_not_made_of():
    """usual_rate found both of two optimizers without a spike to be cures, of 14 spikes of Adam in 5 runs."""
    assert 0.1 < chances.chance(14 / 5, 5, compared=2, left=0.0) < 0.9
    assert np.isclose(chances.RATES[1e-3], 14 / 48, rtol=0.05)
