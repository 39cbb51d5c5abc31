"""Epochs in sustained spikes and their wakes: which they are, and trends without them on planted truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import signal

from quasarcurves.analysis.convergence import trend
from quasarcurves.analysis.spikes.finding import PER_EPOCH, find_spikes
from quasarcurves.analysis.spikes.wakes import masked_epochs, read_sustained, spike_length

NAN = float("nan")
COLUMNS = ["fraction", "replicate", "optimizer", "scale", "kind", "onset", "peak", "end"]


def spikes(*rows):
    return pd.DataFrame(rows, columns=["scale", "onset", "peak", "end"]).astype({"end": float})


@pytest.mark.parametrize(
    ("row", "first", "last"),
    [
        (("epoch", 10, 12, 20), 10, 28),  # 8 epochs from peak to end, and 8 more
        (("step", 100, 120, 200), 10, 28),
        (("step", 109, 109, 110), 10, 11),
        (("epoch", 30, 31, NAN), 30, 39),
        (("epoch", 35, 36, 39), 35, 39),
    ],
)
def test_a_spike_and_as_long_a_wake_as_its_way_back(row, first, last):
    masked = masked_epochs(spikes(row), epochs=40, steps_per_epoch=10)
    assert np.flatnonzero(masked).tolist() == list(range(first, last + 1))


def test_spikes_of_both_scales_together():
    masked = masked_epochs(spikes(("epoch", 5, 5, 6), ("step", 210, 212, 219)), 30, 10)
    assert np.flatnonzero(masked).tolist() == [5, 6, 7, 21, 22]
    assert not masked_epochs(spikes(), 30, 10).any()


def test_how_long_spikes_last_is_what_a_random_time_in_them_sees():
    spikes = pd.DataFrame({"onset": [0, 100], "end": [10, np.nan]})
    # 1 and 10 epochs of 10 steps
    assert spike_length(spikes, 20, 10) == pytest.approx((1 + 100) / 11)
    assert spike_length(spikes[:1], 20, 100) == 1  # shorter than an epoch
    assert spike_length(spikes[:0], 20, 10) == spike_length(pd.DataFrame(), 20, 10) == 1


def test_outliers_are_not_read(tmp_path):
    rows = [(0.8, 0, "adam", "step", kind, 1, 2, 3) for kind in ("sustained", "outlier")]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(tmp_path / "spikes.csv", index=False)
    assert read_sustained(tmp_path / "spikes.csv")["kind"].tolist() == ["sustained"]


QUARTER, START = 150, 200


def losses(rng, size, fall, tall, noise=0.06):
    """Log losses of 350 epochs with a straight fall in the last 150 of them, and spikes there with slow wakes."""
    t = START + QUARTER
    course = fall * (np.arange(t) - START) / QUARTER
    white = rng.standard_normal((size, t + 50))
    log = course + noise * signal.lfilter([np.sqrt(1 - 0.3**2)], [1, -0.3], white, axis=1)[:, 50:]
    truth = []
    for row in log:
        at = np.sort(rng.choice(np.arange(START, t - 5), tall, replace=False))
        for one in at:
            lag = np.arange(t - one)
            row[one:] += np.log1p(rng.uniform(8, 40) * np.exp(-lag / rng.uniform(2, 5)))
        truth.append(at)
    return log, truth


def coverage(fall, tall, size, masked, seed=1):
    """Share of intervals that hold the truth, and their median width in the log; spikes are found as in studies."""
    log, _ = losses(np.random.default_rng(seed), size, fall, tall)
    found = []
    for row in log:
        loss = np.exp(row)
        if masked:
            sustained = find_spikes(loss, **PER_EPOCH).assign(scale="epoch")
            loss = np.where(masked_epochs(sustained, len(loss), 1), NAN, loss)
        found.append(trend(loss[START:], QUARTER))
    _, low, high = np.array(found).T
    return np.mean((low <= np.exp(fall)) & (np.exp(fall) <= high)), np.median(np.log(high / low))


@pytest.mark.parametrize(("fall", "tall"), [(0.0, 2), (-0.4, 2), (0.0, 0)])
def test_changes_without_spikes_and_wakes_cover_the_course(fall, tall):
    covered, width = coverage(fall, tall, 60, masked=True)
    assert covered >= 0.88
    if tall:
        assert width < coverage(fall, tall, 60, masked=False)[1]


@pytest.mark.slow
@pytest.mark.parametrize("fall", [0.0, -0.4])
@pytest.mark.parametrize("tall", [0, 1, 3])
def test_changes_without_spikes_and_wakes_cover_the_course_in_many_runs(fall, tall):
    assert 0.91 <= coverage(fall, tall, 400, masked=True)[0] <= 0.995
