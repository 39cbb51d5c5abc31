"""Runs whose spikes and precursors are known."""

import numpy as np
import pandas as pd
from scipy import signal

from quasarcurves.training.history import History

T, STEPS_PER_EPOCH = 10_000, 25


def onsets_and_ends(rng, n, t=T):
    """Spikes at random, at least 260 steps apart, each 20 to 59 steps long."""
    gaps = rng.dirichlet(np.ones(n + 1)) * (t - 2000 - 260 * n)
    onset = (1600 + np.cumsum(gaps[:n]) + 260 * np.arange(n)).astype(int)
    return onset, onset + rng.integers(20, 60, n)


def ramp(onset, length, t=T):
    """Climbs from 0 to 1 in so many steps before each onset, and is 0 elsewhere."""
    values = np.zeros(t)
    for one in onset:
        values[one - length : one] = np.arange(1, length + 1) / length
    return values


def correlated(rng, t=T, memory=0.9):
    """Unit noise in which neighbouring steps are alike."""
    return signal.lfilter([np.sqrt(1 - memory**2)], [1, -memory], rng.standard_normal(t + 100))[100:]


def measures(rng, onset, end, t=T):
    """Measures that know nothing of the spikes to come: white, correlated, and one that only drifts."""
    inside = np.zeros(t, bool)
    for first, last in zip(onset, end, strict=True):
        inside[first:last] = True
    noise = rng.standard_normal(t)
    training = (1 + np.arange(t) / 1000) ** -0.5
    return {
        "loss": training * np.exp(0.2 * noise + 2 * inside),
        "gradient_norm": training * np.exp(0.2 * noise + 0.2 * rng.standard_normal(t) + 2 * inside),
        "effective_step_q50": training**-1 * np.exp(0.05 * correlated(rng, t) - inside),
        "last_layer_norm": 5 + np.log1p(np.arange(t) / 300),
        "rms_worst": 0.5 * np.exp(0.2 * correlated(rng, t) + 2 * inside),
    }


def remembered(rng, t=20_000, mean=1500, drift=0.0):
    """Spikes at random times, and what Adam keeps of them: nothing here precedes a spike but the wakes of earlier ones.

    Squared gradients rise by a factor 10 to 1000 in a spike. The mean square is their running mean at beta_2 = 0.999,
    the effective step its inverse root, which may grow by (1 + step / 1000)^drift besides.
    """
    onset = 1600 + np.cumsum(rng.exponential(mean, 100) + 60).astype(int)
    onset = onset[onset < t - 700]
    end = np.minimum(onset + rng.integers(20, 400, len(onset)), np.append(onset[1:], t) - 1)
    log_square = 0.5 * correlated(rng, t)
    for first, last in zip(onset, end, strict=True):
        since = np.arange(t - first)
        shape = np.minimum(since / 20, 1) * np.exp(-np.maximum(since - 20, 0) / ((last - first) / 2))
        log_square[first:] += rng.uniform(*np.log([10, 1000])) * shape
    square = np.exp(log_square)
    mean_square, _ = signal.lfilter([0.001], [1, -0.999], square, zi=[0.999 * np.exp(0.125)])
    measures = {
        "loss": np.ones(t),
        "gradient_norm": np.sqrt(square),
        "effective_step_q50": mean_square**-0.5 * (1 + np.arange(t) / 1000) ** drift,
        "rms_worst": np.sqrt(square / mean_square),
    }
    return onset, end, measures


def params(replicate=0, optimizer="adam", **spec):
    return {
        "fraction": 0.8,
        "replicate": replicate,
        "optimizer": optimizer,
        "optimizer_spec": {"class": "Adam", "learning_rate": 1e-3, **spec},
        "training": {"batch_size": 32, "last_batch": "keep"},
        "outcome": {"n_train": 800, "steps_per_epoch": STEPS_PER_EPOCH},
    }


def history(steps, replicate=0, curvature=None, **options):
    made = History({}, {name: np.float32(values) for name, values in steps.items()}, params(replicate, **options))
    made.curvature = curvature or {}
    return made


def spike_table(onset, end):
    return pd.DataFrame({"onset": onset, "end": np.asarray(end, float)})
