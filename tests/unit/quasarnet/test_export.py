"""QuasarNP's layout: files against a forward pass in float64 that reads them by QuasarNP's rules."""

import json
import marshal
import math
import pickle
import shutil

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.quasarnet.export import from_quasarnp, read_about, read_grid, to_quasarnp
from quasarcurves.quasarnet.network import build
from quasarcurves.quasarnet.objective import LINES
from quasarcurves.quasarnet.trained_network import BAL_LINES, Trained
from quasarcurves.spectra.grid import GRIDS, Grid
from support import keras2_weights


def read_as_quasarnp(path):
    """Weights and settings of the convolutions, taken from a file as `quasarnp.io.load_file` does."""
    weights = {}
    with h5py.File(path) as file:
        from_zero = "batch_normalization" in file["model_weights"]
        for name, group in file["model_weights"].items():
            if not len(group):
                if name == "lambda":
                    weights[name] = {}
                continue
            if name.startswith("batch_normalization") and from_zero:
                number = 1 if name == "batch_normalization" else int(name[-1]) + 1
                name_of_rule = f"batch_normalization_{number}"
            else:
                name_of_rule = name
            # the last two characters of a name are `:0`
            weights[name_of_rule] = {key[:-2]: np.float64(data[()]) for key, data in group[name].items()}
        layers = [layer["config"] for layer in json.loads(file.attrs["model_config"])["config"]["layers"]]
    convolutions = {layer["name"]: layer for layer in layers if layer["name"].startswith("conv_")}
    return weights, convolutions


def convolved(x, kernel, bias, padding, stride):
    """(n, length, channels) -> (n, out, filters); "same" as TensorFlow defines it for strides."""
    n, length, channels = x.shape
    width = len(kernel)
    out = math.ceil(length / stride) if padding == "same" else (length - width) // stride + 1
    padded = np.zeros((n, (out - 1) * stride + width, channels))
    left = max((out - 1) * stride + width - length, 0) // 2 if padding == "same" else 0
    end = min(length, padded.shape[1] - left)
    padded[:, left : left + end] = x[:, :end]
    places = [np.einsum("nwc,wcf->nf", padded[:, stride * t : stride * t + width], kernel) for t in range(out)]
    return np.stack(places, axis=1) + bias


def normalised(x, norm):
    scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + 1e-3)
    return np.maximum((x - norm["moving_mean"]) * scale + norm["beta"], 0)


def dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def forward(path, x):
    """Outputs (n, L, 2B) of the network in a file, in float64."""
    weights, convolutions = read_as_quasarnp(path)
    layers = sum(name.startswith("conv") for name in weights)
    for i in range(1, layers + 1):
        how = convolutions[f"conv_{i}"]
        x = convolved(x, *(weights[f"conv_{i}"][key] for key in ("kernel", "bias")), how["padding"], how["strides"][0])
        x = normalised(x, weights[f"batch_normalization_{i}"])
    x = normalised(dense(x.reshape(len(x), -1), weights["fc_common"]), weights[f"batch_normalization_{layers + 1}"])
    lines = []
    for k in range(sum(name.startswith("fc_box") for name in weights)):
        box, offset = (1 / (1 + np.exp(-dense(x, weights[f"fc_{kind}_{k}"]))) for kind in ("box", "offset"))
        lines.append(np.concatenate([box, -0.1 + 1.2 * offset if "lambda" in weights else offset], axis=1))
    return np.stack(lines, axis=1)


def random_model(seed, **size):
    """A network with every weight at random, the moving statistics included."""
    model, rng = build(**size), np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            if weight.name != "seed_generator_state":
                low, high = (0.5, 1.5) if weight.name in ("gamma", "moving_variance") else (-0.3, 0.3)
                weight.assign(rng.uniform(low, high, weight.shape))
    return model


def spectra(n=3, seed=1):
    return np.random.default_rng(seed).normal(size=(n, 443, 1)).astype(np.float32)


def outputs_of(model, x):
    return np.asarray(model(x.astype(np.float32), training=False))


def weights_of(model):
    return {
        f"{layer.name}/{weight.name}": weight.numpy()
        for layer in model.layers
        for weight in layer.weights
        if weight.name != "seed_generator_state"
    }


