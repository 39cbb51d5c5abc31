"""A study whose trainings JAX computes; everything after them is as ever."""

import json
from copy import deepcopy
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from quasarcurves.spectra import Spectra
from quasarcurves.spectra.subsets import Subset
from quasarcurves.training.history import History

pytestmark = pytest.mark.slow

RUN = "f0.2_r0/amsgrad"


@pytest.fixture(scope="module")
def results(tmp_path_factory, snakemake, smoke_config) -> Path:
    """Train and evaluate one run, then train it on."""
    folder = tmp_path_factory.mktemp("jax")
    config = deepcopy(smoke_config)
    config["subsets"]["fractions"] = [0.2]
    del config["optimizers"]["adam"]
    for epochs in (6, 9):
        config["training"].update(backend="jax", epochs=epochs, validate_every=3)
        (folder / "study.yaml").write_text(yaml.safe_dump(config))
        result = snakemake(folder, "--configfile", "study.yaml", "--cores", "1", "--until", "evaluate")
        assert result.returncode == 0, result.stdout
    return folder / "results" / "smoke"


def test_it_is_trained_and_gone_on_with(results):
    history = History.load(results / "runs" / RUN / "history.h5")
    assert len(history.epochs["loss"]) == 9
    assert len(history.steps["loss"]) == 9 * history.params["outcome"]["steps_per_epoch"]
    assert np.isfinite(history.steps["loss"]).all()
    assert history.epochs["loss"][-1] < history.epochs["loss"][0]
    assert history.params["training"]["backend"] == "jax"
    assert history.params["outcome"]["resumed_at_epochs"] == [6]
    assert "3 epochs computed" in (results / "logs" / "train" / f"{RUN}.log").read_text()


def test_its_model_is_plain_and_gives_the_validation_loss_of_the_history(results):
    from quasarcurves.quasarnet.examples import load_examples
    from quasarcurves.quasarnet.loss import weighted_line_losses
    from quasarcurves.quasarnet.settings import NetworkSettings

    model = keras.saving.load_model(results / "runs" / RUN / "model.keras", compile=False)
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    history = History.load(results / "runs" / RUN / "history.h5")
    rows = Subset.load(results / "data" / "subsets" / "f0.2_r0.h5").validation
    x, *targets = load_examples(
        results / "data" / "spectra.h5", rows, NetworkSettings.from_json(history.params["network"])
    )
    losses = np.asarray(weighted_line_losses(model(x), *map(np.asarray, targets)))
    np.testing.assert_allclose(losses.sum(axis=1).mean(), history.epochs["val_loss"][-1], rtol=1e-4)


def test_the_version_that_made_it_is_kept(results):
    receipt = json.loads((results / "receipts" / "train" / f"{RUN}.json").read_text())
    assert "jax" in json.dumps(receipt)
    assert len(Spectra.load(results / "data" / "spectra.h5")) == 320
