"""Trained networks and their lines: what a model file says, whatever its format, and what is refused."""

import json
import zipfile
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest

from quasarcurves.quasarnet import model_files, network
from quasarcurves.quasarnet.calibration import Scaling
from quasarcurves.quasarnet.export import from_quasarnp
from quasarcurves.quasarnet.objective import LINES, decode
from quasarcurves.quasarnet.trained_network import Trained
from quasarcurves.spectra.grid import LINEAR, Grid
from quasarcurves.training.history import History

PARAMS = {
    "study": "tiny",
    "fraction": 0.8,
    "replicate": 2,
    "optimizer": "adam",
    "network": {"lines": ["MgII(2796)", "LYA"], "bal_lines": ["CIV(1548)"], "boxes": 13},
}


def make(seed=0, **size):
    keras.utils.set_random_seed(seed)
    return network.build(**{"filters": 3, "n_lines": 3, **size})


@pytest.fixture(scope="module")
def trained():
    return Trained(make(), ["MgII(2796)", "LYA"], ["CIV(1548)"], "tiny/f0.8_r2/adam final")


@pytest.mark.parametrize("name", ["model.keras", "weights.h5", "weights.hdf5"])
def test_a_file_brings_back_network_lines_and_name(trained, tmp_path, name):
    trained.save(tmp_path / name)
    again = Trained.load(tmp_path / name)
    assert (list(again.lines), list(again.bal_lines), again.name) == (
        ["MgII(2796)", "LYA"],
        ["CIV(1548)"],
        "tiny/f0.8_r2/adam final",
    )
    assert again.id == trained.id
    for found, expected in zip(again.model.get_weights(), trained.model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["model.keras", "weights.h5"])
def test_a_file_brings_back_how_its_confidences_are_scaled(trained, tmp_path, name):
    scalings = {"1": Scaling(0.5, 1.25, 200, 90), "2": Scaling(0.7, -2.0, 200, 90)}
    calibrated = replace(trained, scalings=scalings)
    calibrated.save(tmp_path / name)
    again = Trained.load(tmp_path / name)
    assert again.scalings == scalings
    assert again.id == trained.id
    trained.save(tmp_path / f"plain_{name}")
    assert Trained.load(tmp_path / f"plain_{name}").scalings == {}


def test_scalings_that_are_none_are_refused_with_the_file(trained, tmp_path):
    path = tmp_path / "weights.h5"
    trained.save(path)
    for values in ({"1": {"slope": "steep"}}, [1]):
        with h5py.File(path, "a") as file:
            name = next(
                key for key, value in file.attrs.items() if "bal_lines" in str(value) and "layers" not in str(value)
            )
            file.attrs[name] = json.dumps({**json.loads(file.attrs[name]), "scalings": values})
        with pytest.raises(ValueError, match=r"weights.h5: scalings: expected"):
            Trained.load(path)


def test_the_content_of_a_file_tells_its_format(trained, tmp_path):
    trained.save(tmp_path / "weights.h5")
    (tmp_path / "weights.h5").rename(tmp_path / "odd.keras")
    assert Trained.load(tmp_path / "odd.keras").id == trained.id


def test_the_id_is_of_weights_and_lines(trained, tmp_path):
    assert len(trained.id) == 16
    assert Trained(trained.model, ["LYA", "MgII(2796)"], ["CIV(1548)"]).id != trained.id
    assert Trained(trained.model, trained.lines, trained.bal_lines, "another name").id == trained.id
    other = make()
    assert Trained(other, trained.lines, trained.bal_lines).id == trained.id
    kernel = other.get_layer("heads").kernel
    kernel.assign(np.nextafter(kernel.numpy(), np.float32(9)))
    assert Trained(other, trained.lines, trained.bal_lines).id != trained.id


def test_spectra_are_decoded_with_its_lines(trained):
    flux = np.random.default_rng(1).normal(size=(5, 443))
    outputs = np.asarray(trained.model(flux[..., None].astype(np.float32), training=False))
    expected = decode(outputs, ["MgII(2796)", "LYA"], ["CIV(1548)"])
    np.testing.assert_allclose(trained.apply(flux).z_line, expected.z_line, rtol=1e-5)
    assert trained.apply(flux).bal_confidence.shape == (5, 1)


@pytest.mark.parametrize(("file", "which"), [("model.keras", "final"), ("best.keras", "best")])
def test_a_run_made_before_is_known_by_its_history(tmp_path, file, which):
    make().save(tmp_path / file)
    empty = {"loss": np.zeros(1)}
    History(empty, empty, PARAMS).save(tmp_path / "history.h5")
    trained = Trained.load(tmp_path / file)
    assert (trained.lines, trained.bal_lines) == (["MgII(2796)", "LYA"], ["CIV(1548)"])
    assert trained.name == f"tiny/f0.8_r2/adam {which}"