def assert_equal_models(one, other):
    expected, found = weights_of(one), weights_of(other)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    x = spectra()
    np.testing.assert_array_equal(outputs_of(other, x), outputs_of(one, x))


@pytest.fixture
def weights_file(survey):
    """A network as Keras 2.4 saved it."""
    return survey / "desi" / "test_weights.h5"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A written file of a network of 4 filters, and the network."""
    path, model = tmp_path_factory.mktemp("export") / "small.h5", random_model(7, filters=4)
    to_quasarnp(model, path)
    return path, model


def test_a_file_of_keras_2_gives_what_it_says_by_hand(weights_file, survey):
    x = np.load(survey / "desi" / "coadd_x.npy")[..., None]
    outputs = outputs_of(from_quasarnp(weights_file), x)
    assert outputs.shape == (24, 7, 26)
    np.testing.assert_allclose(outputs, forward(weights_file, x), rtol=0, atol=1e-5)
    # the network is sure of what it says
    confidence = outputs[..., :13].max(axis=-1)
    assert ((confidence > 0.9) | (confidence < 0.1)).mean() > 0.8


@pytest.mark.parametrize("layers", [1, 4, 5, 6, 8])
def test_a_written_file_gives_what_it_says_by_hand(tmp_path, layers):
    model, x = random_model(layers, filters=5, layers=layers, boxes=6, n_lines=3), spectra()
    to_quasarnp(model, tmp_path / "network.h5")
    expected = forward(tmp_path / "network.h5", x.astype(np.float64))
    assert expected[..., :6].std() > 0.01
    np.testing.assert_allclose(outputs_of(model, x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("which", GRIDS.values(), ids=GRIDS)
def test_a_file_says_its_grid(tmp_path, which):
    model, path = random_model(2, filters=5, bins=which.n), tmp_path / "network.h5"
    to_quasarnp(model, path)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["model_grid"][:], which.wavelength)
        assert file.attrs["grid_spacing"] == which.spacing
    assert read_grid(path) == which
    assert from_quasarnp(path).input_shape == (None, which.n, 1)
    x = np.random.default_rng(1).normal(size=(3, which.n, 1))
    np.testing.assert_allclose(outputs_of(from_quasarnp(path), x), forward(path, x), rtol=0, atol=1e-5)


def test_any_grid_of_constant_spacing_is_that_of_a_network(tmp_path):
    path = tmp_path / "network.h5"
    with pytest.raises(ValueError, match=r"no grid has 300 bins, expected 443 or 458"):
        to_quasarnp(random_model(2, filters=3, bins=300), path)
    made = Grid("linear", 3500.0, 20.0, 300)
    to_quasarnp(random_model(2, filters=3, bins=300), path, grid=made)
    assert read_grid(path) == made
    assert from_quasarnp(path).input_shape == (None, 300, 1)
    with pytest.raises(ValueError, match=r"takes 443 bins, the grid has 300 bins of 20 Angstrom from 3500"):
        to_quasarnp(random_model(2, filters=3), path, grid=made)


def test_padding_at_both_ends_counts(tmp_path):
    """A pulse at each end of the spectrum: where strided "same" puts its zeros is seen in every output."""
    model = random_model(3, filters=5, layers=6)
    to_quasarnp(model, tmp_path / "network.h5")
    x = np.zeros((4, 443, 1))
    x[[0, 1, 2, 3], [0, 1, 441, 442]] = 50
    np.testing.assert_allclose(outputs_of(model, x), forward(tmp_path / "network.h5", x), rtol=0, atol=1e-5)


@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    size=st.fixed_dictionaries(
        {
            "filters": st.integers(1, 9),
            "layers": st.sampled_from([4, 6, 1, 8]),
            "boxes": st.integers(1, 14),
            "n_lines": st.integers(1, 11),
            "dropout": st.sampled_from([0.0, 0.25]),
            "rescale_offsets": st.booleans(),
        }
    ),
    seed=st.integers(0, 99),
)
def test_export_then_import_is_the_identity(tmp_path_factory, size, seed):
    path, model = tmp_path_factory.mktemp("identity") / "network.h5", random_model(seed, **size)
    to_quasarnp(model, path)
    again = from_quasarnp(path)
    assert_equal_models(model, again)
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
    rates = [
        [layer.rate for layer in each.layers if isinstance(layer, keras.layers.Dropout)] for each in (model, again)
    ]
    assert rates[0] == rates[1] == ([size["dropout"]] * size["layers"] if size["dropout"] else [])


@pytest.mark.parametrize(("filters", "layers"), [(25, 4), (100, 4), (25, 6)])
def test_networks_of_the_published_sizes_come_back(tmp_path, filters, layers):
    model = random_model(filters, filters=filters, layers=layers)
    to_quasarnp(model, tmp_path / "network.h5")
    assert_equal_models(model, from_quasarnp(tmp_path / "network.h5"))


def test_import_then_export_gives_a_file_of_keras_2_again(weights_file, tmp_path):
    to_quasarnp(from_quasarnp(weights_file), tmp_path / "again.h5")
    with h5py.File(weights_file) as file, h5py.File(tmp_path / "again.h5") as again:
        expected, found = file["model_weights"], again["model_weights"]
        names = {}
        for key, group in (("expected", expected), ("found", found)):
            names[key] = []
            group.visit(names[key].append)
        assert names["found"] == names["expected"]
        assert found.attrs["layer_names"].tolist() == expected.attrs["layer_names"].tolist()
        for name in names["expected"]:
            if isinstance(expected[name], h5py.Dataset):
                np.testing.assert_array_equal(found[name][()], expected[name][()])
                assert found[name].dtype == expected[name].dtype
            elif "weight_names" in expected[name].attrs:
                assert found[name].attrs["weight_names"].tolist() == expected[name].attrs["weight_names"].tolist()
        real, written = (json.loads(each.attrs["model_config"])["config"] for each in (file, again))
        assert written["output_layers"] == real["output_layers"]
        assert [layer["name"] for layer in written["layers"]] == [layer["name"] for layer in real["layers"]]
        assert [layer["inbound_nodes"] for layer in written["layers"]] == [
            layer["inbound_nodes"] for layer in real["layers"]
        ]


@pytest.mark.parametrize("layers", [4, 6])
def test_keras_itself_opens_a_written_file_in_safe_mode(tmp_path, layers):
    model, x = random_model(layers, filters=5, layers=layers, dropout=0.1), spectra()
    to_quasarnp(model, tmp_path / "network.h5")
    opened = keras.models.load_model(tmp_path / "network.h5", compile=False, safe_mode=True)
    outputs = np.stack([np.asarray(line) for line in opened([x], training=False)], axis=1)
    np.testing.assert_allclose(outputs, outputs_of(model, x), rtol=0, atol=1e-6)


def test_normalisations_counted_from_one_are_read_alike(small, tmp_path):
    path, model = small
    shutil.copy(path, tmp_path / "network.h5")
    with h5py.File(tmp_path / "network.h5", "r+") as file:
        group = file["model_weights"]
        for number in range(4, -1, -1):
            old = f"batch_normalization_{number}" if number else "batch_normalization"
            new = f"batch_normalization_{number + 1}"
            group.move(old, new)
            group[new].move(old, new)
        text = file.attrs["model_config"]
        for number in range(4, -1, -1):
            old = f"batch_normalization_{number}" if number else "batch_normalization"
            text = text.replace(f'"{old}"', f'"batch_normalization_{number + 1}"')
        file.attrs["model_config"] = text
    assert_equal_models(model, from_quasarnp(tmp_path / "network.h5"))


def test_without_lambda_offsets_are_not_rescaled(tmp_path):
    model, x = random_model(2, filters=4, rescale_offsets=False), spectra()
    to_quasarnp(model, tmp_path / "network.h5")
    with h5py.File(tmp_path / "network.h5") as file:
        assert "lambda" not in file["model_weights"]
    outputs = outputs_of(from_quasarnp(tmp_path / "network.h5"), x)
    np.testing.assert_allclose(outputs, forward(tmp_path / "network.h5", x.astype(np.float64)), rtol=0, atol=1e-5)
    rescaled = build(filters=4)
    rescaled.set_weights(model.get_weights())
    np.testing.assert_allclose(outputs_of(rescaled, x)[..., 13:], -0.1 + 1.2 * outputs[..., 13:], rtol=0, atol=1e-6)


def test_what_the_configuration_says_counts_not_the_names_of_layers(weights_file, tmp_path):
    """Where layers have numbers from elsewhere, as if other networks had been built before."""
    shutil.copy(weights_file, tmp_path / "network.h5")
    with h5py.File(tmp_path / "network.h5", "r+") as file:
        names = [name for name in file["model_weights"] if name.startswith("lambda")]
        text = file.attrs["model_config"]
        for number, name in enumerate(names, start=7):
            file["model_weights"].move(name, f"other_{number}")
            text = text.replace(f'"{name}"', f'"other_{number}"')
        file.attrs["model_config"] = text
    assert len(names) == 7
    assert_equal_models(from_quasarnp(weights_file), from_quasarnp(tmp_path / "network.h5"))
    with h5py.File(tmp_path / "network.h5", "r+") as file:
        file["model_weights"].create_group("lambda")
        file.attrs["model_config"] = text.replace('"class_name": "Lambda"', '"class_name": "Activation"')
    x = spectra()
    plain, rescaled = (outputs_of(from_quasarnp(path), x) for path in (tmp_path / "network.h5", weights_file))
    boxes = plain.shape[-1] // 2
    np.testing.assert_allclose(rescaled[..., boxes:], -0.1 + 1.2 * plain[..., boxes:], rtol=0, atol=1e-6)


def as_the_training_script(activation=None, scaled=None, between=None, conv=None):
    """Build the layers of the training script that QuasarNET is published with, in today's Keras, or others."""
    layers = keras.layers
    activation = activation or (lambda: layers.Activation("relu"))
    scaled = scaled or (lambda: layers.Rescaling(1.2, -0.1))
    x = image = keras.Input((443, 1))
    for i in range(1, 5):
        x = layers.Conv1D(4, 10, strides=2, name=f"conv_{i}", **(conv or {}))(x)
        x = layers.BatchNormalization(name=f"batch_normalization_{i}")(x)
        x = layers.Dropout(0.2)(activation()(x))
    if between:
        x = between()(x)
    x = layers.Dense(4, name="fc_common")(layers.Flatten()(x))
    x = activation()(layers.BatchNormalization(name="batch_normalization_5")(x))
    outputs = []
    for k in range(7):
        offset = scaled()(layers.Dense(13, activation="sigmoid", name=f"fc_offset_{k}")(x))
        outputs.append(layers.Concatenate()([layers.Dense(13, activation="sigmoid", name=f"fc_box_{k}")(x), offset]))
    model = keras.Model(image, outputs)
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.1, 0.5, each.shape) if each.ndim else each for each in model.get_weights()])
    return model


