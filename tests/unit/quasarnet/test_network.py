"""The network against a forward pass written out in float64, with random and with real weights."""

import math

import h5py
import keras
import numpy as np
import pytest

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.network import build, head_slices
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.quasarnet.task import QuasarNet
from quasarcurves.steps.build import build_model

LINES = ["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"]
SETTINGS = NetworkSettings(filters=8, layers=4, boxes=13, lines=tuple(LINES), bal_lines=("CIV(1548)",))


def weights_of(model):
    """Weights by `layer/variable`, float64."""
    return {
        f"{layer.name}/{weight.name}": np.asarray(weight, np.float64)
        for layer in model.layers
        for weight in layer.weights
        if weight.name != "seed_generator_state"
    }


def normalised(x, weights, name):
    scale = weights[f"{name}/gamma"] / np.sqrt(weights[f"{name}/moving_variance"] + 1e-3)
    return (x - weights[f"{name}/moving_mean"]) * scale + weights[f"{name}/beta"]


def convolved(x, kernel, bias):
    """Width 10, stride 2, no padding: (n, length, channels) -> (n, (length - 10) // 2 + 1, filters)."""
    length = (x.shape[1] - 10) // 2 + 1
    places = [np.tensordot(x[:, 2 * t : 2 * t + 10], kernel, axes=([1, 2], [0, 1])) for t in range(length)]
    return np.stack(places, axis=1) + bias


def forward(x, weights, boxes=13, layers=4):
    """Outputs (n, L, 2B) in float64."""
    for i in range(1, layers + 1):
        x = convolved(x, weights[f"conv_{i}/kernel"], weights[f"conv_{i}/bias"])
        x = np.maximum(normalised(x, weights, f"norm_{i}"), 0)
    x = x.reshape(len(x), -1) @ weights["fc_common/kernel"] + weights["fc_common/bias"]
    x = np.maximum(normalised(x, weights, "norm_common"), 0)
    x = x @ weights["heads/kernel"] + weights["heads/bias"]
    x = 1 / (1 + np.exp(-x.reshape(len(x), -1, 2 * boxes)))
    x[..., boxes:] = -0.1 + 1.2 * x[..., boxes:]
    return x


def randomise(model, seed=0):
    """Give every weight a random value, the moving statistics included."""
    rng = np.random.default_rng(seed)
    ranges = {"gamma": (0.5, 1.5), "moving_variance": (0.5, 2.0)}
    for layer in model.layers:
        for weight in layer.weights:
            limit = math.sqrt(3 / max(1, math.prod(weight.shape[:-1])))
            low, high = ranges.get(weight.name, (-limit, limit))
            weight.assign(rng.uniform(low, high, weight.shape))


def spectra(n=5, seed=1):
    return np.random.default_rng(seed).normal(size=(n, 443, 1)).astype(np.float32)


def outputs_of(model, x):
    return np.asarray(model(x, training=False))


@pytest.fixture(scope="module")
def small():
    """A network of 25 filters with random weights."""
    model = build(filters=25)
    randomise(model)
    return model


def test_outputs_have_the_right_shape_and_range(small):
    model = keras.models.clone_model(small)
    randomise(model, seed=3)
    # large weights drive the outputs to both ends of their ranges
    model.get_layer("heads").kernel.assign(60 * model.get_layer("heads").kernel)
    outputs = outputs_of(model, spectra(40))
    assert outputs.shape == (40, 7, 26)
    boxes, offsets = outputs[..., :13], outputs[..., 13:]
    for values, low, high in ((boxes, 0, 1), (offsets, -0.1, 1.1)):
        assert values.min() >= low - 1e-6
        assert values.max() <= high + 1e-6
        assert values.min() < low + 0.01
        assert values.max() > high - 0.01


@pytest.mark.parametrize(("boxes", "n_lines"), [(13, 7), (5, 2), (1, 1)])
def test_the_shape_of_outputs_follows_boxes_and_lines(boxes, n_lines):
    assert build(filters=4, boxes=boxes, n_lines=n_lines).output_shape == (None, n_lines, 2 * boxes)


