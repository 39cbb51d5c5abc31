"""Studies whose truth is known, as tables of runs: for the tests of comparisons and of their words."""

import numpy as np
import pandas as pd
import pytest

KINDS = {"sustained": 1, "tall": 1, "outlier": 3}


def make_study(rng, effects, replicates=5, fractions=(0.8,), tall=6.0, noise=0.03):
    """Runs with replicates that differ much and pairs that differ little.

    `effects` has, per optimizer, factors for the rate of spikes, the training loss, the test loss and the step.
    """
    rows = []
    for fraction in fractions:
        for replicate in range(replicates):
            common = rng.lognormal(0, 0.5)
            for optimizer, (rate, train, test, step) in effects.items():
                rows.append(
                    {"fraction": fraction, "replicate": replicate, "optimizer": optimizer, "n_train": 1000 * fraction}
                    | {"diverged": False, "share_in_spike": 0.1 * rate, "late_effective_step": step}
                    | {f"spikes_{kind}": rng.poisson(tall * factor * rate) for kind, factor in KINDS.items()}
                    | {f"exposure_{kind}": 10.0 for kind in KINDS}
                    | {"height_step": 20.0, "height_epoch": 10.0}
                    | {"loss_final": 0.01 * common * train * rng.lognormal(0, noise)}
                    | {"loss_lowest": 0.005 * common * train * rng.lognormal(0, noise)}
                    | {"test_loss_final": 2 * common * test * rng.lognormal(0, noise)}
                    | {"test_loss_best": common * test * rng.lognormal(0, noise)}
                )
    return pd.DataFrame(rows)


def make_convergence(runs):
    """Rows of convergence.csv for these runs."""
    n = len(runs)
    chances = {f"stop_chance_{name}{end}": value for name in ("val", "train") for end, value in
               (("", 0.0833), ("_low", 0.012), ("_high", 0.271))}  # fmt: skip
    table = runs[["fraction", "replicate", "optimizer", "diverged", "test_loss_final", "test_loss_best"]].assign(
        **chances
    )
    verdicts = np.array(["converged", "still falling", "cannot say"])[np.arange(n) % 3]
    concerns = np.array(["none", "training loss still falling; worse than its best", "cannot say"])[np.arange(n) % 3]
    return table.assign(convergence=verdicts, concern=concerns)


@pytest.fixture(scope="session")
def study():
    return make_study


@pytest.fixture(scope="session")
def convergence_of():
    return make_convergence