@pytest.mark.parametrize("name", ["network.h5", "network.keras"])
@pytest.mark.parametrize("scaled", ["Rescaling", "Lambda"])
def test_a_network_that_keras_3_has_saved_is_read(tmp_path, name, scaled):
    """With seven outputs; the code of a Lambda is not run, which safe mode would refuse."""
    model = as_the_training_script(
        scaled=(lambda: keras.layers.Lambda(lambda x: -0.1 + x * 1.2)) if scaled == "Lambda" else None
    )
    model.save(tmp_path / name)
    flux = spectra()
    expected = np.stack([np.asarray(each) for each in model(flux[..., None])], axis=1)
    found = Trained.load(tmp_path / name)
    np.testing.assert_allclose(outputs_of(found.model, flux), expected, rtol=0, atol=1e-5)
    assert ([*found.lines, *found.bal_lines], found.name) == ([*LINES, *BAL_LINES], name)
    found.save(tmp_path / "again.h5")
    np.testing.assert_allclose(forward(tmp_path / "again.h5", flux.astype(np.float64)), expected, rtol=0, atol=1e-5)


OTHER_LAYERS = {
    "activation": (
        {"activation": lambda: keras.layers.Activation("tanh")},
        r"activation_?\d* has activation 'tanh', expected 'relu'",
    ),
    "clipped": ({"activation": lambda: keras.layers.ReLU(6)}, r"has max_value 6.*, expected None"),
    "leaky": (
        {"activation": keras.layers.LeakyReLU},
        r"to fc_box_0 lead .*batch_normalization_1, LeakyReLU.*; expected .*Activation",
    ),
    "one more": (
        {"between": lambda: keras.layers.LayerNormalization(center=False, scale=False)},
        r"lead .*LayerNormalization.*; expected",
    ),
    "twice": ({"conv": {"activation": "elu"}}, r"conv_1 has activation 'elu', expected 'linear'"),
    "no biases": ({"conv": {"use_bias": False}}, r"conv_1.*bias"),
    "scale": ({"scaled": lambda: keras.layers.Rescaling(1.1, -0.1)}, r"has scale and offset \(1\.1, -0\.1\)"),
}
"""Arguments of `as_the_training_script`, and the message."""