def test_seven_outputs_that_say_nothing_are_those_of_quasarnet(tmp_path, survey):
    make(n_lines=7).save(tmp_path / "other.keras")
    for path in (tmp_path / "other.keras", survey / "desi" / "test_weights.h5"):
        trained = Trained.load(path)
        assert (trained.lines, trained.bal_lines) == (list(LINES), ["CIV(1548)"])
        assert trained.name == path.name
        assert trained.is_published_form


def test_only_seven_lines_in_13_boxes_are_of_the_published_form(trained):
    assert not trained.is_published_form
    assert not Trained(make(n_lines=7, boxes=12), list(LINES), ["CIV(1548)"]).is_published_form
    assert not Trained(make(n_lines=7), list(LINES)[::-1], ["CIV(1548)"]).is_published_form


def test_other_outputs_that_say_nothing_are_refused(tmp_path):
    make().save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"model\.keras: does not name the lines of its outputs \(None, 3, 26\)"):
        Trained.load(tmp_path / "model.keras")


@pytest.mark.parametrize(
    ("model", "lines", "message"),
    [
        (make, ["LYA"], r"gives \(None, 3, 26\); expected .* \(None, 2, 2 \* boxes\) for 2 lines"),
        (make, ["LYA", "OII"], "unknown line 'OII'"),
        (
            lambda: keras.Sequential([keras.Input((443,)), keras.layers.Dense(3)]),
            ["LYA", "Hbeta"],
            r"takes \(None, 443\)",
        ),
    ],
)
def test_lines_that_do_not_fit_are_refused(model, lines, message):
    with pytest.raises(ValueError, match=message):
        Trained(model(), lines, ["CIV(1548)"])


def test_a_keras_file_with_lines_is_one_that_keras_opens(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for found, expected in zip(opened.get_weights(), trained.model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("quasarcurves.json"))["lines"] == ["MgII(2796)", "LYA"]


def test_code_in_a_keras_file_is_not_run(tmp_path):
    model = keras.Sequential([keras.Input((443, 1)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"model\.keras: cannot be opened as a Keras model without code"):
        Trained.load(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="without code"):
        model_files.load_keras(tmp_path / "model.keras")


def test_files_that_are_no_models_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("weights")
    with pytest.raises(ValueError, match=r"text\.h5: neither a Keras file"):
        Trained.load(tmp_path / "text.h5")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(ValueError, match=r"other\.keras: cannot be read, expected a Keras file"):
        Trained.load(tmp_path / "other.keras")
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        Trained.load(tmp_path / "none.keras")


def test_an_imported_network_is_the_same_as_a_keras_file(survey, tmp_path):
    imported = Trained.load(survey / "desi" / "test_weights.h5")
    imported.save(tmp_path / "model.keras")
    again = Trained.load(tmp_path / "model.keras")
    assert (again.id, again.name) == (imported.id, "test_weights.h5")
    x = np.load(survey / "desi" / "coadd_x.npy")
    direct = from_quasarnp(survey / "desi" / "test_weights.h5").predict_on_batch(x[..., None].astype(np.float32))
    np.testing.assert_array_equal(again.apply(x).confidence, np.float64(direct[..., :13].max(axis=-1)[:, :6]))


@pytest.mark.parametrize("name", ["model.keras", "weights.h5"])
def test_a_network_whose_training_diverged_is_refused(tmp_path, name):
    model = network.build(filters=4, n_lines=len(LINES) + 1)
    kernel = model.layers[1].weights[0]
    kernel.assign(np.where(np.arange(kernel.shape[-1]) == 2, np.nan, kernel.numpy()))
    Trained(model, list(LINES), ["CIV(1548)"]).save(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}: .*kernel.* has .*values that are not finite"):
        Trained.load(tmp_path / name)


@pytest.mark.parametrize("name", ["model.keras", "weights.h5"])
@pytest.mark.parametrize("which", [LINEAR, Grid("logarithmic", 3550.0, 1e-3, 443)], ids=str)
def test_a_file_brings_back_the_grid(tmp_path, name, which):
    model = make(bins=which.n)
    Trained(model, ["MgII(2796)", "LYA"], ["CIV(1548)"], grid=which).save(tmp_path / name)
    again = Trained.load(tmp_path / name)
    np.testing.assert_allclose(again.grid.wavelength, which.wavelength)
    flux = np.random.default_rng(0).normal(size=(4, which.n)).astype(np.float32)
    expected = decode(np.asarray(model(flux[..., None])), ["MgII(2796)", "LYA"], ["CIV(1548)"], which)
    np.testing.assert_allclose(again.apply(flux).z_best, expected.z_best, rtol=1e-6)


def test_the_grid_is_part_of_the_id_and_has_to_fit(trained):
    shifted = Grid("logarithmic", 3550.0, 1e-3, 443)
    assert Trained(trained.model, trained.lines, trained.bal_lines, grid=shifted).id != trained.id
    with pytest.raises(ValueError, match=r"takes \(None, 443, 1\) .* expected \(None, 458, 1\)"):
        Trained(trained.model, trained.lines, trained.bal_lines, grid=LINEAR)