def test_the_number_of_weights_is_that_of_the_published_network(small, survey):
    # bins left by the four convolutions: 217, 104, 48, 20; a normalisation has four numbers per channel
    convolutions = (10 * 25 + 25) + 3 * (10 * 25 * 25 + 25) + 4 * 4 * 25
    common = 20 * 25 * 25 + 25 + 4 * 25
    heads = 7 * 2 * (25 * 13 + 13)
    assert small.count_params() == convolutions + common + heads
    counted = []
    with h5py.File(survey / "desi" / "test_weights.h5") as file:
        file["model_weights"].visititems(
            lambda name, item: counted.append(item.size) if isinstance(item, h5py.Dataset) else None
        )
    assert small.count_params() == sum(counted)


def test_more_than_four_layers_are_padded():
    lengths = {4: [217, 104, 48, 20], 6: [222, 111, 56, 28, 14, 7], 8: [222, 111, 56, 28, 14, 7, 4, 2]}
    for layers, expected in lengths.items():
        model = build(filters=4, layers=layers)
        convolutions = [model.get_layer(f"conv_{i}") for i in range(1, layers + 1)]
        assert [layer.output.shape[1] for layer in convolutions] == expected
        assert {layer.padding for layer in convolutions} == {"same" if layers > 4 else "valid"}
        assert model.get_layer("fc_common").kernel.shape == (4 * expected[-1], 4)


def test_initial_weights_are_those_of_separate_heads():
    keras.utils.set_random_seed(2)
    weights = weights_of(build(filters=25))
    kernel, limit = weights["heads/kernel"], math.sqrt(6 / (25 + 13))
    assert np.abs(kernel).max() <= limit
    for group in head_slices(13, 7):
        for units in group:
            # 325 numbers: their largest and their spread are near those of a uniform draw
            assert np.abs(kernel[:, units]).max() > 0.97 * limit
            assert kernel[:, units].std() == pytest.approx(limit / math.sqrt(3), rel=0.12)
    for i, channels in enumerate((1, 25, 25, 25), start=1):
        limit = math.sqrt(6 / (10 * channels + 10 * 25))
        assert 0.95 * limit < np.abs(weights[f"conv_{i}/kernel"]).max() <= limit
    assert not any(values.any() for name, values in weights.items() if name.endswith(("bias", "beta", "mean")))


def test_the_same_seed_and_replicate_give_the_same_weights():
    first, again = (weights_of(build_model(QuasarNet(SETTINGS), 5, 1)) for _ in range(2))
    assert first.keys() == again.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    for seed, replicate in ((6, 1), (5, 0)):
        other = weights_of(build_model(QuasarNet(SETTINGS), seed, replicate))
        for name, values in first.items():
            assert not name.endswith("kernel") or (values != other[name]).mean() > 0.99


@pytest.mark.parametrize(("boxes", "n_lines"), [(13, 7), (3, 1), (1, 4)])
def test_head_slices_divide_the_units_among_the_heads(boxes, n_lines):
    box, offset = head_slices(boxes, n_lines)
    assert len(box) == len(offset) == n_lines
    units = np.arange(2 * boxes * n_lines)
    parts = [units[each] for each in box + offset]
    assert {len(part) for part in parts} == {boxes}
    assert sorted(np.concatenate(parts)) == list(units)


@pytest.mark.parametrize("line", [0, 3, 6])
@pytest.mark.parametrize("head", [0, 1])
def test_each_head_drives_its_own_outputs(small, line, head):
    model = keras.models.clone_model(small)
    model.set_weights(small.get_weights())
    before = outputs_of(model, spectra())
    bias = model.get_layer("heads").bias.numpy()
    bias[head_slices(13, 7)[head][line]] += 1
    model.get_layer("heads").bias.assign(bias)
    change = outputs_of(model, spectra()) - before
    changed = np.zeros((7, 26), bool)
    changed[line, 13 * head : 13 * head + 13] = True
    assert (change[:, changed] > 0).all()
    assert not change[:, ~changed].any()