@pytest.mark.parametrize("name", ["network.h5", "network.keras"])
@pytest.mark.parametrize("other", OTHER_LAYERS)
def test_other_layers_between_the_same_weights_are_refused(tmp_path, name, other):
    other, message = OTHER_LAYERS[other]
    as_the_training_script(**other).save(tmp_path / name)
    with pytest.raises(ValueError, match=rf"(?s)^{tmp_path}/{name}: .*{message}"):
        from_quasarnp(tmp_path / name)


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_weights_of_random_networks_are_read_in_any_byte_order(tmp_path, byte_order):
    weights = keras2_weights.random_weights(4, filters=6, boxes=5, lines=3)
    keras2_weights.write_weights(tmp_path / "network.h5", weights, dropout=0.1, byte_order=byte_order)
    model, x = from_quasarnp(tmp_path / "network.h5"), spectra()
    expected = forward(tmp_path / "network.h5", x.astype(np.float64))
    assert expected.shape == (3, 3, 10)
    assert expected[..., :5].std() > 0.01
    np.testing.assert_allclose(outputs_of(model, x), expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(weights_of(model)["conv_3/kernel"], weights["conv_3"]["kernel"])
    assert {layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)} == {0.1}


def test_what_is_told_of_a_network_is_kept(tmp_path, weights_file):
    to_quasarnp(
        random_model(1, filters=2), tmp_path / "network.h5", {"lines": ["LYA"], "bal_lines": [], "name": "a run"}
    )
    assert read_about(tmp_path / "network.h5") == {"lines": ["LYA"], "bal_lines": [], "name": "a run"}
    assert read_about(weights_file) == {}


