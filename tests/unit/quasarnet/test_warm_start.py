"""Trainings that start from a file: what the network says stays the same, and what does not fit is refused early."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.quasarnet import network, task, warm_start
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.quasarnet.shapes import kernel_shapes
from quasarcurves.quasarnet.trained_network import Trained
from quasarcurves.study import Study
from quasarcurves.study.schema import StudyError

ROOT = Path(__file__).parents[3]
LINES, BAL_LINES = ["LYA", "CIV(1548)"], ["CIV(1548)"]


def random_network(seed=0, **size):
    """Draw every weight at random, biases and moving statistics among them."""
    model, rng = network.build(**{"filters": 4, "n_lines": 3, **size}), np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.1, 0.5, each.shape) for each in model.get_weights()])
    return model


def save(path, **size):
    Trained(random_network(**size), LINES, BAL_LINES).save(path)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Return the file that the trainings start from; tests take a copy."""
    path = tmp_path_factory.mktemp("start") / "start.keras"
    save(path)
    return path


@pytest.fixture
def config(start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(start, tmp_path)
    config = yaml.safe_load((ROOT / "workflow/studies/smoke.yaml").read_text())
    config["network"] = {"filters": 4, "lines": LINES, "bal_lines": BAL_LINES, "start": "start.keras"}
    return config


def flux(n=5):
    return np.random.default_rng(1).normal(size=(n, 443, 1)).astype(np.float32)


def settings_of(study, optimizer="adam"):
    return NetworkSettings.from_json(study.network_of(optimizer))


@pytest.mark.parametrize("name", ["start.keras", "start.h5"])
def test_a_network_says_what_that_of_the_file_says(config, name):
    save(name)
    built = task.QuasarNet(settings_of(Study.from_config({**config, "network": {**config["network"], "start": name}})))
    for seed in (1, 2):
        model = built.build(seed)
        np.testing.assert_allclose(model(flux()), Trained.load(name).model(flux()), rtol=0, atol=2e-6)
        assert not any(np.any(each.bias.numpy()) for each in model.layers if each.name.startswith(("conv", "fc_c")))


def test_a_file_of_the_training_script_is_one_to_start_from(config, survey):
    """A network of 25 filters as Keras 2 has saved it."""
    config["network"] = {"filters": 25, "start": str(survey / "desi" / "test_weights.h5")}
    settings = settings_of(Study.from_config(config))
    expected = Trained.load(settings.start.file).model(flux())
    np.testing.assert_allclose(task.QuasarNet(settings).build(1)(flux()), expected, rtol=0, atol=2e-6)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_in_training_biases_before_normalisation_change_nothing(seed):
    """So a network with them and one with zeros and shifted means learn alike: same outputs and means in training.

    The moving means then differ by the biases as before.
    """
    with_biases, without = random_network(seed), random_network(seed)
    weights = warm_start._without_idle_biases(warm_start._weights(without))
    for layer in without.layers:
        for variable in layer.weights:
            variable.assign(weights[f"{layer.name}/{variable.name}"])
    outputs = [np.asarray(model(flux(8), training=True)) for model in (with_biases, without)]
    np.testing.assert_allclose(*outputs, rtol=0, atol=1e-5)
    for name, before in (("norm_1", "conv_1"), ("norm_common", "fc_common")):
        shift = with_biases.get_layer(before).bias.numpy() * 1.0
        means = [model.get_layer(name).moving_mean.numpy() for model in (with_biases, without)]
        np.testing.assert_allclose(means[0] - means[1], shift, rtol=0, atol=1e-5)


def test_optimizers_from_scratch_start_from_fresh_weights(config):
    config["optimizers"]["adam"]["from_scratch"] = True
    study = Study.from_config(config)
    assert (settings_of(study).start, settings_of(study, "amsgrad").start.file) == (None, "start.keras")
    # as without a file to start from: its states and models stay what they are
    plain = Study.from_config({**config, "network": {**config["network"], "start": "start.keras"}})
    runs = {run.optimizer: run for run in plain.runs}
    assert "start" not in plain.run_params(runs["adam"])["network"]
    assert warm_start.__name__ not in plain.training_modules(runs["adam"])
    assert warm_start.__name__ in plain.training_modules(runs["amsgrad"])


def test_frozen_layers_are_of_the_optimizer_that_freezes_them(config):
    plain = Study.from_config(copy.deepcopy(config))
    config["optimizers"]["adam"]["frozen"] = 4
    study = Study.from_config(config)
    assert (settings_of(study).frozen, settings_of(study, "amsgrad").frozen) == (4, 0)
    before, after = ({run.optimizer: each.run_params(run) for run in each.runs} for each in (plain, study))
    assert before["adam"] != after["adam"]
    assert before["amsgrad"] == after["amsgrad"]


@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables:UserWarning")
@pytest.mark.parametrize("frozen", [0, 1, 4, 5])
def test_frozen_layers_keep_weights_and_statistics_and_all_others_move(config, frozen):
    """And they do in training what they do in inference, so what comes out of them stays what it was."""
    settings = replace(settings_of(Study.from_config(config)), frozen=frozen)
    model = task.QuasarNet(settings).build(1)
    heads = model.get_layer("heads").kernel
    heads.assign(np.random.default_rng(2).normal(0, 0.1, heads.shape))  # those of the file saturate the outputs
    before = {f"{layer.name}/{each.name}": np.array(each) for layer in model.layers for each in layer.weights}
    model.compile("sgd", "mse")
    model.fit(flux(16), np.zeros((16, 3, 26), np.float32), verbose=0)
    moved = {
        layer.name
        for layer in model.layers
        for each in layer.weights
        if np.any(each.numpy() != before[f"{layer.name}/{each.name}"])
    }
    layers = ["conv_1", "conv_2", "conv_3", "conv_4", "fc_common"]
    norms = ["norm_1", "norm_2", "norm_3", "norm_4", "norm_common"]
    assert moved == {*layers[frozen:], *norms[frozen:], "heads"}
    last = ["spectrum", *norms][frozen]
    part = keras.Model(model.input, model.get_layer(last).output)
    np.testing.assert_allclose(part(flux(), training=True), part(flux(), training=False), rtol=0, atol=1e-6)


def test_weights_keep_their_order_and_saved_networks_train_as_a_whole(config):
    built = task.QuasarNet(replace(settings_of(Study.from_config(config)), frozen=3))
    model, plain = built.build(1), built.build_plain()
    assert [each.path for each in model.weights] == [each.path for each in plain.weights]
    assert all(layer.trainable for layer in plain.layers)
    assert len(model.trainable_variables) == len(plain.trainable_variables) - 3 * 4


def test_other_weights_in_the_file_are_other_runs(config):
    before = Study.from_config(config)
    save("start.keras", seed=7)
    after = Study.from_config(config)
    assert before.run_params(before.runs[0]) != after.run_params(after.runs[0])


REFUSED = {
    "no file": (lambda config: config["network"].update(start="none.h5"), r"network\.start: none\.h5: no such file"),
    "another size": (
        lambda config: config["network"].update(filters=5),
        r"start\.keras: the kernel of conv_1 is \(10, 1, 4\), expected \(10, 1, 5\) as in the study",
    ),
    "fewer layers": (lambda config: config["network"].update(layers=3), r"fc_common is \(80, 4\), expected \(192, 4\)"),
    "another grid": (lambda config: config["network"].update(grid="linear"), r"fc_common is \(80, 4\), expected \(84"),
    "other lines": (
        lambda config: config["network"].update(lines=["LYA", "Halpha"]),
        r"lines are LYA, CIV\(1548\), CIV\(1548\); expected those of the study, LYA, Halpha, CIV\(1548\)",
    ),
    "no network": (lambda _: Path("start.keras").write_text("weights"), r"start\.keras: neither a Keras file"),
    "frozen without start": (
        lambda config: (config["network"].pop("start"), config["optimizers"]["adam"].update(frozen=1)),
        r"optimizers\.adam\.frozen: expected a run from the weights of network\.start, found one from fresh weights",
    ),
    "frozen from scratch": (
        lambda config: config["optimizers"]["adam"].update(frozen=1, from_scratch=True),
        r"optimizers\.adam\.frozen: expected a run from the weights of network\.start, found one from fresh weights",
    ),
    "more frozen than there are": (
        lambda config: config["optimizers"]["adam"].update(frozen=6),
        r"optimizers\.adam\.frozen: expected at most 5, the convolutions and the common layer, found 6",
    ),
    "scratch without start": (
        lambda config: (config["network"].pop("start"), config["optimizers"]["adam"].update(from_scratch=True)),
        r"optimizers\.adam\.from_scratch: expected network\.start",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_when_the_study_is_read(config, name):
    change, message = REFUSED[name]
    change(config)
    with pytest.raises(StudyError, match=message):
        Study.from_config(copy.deepcopy(config))


def test_what_only_the_whole_file_says_is_refused_before_training(config):
    """The heads, and the lines of a file that does not name them."""
    save("start.keras", boxes=11)
    settings = settings_of(Study.from_config(config))
    with pytest.raises(ValueError, match=r"start\.keras: heads/bias is \(66,\), expected \(78,\)"):
        task.QuasarNet(settings).build(1)
    random_network().save("start.keras")
    with pytest.raises(ValueError, match=r"start\.keras: does not name the lines of its outputs"):
        task.QuasarNet(settings).build(1)


@pytest.mark.parametrize("size", [{}, {"layers": 3}, {"layers": 6}, {"filters": 7}, {"grid": "linear"}])
def test_shapes_of_kernels_are_those_of_the_network(size):
    settings = NetworkSettings(**{"filters": 4, "layers": 4, "boxes": 13, "lines": LINES, "bal_lines": [], **size})
    model = task.build_network(settings)
    shapes = {layer.name: tuple(layer.kernel.shape) for layer in model.layers if isinstance(layer, keras.layers.Conv1D)}
    assert kernel_shapes(settings) == {**shapes, "fc_common": tuple(model.get_layer("fc_common").kernel.shape)}
