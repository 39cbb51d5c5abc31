"""What a study takes follows from its table of steps; the workflow's tests hold it against what happens."""

import pytest

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.study import Study
from quasarcurves.study.forecast import forecast, parameters


def study(**changed):
    config = {
        "study": {"name": "small", "replicates": 2},
        "data": {"source": "simulated", "n_spectra": 400},
        "subsets": {"fractions": [0.4, 0.1]},
        "training": {"epochs": 100, "batch_size": 16},
        "optimizers": {"adam": {"class": "Adam"}},
    }
    return Study.from_config(config | changed)


@pytest.mark.parametrize(("filters", "layers"), [(3, 4), (8, 4), (5, 6)])
def test_weights_are_as_many_as_keras_counts(filters, layers):
    settings = NetworkSettings(filters, layers, 13, ("LYA", "MgII(2796)"), ("CIV(1548)",), 0)
    assert parameters(settings) == pytest.approx(
        network.build(filters=filters, layers=layers, n_lines=3).count_params(), rel=0.03
    )


def test_more_cores_take_less_time_and_more_memory_up_to_what_there_is_to_do():
    found = forecast(study(), 400)
    assert found.trainings == 4
    assert found.seconds > found.training_seconds > 4 * 12
    times = [found.wall_seconds(cores) for cores in (1, 2, 4, 1000)]
    assert times == sorted(times, reverse=True) and times[-1] >= found.longest_seconds
    assert found.memory_mb(2) - found.memory_mb(1) == found.job_mb
    assert found.memory_mb(4) == found.memory_mb(100)


def test_states_are_counted_where_they_are_kept_and_longer_trainings_take_more():
    training = {"epochs": 100, "batch_size": 16}
    kept, not_kept = (forecast(study(training=training | {"keep_state": keep}), 400) for keep in (True, False))
    assert kept.disk["states to go on from"] > 0 == not_kept.disk["states to go on from"]
    longer = forecast(study(training=training | {"epochs": 1000}), 400)
    assert longer.disk_bytes > kept.disk_bytes and longer.seconds > kept.seconds
