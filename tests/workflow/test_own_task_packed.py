"""Trainings of a task file packed into one program of JAX: the losses of each by itself."""

import numpy as np
import pytest
import yaml

from quasarcurves.training.history import History

pytestmark = pytest.mark.slow

TASK = '''
import keras
import numpy as np
from keras import layers, ops


def examples():
    """Sentences of five words, some of a meaning."""
    words = np.random.default_rng(1).integers(0, 20, (150, 5))
    return {"inputs": words, "targets": words.sum(axis=1) % 3 == 0}


def model(dropout=0.2):
    words = keras.Input((5,), dtype="int32")
    hidden = layers.Flatten()(layers.Embedding(20, 3)(words))
    # a bias before normalisation has no gradient but rounding, which would move it
    hidden = layers.BatchNormalization()(layers.Dense(6, "tanh", use_bias=False)(hidden))
    return keras.Model(words, layers.Dense(1)(layers.Dropout(dropout)(hidden)))


def loss(targets, outputs):
    return ops.square(outputs[:, 0] - ops.cast(targets, "float32"))
'''
STUDY = {
    "study": {"name": "packed", "replicates": 2},
    "task": "words.py",
    "subsets": {"fractions": [0.6], "validation_fraction": 0.1},
    "training": {"backend": "jax", "pack": True, "epochs": 6, "batch_size": 16, "last_batch": "drop"},
    "optimizers": {
        "adam": {"class": "Adam", "learning_rate": 0.01},
        "sgd": {"class": "SGD", "learning_rate": 0.01},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, snakemake):
    """Train packed and by itself; return the results of both."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "words.py").write_text(TASK)
    for name, pack, files in (("packed", True, ()), ("alone", False, (f"results/alone/{RUN}/history.h5",))):
        study = {**STUDY, "study": {**STUDY["study"], "name": name}, "training": {**STUDY["training"], "pack": pack}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(study))
        # of those by themselves one is enough
        wanted = files or ("--until", "train_pack")
        result = snakemake(folder, "--configfile", f"{name}.yaml", "--cores", "1", *wanted)
        assert result.returncode == 0, result.stdout
    return folder


RUN = "runs/f0.6_r1/adam"


def test_losses_are_those_of_each_run_by_itself(trained):
    got, expected = (History.load(trained / "results" / name / RUN / "history.h5") for name in ("packed", "alone"))
    assert len(got.steps["loss"]) == 6 * 5
    np.testing.assert_allclose(got.steps["loss"], expected.steps["loss"], rtol=2e-5)
    np.testing.assert_allclose(got.epochs["val_loss"], expected.epochs["val_loss"], rtol=1e-4)
    np.testing.assert_allclose(got.steps["gradient_norm"], expected.steps["gradient_norm"], rtol=5e-3)


def test_runs_of_a_pack_differ(trained):
    """Whatever stands in for another would pass as equal to itself."""
    runs = sorted((trained / "results" / "packed" / "runs").glob("*/*/history.h5"))
    assert len(runs) == 4
    assert len({tuple(History.load(run).steps["loss"]) for run in runs}) == 4
