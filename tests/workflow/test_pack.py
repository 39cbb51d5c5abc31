"""A study whose trainings are packed: the same results as one by one, and a change trains only what is new."""

import shutil
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import yaml

from quasarcurves.training.history import History

pytestmark = pytest.mark.slow

FIRST, LATER = ["adam", "amsgrad"], "sgd"
REPLICATES, EPOCHS = 2, 6


@pytest.fixture(scope="module")
def packed(tmp_path_factory, snakemake, smoke_config) -> SimpleNamespace:
    """Train a pack and evaluate it; then train and evaluate the same with one more optimizer."""
    folder = tmp_path_factory.mktemp("packed")
    config = deepcopy(smoke_config)
    config["study"]["replicates"] = REPLICATES
    config["subsets"]["fractions"] = [0.2]
    config["training"].update(backend="jax", pack=True, epochs=EPOCHS, validate_every=3)
    logs = [_run(folder, config, snakemake, "--until", "evaluate")]
    shutil.copytree(folder / "results", folder / "before")
    config["optimizers"][LATER] = {"class": "SGD", "learning_rate": 1e-3}
    logs.append(_run(folder, config, snakemake, "--until", "evaluate"))
    return SimpleNamespace(
        folder=folder,
        config=config,
        logs=logs,
        results=folder / "results" / "smoke",
        before=folder / "before" / "smoke",
    )


def _run(folder, config, snakemake, *arguments) -> str:
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    result = snakemake(folder, "--configfile", "study.yaml", "--cores", "2", *arguments)
    assert result.returncode == 0, result.stdout
    return result.stdout


def jobs(output: str) -> dict[str, int]:
    """Number of jobs of each rule, from the table that Snakemake prints first."""
    table = output.split("Job stats:")[1].split("\n\n", maxsplit=1)[0].splitlines()
    rows = [line.split() for line in table if len(line.split()) == 2]
    return {name: int(count) for name, count in rows if count.isdigit() and name != "total"}


def test_one_job_trains_all(packed):
    ran = jobs(packed.logs[0])
    assert ran["train_pack"] == 1
    assert "train" not in ran
    assert ran["evaluate"] == len(FIRST) * REPLICATES


def test_results_are_those_of_each_run_by_itself(packed, snakemake):
    config = deepcopy(packed.config)
    config["study"]["name"] = "alone"
    config["training"]["pack"] = False
    runs = [f"f0.2_r1/{optimizer}" for optimizer in FIRST]
    alone = packed.folder / "results" / "alone"
    files = [f"results/alone/runs/{run}/{name}.keras" for run in runs for name in ("model", "best")]
    output = _run(packed.folder, config, snakemake, *files)
    assert jobs(output)["train"] == len(runs)
    for run in runs:
        expected, got = (History.load(results / "runs" / run / "history.h5") for results in (alone, packed.results))
        assert len(got.epochs["loss"]) == EPOCHS
        assert got.params["outcome"] == expected.params["outcome"]
        for kind in ("epochs", "steps"):
            columns, others = getattr(got, kind), getattr(expected, kind)
            assert columns.keys() == others.keys()
            np.testing.assert_allclose(columns["loss"], others["loss"], rtol=2e-5)
        np.testing.assert_allclose(got.epochs["val_loss"], expected.epochs["val_loss"], rtol=1e-4)
        np.testing.assert_allclose(got.steps["gradient_norm"], expected.steps["gradient_norm"], rtol=5e-3)
        for name in ("model", "best"):
            models = [
                keras.saving.load_model(results / "runs" / run / f"{name}.keras", compile=False)
                for results in (alone, packed.results)
            ]
            x = np.random.default_rng(0).normal(size=(5, 443, 1))
            np.testing.assert_allclose(*(model.predict(x, verbose=0) for model in models), atol=1e-3)


def test_an_added_optimizer_is_trained_and_the_others_are_left_to_the_bit(packed):
    ran = jobs(packed.logs[1])
    assert ran["train_pack"] == 1
    log = (packed.results / "logs" / "train_pack" / "f0.2.log").read_text()
    assert f"f0.2_r0/{LATER}  epoch {EPOCHS}/{EPOCHS}" in log
    for optimizer in FIRST:
        assert f"{optimizer}  epoch" not in log
        for replicate in range(REPLICATES):
            run = f"f0.2_r{replicate}/{optimizer}"
            for name in (f"runs/{run}/history.h5", f"runs/{run}/model.keras", f"receipts/train/{run}.json"):
                assert (packed.before / name).read_bytes() == (packed.results / name).read_bytes(), name


def test_an_optimizer_with_a_training_of_its_own_is_trained_by_itself(packed, snakemake):
    config = deepcopy(packed.config)
    config["optimizers"]["sgd"]["training"] = {"batch_size": 16}
    config["optimizers"]["held"] = {"class": "Adam", "learning_rate": 1e-3, "match": "amsgrad"}
    asked = jobs(_run(packed.folder, config, snakemake, "-n", "train_all"))
    assert asked["train"] == 2 * REPLICATES


def test_the_files_fit_their_receipts(packed):
    from quasarcurves.provenance.receipts import Receipt, hashes

    for path in sorted((packed.results / "receipts" / "train").rglob("*.json")):
        outputs = Receipt.load(path).outputs
        assert len(outputs) == 3
        assert hashes(packed.folder / name for name in outputs) == {
            str(packed.folder / name): value for name, value in outputs.items()
        }
        assert Path(next(iter(outputs))).parts[-2] == path.stem