@pytest.mark.parametrize("seed", range(3))
def test_outputs_equal_a_forward_pass_in_float64(small, seed):
    model = keras.models.clone_model(small)
    randomise(model, seed)
    x = spectra(6, seed)
    expected = forward(x.astype(np.float64), weights_of(model))
    np.testing.assert_allclose(outputs_of(model, x), expected, rtol=0, atol=1e-5)
    assert expected[..., :13].std() > 0.05


def test_offsets_reach_from_0_to_1_where_they_are_not_rescaled(small):
    model = build(filters=25, rescale_offsets=False)
    model.set_weights(small.get_weights())
    expected = forward(spectra().astype(np.float64), weights_of(small))
    expected[..., 13:] = (expected[..., 13:] + 0.1) / 1.2
    np.testing.assert_allclose(outputs_of(model, spectra()), expected, rtol=0, atol=1e-5)


def test_dropout_changes_training_only():
    keras.utils.set_random_seed(1)
    model = build(filters=8, dropout=0.5)
    randomise(model)
    x = spectra()
    expected = forward(x.astype(np.float64), weights_of(model))
    np.testing.assert_allclose(outputs_of(model, x), expected, rtol=0, atol=1e-5)
    one, other = (np.asarray(model(x, training=True)) for _ in range(2))
    assert (one != other).any()


def test_a_saved_model_loads_in_safe_mode_and_gives_the_same_outputs(small, tmp_path):
    small.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(outputs_of(loaded, spectra()), outputs_of(small, spectra()))
    assert loaded.count_params() == small.count_params()


def read_keras2_weights(path):
    """The weights of a file of Keras 2 under the names of this model's layers."""
    with h5py.File(path) as file:
        group = file["model_weights"]
        read = {
            layer: {key.removesuffix(":0"): np.array(item) for key, item in group[layer][layer].items()}
            for layer in group
            if layer in group[layer]
        }
    weights = {f"conv_{i}": read[f"conv_{i}"] for i in range(1, 5)}
    weights["fc_common"] = read["fc_common"]
    for i, name in enumerate(["norm_1", "norm_2", "norm_3", "norm_4", "norm_common"]):
        weights[name] = read["batch_normalization" + (f"_{i}" if i else "")]
    joint = {"kernel": np.zeros((25, 182), np.float32), "bias": np.zeros(182, np.float32)}
    for kind, slices in zip(("box", "offset"), head_slices(13, 7), strict=True):
        for k, units in enumerate(slices):
            for variable, values in joint.items():
                values[..., units] = read[f"fc_{kind}_{k}"][variable]
    return weights | {network.HEADS: joint}


def test_weights_of_a_file_on_spectra(survey):
    model = build(filters=25)
    weights = read_keras2_weights(survey / "desi" / "test_weights.h5")
    assert weights.keys() == {layer.name for layer in model.layers if layer.weights}
    for layer, variables in weights.items():
        own = {weight.name: weight for weight in model.get_layer(layer).weights}
        assert own.keys() == variables.keys()
        for name, values in variables.items():
            own[name].assign(values)
    x = np.load(survey / "desi" / "coadd_x.npy")
    outputs = outputs_of(model, x[..., None].astype(np.float32))
    expected = forward(x[..., None], weights_of(model))
    assert np.isfinite(outputs).all()
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5)
    # the network is sure of what it says
    confidence = outputs[..., :13].max(axis=-1)
    assert ((confidence > 0.9) | (confidence < 0.1)).mean() > 0.8
    assert (confidence[:, :6].max(axis=1) > 0.9).any()


def test_mixed_precision_keeps_weights_and_outputs_in_float32():
    plain, mixed = build(8), build(8, precision="mixed_bfloat16")
    mixed.set_weights(plain.get_weights())
    assert {str(weight.dtype) for weight in mixed.weights} == {"float32"}
    assert mixed.get_layer("conv_2").compute_dtype == "bfloat16"
    x = np.random.default_rng(0).normal(size=(20, 443, 1)).astype(np.float32)
    outputs = np.asarray(mixed(x)), np.asarray(plain(x))
    assert outputs[0].dtype == np.float32
    assert 0 < np.abs(outputs[0] - outputs[1]).max() < 0.02
