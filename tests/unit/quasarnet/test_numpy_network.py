"""A network applied with numpy alone says what Keras says of the same file."""

import json
import zipfile

import keras
import numpy as np
import pytest

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.loss import quasarnet_loss
from quasarcurves.quasarnet.loss_formula import line_losses
from quasarcurves.quasarnet.numpy_network import NumpyNetwork

SIZES = {
    "default": {},
    "as published": {"filters": 100},
    "padded": {"layers": 6},
    "two layers": {"layers": 2},
    "dropout": {"dropout": 0.2},
    "other heads": {"boxes": 5, "n_lines": 2},
    "offsets not rescaled": {"rescale_offsets": False},
}


def saved(path, **size):
    """Save a network whose weights and moving statistics are all away from where they start."""
    model = network.build(**{"filters": 4, **size})
    rng = np.random.default_rng(3)
    for variable in model.weights:
        low = 0.5 if "variance" in variable.path else -0.5
        variable.assign(rng.uniform(low, low + 1, variable.shape) * (0.3 if "kernel" in variable.path else 1))
    model.save(path)
    return model


def noise(n):
    return np.random.default_rng(4).standard_normal((n, 443), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_outputs_are_those_of_keras(tmp_path, name):
    model = saved(tmp_path / "model.keras", **SIZES[name])
    flux = noise(150)  # more than are applied at a time
    outputs = NumpyNetwork.load(tmp_path / "model.keras")(flux)
    expected = model.predict(flux[..., None], verbose=0)
    assert outputs.dtype == np.float32
    assert outputs.std() > 0.05
    np.testing.assert_allclose(outputs, expected, rtol=2e-4, atol=2e-6)


def test_any_number_of_spectra(tmp_path):
    saved(tmp_path / "model.keras")
    applied = NumpyNetwork.load(tmp_path / "model.keras")
    outputs = applied(noise(300))
    assert applied(noise(0)).shape == (0, 7, 26)
    for n in (1, 128, 129):
        np.testing.assert_allclose(applied(noise(300)[:n]), outputs[:n], rtol=1e-5, atol=1e-7)


def test_small_probabilities_are_kept(tmp_path):
    """The loss takes their logarithm down to 1e-7."""
    model = saved(tmp_path / "model.keras", rescale_offsets=False)
    bias = np.linspace(-200, 200, model.get_layer("heads").bias.shape[0], dtype=np.float32)
    model.get_layer("heads").bias.assign(bias)
    model.save(tmp_path / "model.keras")
    outputs, expected = NumpyNetwork.load(tmp_path / "model.keras")(noise(3)), model.predict(noise(3)[..., None])
    assert ((expected > 1e-9) & (expected < 1e-6)).any()
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-37)


def test_other_weights_of_the_same_network(tmp_path):
    one, other = (saved(tmp_path / f"{name}.keras") for name in ("one", "other"))
    other.set_weights([weight + 0.1 for weight in one.get_weights()])
    weights = {variable.path: np.array(variable) for variable in other.weights}
    applied = NumpyNetwork.load(tmp_path / "one.keras").with_weights(weights)
    np.testing.assert_allclose(applied(noise(9)), other.predict(noise(9)[..., None], verbose=0), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match=r"^weights conv_1/bias are not the network's$"):
        applied.with_weights({name: weight for name, weight in weights.items() if name != "conv_1/bias"})


def test_strange_files_are_refused(tmp_path):
    text = tmp_path / "text.keras"
    text.write_text("no network")
    with pytest.raises(ValueError, match="cannot be read as a network of Keras"):
        NumpyNetwork.load(text)
    x = keras.Input((443, 1))
    keras.Model(x, keras.layers.LayerNormalization(name="other")(x)).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="layer 'other' is none of QuasarNET as built here"):
        NumpyNetwork.load(tmp_path / "other.keras")


@pytest.mark.parametrize("change", [{"activation": "tanh"}, {"use_bias": False}])
def test_layers_with_other_settings_are_refused(tmp_path, change):
    saved(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == "fc_common")["config"] |= change
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "changed.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="layer 'fc_common' is none of QuasarNET as built here"):
        NumpyNetwork.load(tmp_path / "changed.keras")


def test_the_loss_is_the_same_in_numpy():
    rng = np.random.default_rng(5)
    box = (rng.random((50, 7, 13)) < 0.1).astype(np.float32)
    y_true = np.concatenate([box, box * rng.random(box.shape, np.float32)], axis=-1)
    y_pred = rng.random((50, 7, 26), np.float32)
    y_pred[:5] = np.round(y_pred[:5])  # 0 and 1: clipped
    losses = line_losses(y_true, y_pred, np)
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses, quasarnet_loss(y_true, y_pred), rtol=2e-5)
