"""A study whose trainings go on from those of another, beside one from scratch."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

pytestmark = pytest.mark.slow

STUDY = """
study: {name: NAME, seed: SEED}
data: {source: simulated, n_spectra: 400, seed: 3}
subsets: {test_fraction: 0.4, validation_fraction: 0.1, fractions: [0.5, 0.25]}
network: {filters: 6START}
training: {epochs: EPOCHS, batch_size: 20}
optimizers:
  adam: {class: Adam, learning_rate: 1.0e-3}
"""
ALSO = "  scratch: {class: Adam, learning_rate: 1.0e-3, from_scratch: true}\n"
ALSO += "  heads: {class: Adam, learning_rate: 1.0e-3, frozen: 5}\n"
ALSO += "diagnosis: {probe_size: 8, curvature_every: 10}\n"
METRICS = "results/second/metrics.csv"
FIRST = "results/first/runs/f0.5_r0/adam/model.keras"


def write(folder: Path, name: str, seed: int, epochs: int, start: str = "") -> str:
    text = STUDY.replace("NAME", name).replace("SEED", str(seed)).replace("EPOCHS", str(epochs))
    text = text.replace("START", f", start: {start}" if start else "") + (ALSO if start else "")
    (folder / f"{name}.yaml").write_text(text)
    return f"{name}.yaml"


def trainings(folder: Path) -> dict[str, h5py.File]:
    found = (folder / "results/second/runs").glob("*/*/history.h5")
    return {f"{path.parents[1].name}/{path.parent.name}": h5py.File(path) for path in found}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, snakemake):
    folder = tmp_path_factory.mktemp("warm")
    result = snakemake(folder, FIRST, "--cores", 2, "--configfile", write(folder, "first", 1, 40))
    assert result.returncode == 0, result.stdout
    (folder / "start.keras").write_bytes((folder / FIRST).read_bytes())
    second = write(folder, "second", 2, 4, "start.keras")
    result = snakemake(folder, METRICS, "--cores", 2, "--configfile", second)
    assert result.returncode == 0, result.stdout
    return folder


def test_trainings_go_on_from_the_file_beside_those_from_scratch(folder):
    first = {name: float(file["steps/loss"][0]) for name, file in trainings(folder).items()}
    assert set(first) == {f"f{size}_r0/{name}" for size in ("0.5", "0.25") for name in ("adam", "scratch", "heads")}
    for size in ("0.5", "0.25"):
        for name in ("adam", "heads"):
            assert first[f"f{size}_r0/{name}"] < 0.6 * first[f"f{size}_r0/scratch"]


def test_frozen_layers_of_the_models_are_those_of_the_file(folder):
    """Their biases went into the moving means, so the layers before the heads are compared by what they say."""
    from quasarcurves.quasarnet.trained_network import Trained

    flux = np.random.default_rng(1).normal(size=(5, 443, 1)).astype(np.float32)
    start, heads, adam = (
        keras.Model((model := Trained.load(path).model).input, model.get_layer("relu_common").output)(flux)
        for path in (
            folder / "start.keras",
            *(folder / FIRST.replace("first", "second").replace("adam", name) for name in ("heads", "adam")),
        )
    )
    np.testing.assert_allclose(heads, start, rtol=0, atol=1e-6)
    assert np.abs(adam - start).max() > 1e-3


def test_curvature_and_step_record_are_of_what_is_trained(folder):
    with trainings(folder)["f0.5_r0/heads"] as file:
        assert np.isfinite(file["curvature/sharpness"][:]).all()
        assert (file["steps/update_norm"][:] > 0).all()


def test_the_models_say_what_they_are_and_are_evaluated(folder):
    metrics = np.genfromtxt(folder / METRICS, delimiter=",", names=True, dtype=None, encoding=None)
    assert {*np.atleast_1d(metrics["optimizer"])} == {"adam", "scratch", "heads"}


def test_other_weights_in_the_file_rerun_what_starts_from_it(folder, snakemake):
    kept = (folder / "start.keras").read_bytes()
    same = snakemake(folder, METRICS, "--configfile", "second.yaml", "-n")
    assert "Nothing to be done" in same.stdout
    from quasarcurves.quasarnet.trained_network import Trained

    found = Trained.load(folder / "start.keras")
    kernel = found.model.layers[1].kernel
    kernel.assign(kernel.numpy() * np.float32(1.01))
    found.save(folder / "start.keras")
    try:
        other = snakemake(folder, METRICS, "--configfile", "second.yaml", "-n")
    finally:
        (folder / "start.keras").write_bytes(kept)
    jobs = {line.split()[1] for line in other.stdout.splitlines() if line.startswith("train ")}
    assert jobs == {"4"}, other.stdout
