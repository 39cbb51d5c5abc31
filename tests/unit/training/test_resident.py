"""Arrays on the device: not copied where that can be helped, the same numbers in any case."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from quasarcurves.spectra.row_reader import aligned_empty
from quasarcurves.training import optimizers
from quasarcurves.training.backends.tensorflow import resident
from quasarcurves.training.loop import Trainer
from quasarcurves.training.plan import Learner, Plan

needs_cpu = pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="a GPU has memory of its own")


def noise(shape, seed=0):
    array = aligned_empty(shape)
    array[:] = np.random.default_rng(seed).normal(size=shape)
    return array


def shares_memory(tensor, array):
    before = array.flat[0]
    array.flat[0] = before + 1
    shared = tensor.numpy().flat[0] == before + 1
    array.flat[0] = before
    return shared


def unaligned(array):
    memory = np.empty(array.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + 16
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[:] = array
    return copy


@needs_cpu
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (1, 5, 1)])
def test_an_aligned_array_is_shared(shape):
    array = noise(shape)
    tensor = resident(array)
    assert shares_memory(tensor, array)
    np.testing.assert_array_equal(tensor.numpy(), array, strict=True)


@needs_cpu
def test_an_extra_axis_costs_no_copy():
    array = noise((6, 5))
    assert shares_memory(resident(array[..., None]), array)


def test_memory_lives_as_long_as_its_tensor():
    array = noise((1000, 1000))
    expected, tensor = array.copy(), resident(array)
    del array
    for seed in range(3):
        noise((1000, 1000), seed)
    np.testing.assert_array_equal(tensor.numpy(), expected)


@pytest.mark.parametrize(
    "change",
    [
        unaligned,
        lambda array: array[::2],
        np.asfortranarray,
        lambda array: array[:0],
        lambda array: array.astype(np.int8),
    ],
)
def test_other_arrays_give_the_same_numbers(change):
    array = change(noise((6, 5)))
    np.testing.assert_array_equal(resident(array).numpy(), array, strict=True)


def test_an_array_that_cannot_be_shared_is_copied():
    array = unaligned(noise((6, 5)))
    assert not shares_memory(resident(array), array)
    read_only = noise((6, 5))
    read_only.flags.writeable = False
    np.testing.assert_array_equal(resident(read_only).numpy(), read_only)


def losses(data):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)])
    learner = Learner(
        model, optimizers.build({"class": "Adam", "learning_rate": 1e-2}), lambda y, t: (y - t) ** 2, ["a", "b"]
    )
    plan = Plan(epochs=3, batch_size=4, order=lambda epoch: np.random.default_rng(epoch).permutation(11))
    trainer = Trainer(learner, plan, data)
    trainer.train()
    return trainer.record.epochs["loss"]


def test_a_training_is_the_same_whether_data_are_shared_or_copied():
    data = noise((11, 5), 1), noise((11, 2), 2)
    assert losses(data) == losses([unaligned(array) for array in data])