def test_pickled_functions_of_a_file_are_not_run(weights_file, monkeypatch):
    """One per line."""
    with h5py.File(weights_file) as file:
        assert file.attrs["model_config"].count('"function_type": "lambda"') == 7
    for module in (marshal, pickle):
        monkeypatch.setattr(module, "loads", lambda *_: pytest.fail("code was read from the file"))
    from_quasarnp(weights_file)


def replace_config(file, old, new, count=-1):
    text = file.attrs["model_config"]
    assert old in text
    file.attrs["model_config"] = text.replace(old, new, count)


def replace_data(file, name, values):
    del file[name]
    file[name] = values


CONV = "model_weights/conv_2/conv_2/kernel:0"
DAMAGES = {
    "no weights": (lambda file: file.__delitem__("model_weights"), r"no group model_weights, it has model_grid"),
    "no layer": (
        lambda file: file["model_weights"].__delitem__("conv_3"),
        r"model_weights has weights of .*conv_2, conv_4.*; expected .*conv_3",
    ),
    "no head": (lambda file: file["model_weights"].__delitem__("fc_offset_6"), r"expected .*fc_offset_6"),
    "no common layer": (lambda file: file["model_weights"].__delitem__("fc_common"), r"expected .*fc_common"),
    "one more layer": (
        lambda file: file["model_weights"].create_group("fc_more/fc_more").create_dataset("kernel:0", data=[1.0]),
        r"weights of .*fc_more.*; expected (?!.*fc_more)",
    ),
    "no variable": (lambda file: file.__delitem__(CONV), r"model_weights/conv_2/conv_2/kernel:0 is missing"),
    "another shape": (
        lambda file: replace_data(file, CONV, np.zeros((10, 4, 3), np.float32)),
        r"/model_weights/conv_2/conv_2/kernel:0 has shape \(10, 4, 3\), expected \(10, 4, 4\)",
    ),
    "text": (lambda file: replace_data(file, CONV, "abc"), r"conv_2/kernel:0 is .*, expected an array of floats"),
    "not finite": (
        lambda file: file["model_weights/fc_common/fc_common/bias:0"].__setitem__(2, np.nan),
        r"fc_common/bias:0 has 1 values that are not finite",
    ),
    "padding": (
        lambda file: replace_config(file, '"padding": "valid"', '"padding": "same"', 1),
        r"model_config says that conv_1 has padding 'same', expected 'valid' in a network of 4 convolutions",
    ),
    "strides": (
        lambda file: replace_config(file, '"strides": [2]', '"strides": [1]', 1),
        r"says that conv_1 has strides \[1\], expected \[2\]",
    ),
    "epsilon": (
        lambda file: replace_config(file, '"epsilon": 0.001', '"epsilon": 1e-05', 1),
        r"batch_normalization has epsilon 1e-05, expected 0\.001",
    ),
    "layer without settings": (
        lambda file: replace_config(file, '{"name": "conv_4"', '{"name": "conv_9"'),
        r"model_config has no layer conv_4",
    ),
    "no settings": (lambda file: file.attrs.__delitem__("model_config"), r"attribute model_config cannot be read"),
    "settings are no JSON": (
        lambda file: file.attrs.__setitem__("model_config", "{"),
        r"attribute model_config cannot",
    ),
    "another activation": (
        lambda file: replace_config(file, '"activation": "sigmoid"', '"activation": "linear"', 1),
        r"model_config says that fc_offset_0 has activation 'linear', expected 'sigmoid'",
    ),
    "some offsets are rescaled": (
        lambda file: replace_config(file, '"class_name": "Rescaling"', '"class_name": "Activation"', 1),
        r"6 of 7 offsets are rescaled, expected all or none",
    ),
    "another scale": (
        lambda file: replace_config(file, '"scale": 1.2', '"scale": 1.1', 1),
        r"lambda has scale and offset \(1\.1, -0\.1\), expected 1\.2 and -0\.1",
    ),
    "deep nesting": (
        lambda file: file.attrs.__setitem__("model_config", "[" * 30_000 + "]" * 30_000),
        r"attribute model_config cannot",
    ),
    "a grid with other bins": (
        lambda file: replace_data(file, "model_grid", np.round(3600 + 13.6 * np.arange(458), 1)),
        r"kernel:0 has shape \(\d+, 4\), expected \(\d+, 4\)",
    ),
    "a grid of text": (
        lambda file: replace_data(file, "model_grid", np.array([b"3600"] * 443)),
        r"model_grid is .*, expected an array of floats",
    ),
    "a grid without constant spacing": (
        lambda file: replace_data(file, "model_grid", np.linspace(60, 99, 443) ** 2),
        r"model_grid: 443 bins from 3600 to 9801 Angstrom have no constant spacing",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_files_of_another_layout_are_refused(small, tmp_path, name):
    damage, message = DAMAGES[name]
    shutil.copy(small[0], tmp_path / "network.h5")
    with h5py.File(tmp_path / "network.h5", "r+") as file:
        damage(file)
    with pytest.raises(ValueError, match=rf"(?s)^{tmp_path}/network\.h5: .*{message}"):
        from_quasarnp(tmp_path / "network.h5")


def test_what_is_no_hdf5_file_is_refused(tmp_path):
    (tmp_path / "network.h5").write_bytes(b"CDF\x01" + bytes(5000))
    with pytest.raises(ValueError, match=r"network\.h5: cannot be read, expected an HDF5 file"):
        from_quasarnp(tmp_path / "network.h5")
    with pytest.raises(FileNotFoundError, match=r"none\.h5: no such file"):
        from_quasarnp(tmp_path / "none.h5")


def other_models():
    x = spectrum = keras.Input((443, 1), name="spectrum")
    yield keras.Sequential([keras.Input((443, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]), "no layer conv_1"
    model = build(filters=3)
    for layer in model.layers[1:]:
        # as the network, but for one layer
        x = (keras.layers.BatchNormalization(epsilon=1e-5, name="norm_2") if layer.name == "norm_2" else layer)(x)
    yield keras.Model(spectrum, x), r"found .*norm_2.*1e-05.*expected .*norm_2.*0\.001"
    outputs = keras.layers.Reshape((7, 26))(model.output)
    yield keras.Model(model.input, outputs), r"has 22 layers, a QuasarNET 21"


@pytest.mark.parametrize("number", range(3))
def test_models_that_are_built_otherwise_are_not_written(tmp_path, number):
    model, message = list(other_models())[number]
    with pytest.raises(ValueError, match=message):
        to_quasarnp(model, tmp_path / "network.h5")
    assert not list(tmp_path.iterdir())
