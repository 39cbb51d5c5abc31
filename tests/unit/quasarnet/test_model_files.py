"""Keras files: the same model gives the same bytes, and they are opened by Keras as ever."""

import time

import keras
import numpy as np

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.model_files import load_keras, read_about, save_keras

ABOUT = {"lines": ["LYA"], "bal_lines": [], "name": "s/f0.8_r0/adam final"}


def make(seed):
    keras.utils.set_random_seed(seed)
    return network.build(filters=3, n_lines=1)


def test_the_same_model_gives_the_same_bytes_whenever_it_is_saved(tmp_path):
    model = make(1)
    save_keras(model, tmp_path / "first.keras", ABOUT)
    # dates in archives are even seconds: wait for the next one
    time.sleep(2.01 - time.time() % 2)
    # another object, at another place in memory
    again = make(1)
    save_keras(again, tmp_path / "second.keras", ABOUT)
    save_keras(make(2), tmp_path / "other.keras", ABOUT)
    first, second, other = ((tmp_path / f"{name}.keras").read_bytes() for name in ("first", "second", "other"))
    assert first == second != other


def test_keras_opens_it_in_safe_mode(tmp_path):
    model = make(1)
    save_keras(model, tmp_path / "model.keras", ABOUT)
    loaded = load_keras(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(4, 443, 1)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert read_about(tmp_path / "model.keras") == ABOUT
