"""What a training is expected to need: the arithmetic by hand, and that estimates grow as the work does."""

import pytest

from quasarcurves import resources
from quasarcurves.spectra.table import Spectra

LINES = ["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"]
PUBLISHED = {"filters": 100, "layers": 4, "boxes": 13, "lines": LINES, "bal_lines": ["CIV(1548)"]}
TRAINING = {"epochs": 200, "batch_size": 256}


def test_arithmetic_of_the_published_network():
    # bins left by the four convolutions: 217, 104, 48, 20
    products = 217 * 10 * 100 + (104 + 48 + 20) * 10 * 100**2 + 20 * 100 * 100 + 100 * 26 * 7
    assert resources.flops_per_spectrum(PUBLISHED) == pytest.approx(6 * products)
    assert resources.flops_per_spectrum(PUBLISHED) == pytest.approx(106e6, rel=0.01)


def test_arithmetic_of_six_layers_with_padding():
    small = PUBLISHED | {"filters": 8, "layers": 6}
    # 222, 111, 56, 28, 14, 7
    products = 222 * 10 * 8 + (111 + 56 + 28 + 14 + 7) * 10 * 8**2 + 7 * 8 * 8 + 8 * 26 * 7
    assert resources.flops_per_spectrum(small) == pytest.approx(6 * products)


@pytest.mark.parametrize("n", [128, 6000, 563_000])
def test_each_attempt_asks_for_twice_as_much(n):
    memory = [resources.train_mem_mb(n, attempt) for attempt in (1, 2, 3)]
    minutes = [resources.train_minutes(n, PUBLISHED, TRAINING, attempt=attempt) for attempt in (1, 2, 3)]
    for first, second, third in (memory, minutes):
        # whole numbers, rounded up
        assert 2 * first - 1 <= second <= 2 * first
        assert 2 * second - 1 <= third <= 2 * second


def test_memory_holds_the_spectra_and_tensorflow():
    n = 563_000
    assert resources.train_mem_mb(n) > n * 443 * 4 / 1e6 + 500
    assert resources.train_mem_mb(n) - resources.train_mem_mb(0) < 4 * n * 443 * 4 / 1e6
    assert 500 < resources.train_mem_mb(0) < 4000


def test_time_grows_with_the_work():
    base = resources.train_minutes(60_000, PUBLISHED, TRAINING)
    assert resources.train_minutes(120_000, PUBLISHED, TRAINING) > 1.8 * base
    assert resources.train_minutes(60_000, PUBLISHED, TRAINING | {"epochs": 400}) > 1.8 * base
    assert resources.train_minutes(60_000, PUBLISHED | {"filters": 200}, TRAINING) > 3 * base
    assert resources.train_minutes(60_000, PUBLISHED, TRAINING, threads=4) < 0.5 * base
    assert resources.train_minutes(60_000, PUBLISHED, TRAINING) >= 60_000 * 200 * 106e6 / 1e11 / 60


def test_the_number_of_spectra_is_estimated_from_the_size_of_their_file(tmp_path):
    import numpy as np

    n = 3000
    columns = {name: np.zeros(n) for name in ("z", "label", "bal", "target_id", "snr")}
    Spectra(np.zeros((n, 443)), **columns).save(tmp_path / "spectra.h5")
    size_mb = (tmp_path / "spectra.h5").stat().st_size / 2**20
    assert resources.spectra_in_file(size_mb) == pytest.approx(n, rel=0.03)
