"""Verdicts on planted causes, and on none."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis.causes import hypotheses
from quasarcurves.analysis.causes.alignment import align, align_runs
from quasarcurves.analysis.causes.hypotheses import CONTRADICTED, NOT_MEASURED, NOT_SETTLED, SUPPORTED, facts_of, judge
from quasarcurves.training.history import History
from support.planted_runs import (
    STEPS_PER_EPOCH,
    T,
    history,
    measures,
    onsets_and_ends,
    params,
    ramp,
    remembered,
    spike_table,
)

TREND = {
    "optimizer": "adam",
    "scale": "step",
    "runs": 10,
    "spikes": 80,
    "steps_p": 0.5,
    "epochs_p": 1e-6,
    "reason": "",
    "slope_steps_per_epoch": 0.05,
    "slope_steps_per_epoch_low": -0.2,
    "slope_steps_per_epoch_high": 0.3,
    "verdict": "steps",
}


def facts(rng, plant=None, runs=5, spikes=8, curvature=None, **options):
    found = []
    for replicate in range(runs):
        onset, end = onsets_and_ends(rng, spikes)
        steps = measures(rng, onset, end)
        if plant:
            plant(steps, onset)
        made = history(steps, replicate, curvature(onset) if curvature else None, **options)
        found.append(facts_of(align(made, spike_table(onset, end))))
    return found


def verdicts(found, trends=None):
    table = judge(found, pd.DataFrame([TREND]) if trends is None else trends)
    return table.set_index("hypothesis")


def measured_by(threshold_over, every=50):
    """Curvature every 50 steps: `threshold_over(onset)` gives it over the threshold at each step."""

    def curvature(onset):
        step = np.arange(0, T, every)
        ratio = threshold_over(onset)[step]
        return {
            "step": step,
            "sharpness": 38 * ratio,
            "gradient_curvature": 38 * ratio,
            "threshold": np.full(len(step), 38),
            "batch_sharpness": 2 * ratio,
            "batch_threshold": np.full(len(step), 2),
            "descent_cosine": 1 - ratio,
            "clipped_share": ratio / 10,
        }

    return curvature


def test_planted_causes_are_supported():
    def plant(steps, onset):
        steps["effective_step_q50"] *= np.exp(0.3 * ramp(onset, 100))
        just_before = ramp(onset, 5) > 0
        steps["rms_worst"][just_before] = 3
        steps["gradient_norm"][just_before] *= 5
        steps["square_over_past"] = np.where(just_before, 6000, 50)
        for one in onset:
            steps["last_layer_norm"][one:] *= 1.05

    table = verdicts(
        facts(np.random.default_rng(1), plant, curvature=measured_by(lambda onset: 0.8 + 0.5 * (ramp(onset, 300) > 0)))
    )
    supported = [
        "effective step grows",
        "effective step is large",
        "preconditioned sharpness",
        "batch sharpness",
        "curvature along the gradient",
        "growth of the last layer",
        "outdated second moment",
        "exceptional gradients",
        "single gradients far above their past",
        "updates unrelated to descent",
        "gradient lost beyond the clip",
    ]
    assert set(supported) == {condition.hypothesis for condition in hypotheses.CONDITIONS}
    assert table.loc[supported, "verdict"].tolist() == [SUPPORTED] * len(supported)
    assert (table.loc[supported, "low"] > 0).all()
    assert "measured every 50 steps" in table.loc["preconditioned sharpness", "evidence"]
    assert "100%" in table.loc["outdated second moment", "evidence"]


def test_what_always_holds_explains_nothing():
    """At the edge of stability the sharpness is above its threshold all the time."""
    found = facts(np.random.default_rng(2), curvature=measured_by(lambda onset: np.full(T, 1.2)))
    row = verdicts(found).loc["preconditioned sharpness"]
    assert (row["estimate"], row["verdict"]) == (0, CONTRADICTED)
    assert "before 100%" in row["evidence"]
    assert "in 100% of the quiet windows" in row["evidence"]


def test_what_never_holds_is_contradicted():
    found = facts(np.random.default_rng(3), curvature=measured_by(lambda onset: 0.5 + 0.4 * ramp(onset, 300)))
    table = verdicts(found)
    for name in ("preconditioned sharpness", "batch sharpness", "curvature along the gradient"):
        assert table.loc[name, "verdict"] == CONTRADICTED


def test_what_is_measured_seldom_is_not_contradicted_by_not_being_seen():
    found = facts(np.random.default_rng(3), curvature=measured_by(lambda onset: np.full(T, 0.5), every=200))
    row = verdicts(found).loc["preconditioned sharpness"]
    assert row["verdict"] == NOT_SETTLED
    assert "measured every 200 steps, too seldom" in row["evidence"]


@pytest.mark.slow
def test_causes_that_are_none_are_never_supported_by_many_and_seldom_by_few():
    rng, names = np.random.default_rng(4), [condition.hypothesis for condition in hypotheses.CONDITIONS]
    found = pd.concat([verdicts(facts(rng, runs=4)) for _ in range(16)])
    counts = found.loc[[name for name in names if name in found.index], "verdict"].value_counts()
    assert counts.get(SUPPORTED, 0) <= 4  # of 80 that are measured; 2.5 % would be 2
    assert counts[NOT_MEASURED] == 6 * 16
    many = verdicts(facts(rng, runs=60))
    assert many.loc["effective step is large", "verdict"] == CONTRADICTED
    assert (many["verdict"] == SUPPORTED).sum() == 1  # of spikes that the trends say are locked to steps


@pytest.mark.slow
@pytest.mark.parametrize("drift", [0.0, 0.5])
def test_wakes_of_earlier_spikes_support_no_cause(drift):
    """Spikes at random whose gradients Adam's v remembers; the step may grow in training. 2.5 % of verdicts may err."""
    rng, supported = np.random.default_rng(14), []
    for _ in range(16):
        made = [remembered(rng, drift=drift) for _ in range(4)]
        runs = align_runs(
            [history(steps, replicate) for replicate, (*_, steps) in enumerate(made)],
            [spike_table(onset, end) for onset, end, _ in made],
        )
        table = verdicts([facts_of(run) for run in runs])
        measured = [
            "effective step grows",
            "effective step is large",
            "outdated second moment",
            "exceptional gradients",
        ]
        assert (table.loc[measured, "verdict"] != NOT_MEASURED).all()
        supported += list(table.loc[measured, "verdict"] == SUPPORTED)
    assert np.sum(supported) <= 4  # of 64


def test_few_spikes_settle_nothing():
    row = verdicts(facts(np.random.default_rng(5), runs=1, spikes=6)).loc["effective step grows"]
    assert row["verdict"] == NOT_SETTLED
    assert row["evidence"].startswith("too few spikes")


def test_spacing_that_exposures_do_not_tell_is_not_settled():
    reason = "no spike begins within the 1200 steps that all runs have"
    trend = TREND | {"steps_p": np.nan, "reason": reason}
    table = verdicts(facts(np.random.default_rng(5), runs=1, spikes=6), pd.DataFrame([trend]))
    assert table.loc["spacing fixed in steps", "verdict"] == NOT_SETTLED
    assert reason in table.loc["spacing fixed in steps", "evidence"]
    assert table.loc["spacing fixed in epochs", "verdict"] == CONTRADICTED


def test_what_is_not_recorded_is_not_measured():
    only_loss = [facts_of(align(history({"loss": np.ones(T)}), spike_table([3000], [3010])))]
    table = verdicts(only_loss)
    assert (table["verdict"].drop(["spacing fixed in steps", "spacing fixed in epochs"]) == NOT_MEASURED).all()
    assert "rms_worst was not recorded" in table.loc["outdated second moment", "evidence"]


def test_every_optimizer_has_a_row_for_every_hypothesis():
    found = facts(np.random.default_rng(6), runs=1) + facts(np.random.default_rng(6), runs=1, optimizer="sgd")
    table = judge(found, pd.DataFrame([TREND]))
    assert list(table.columns) == ["hypothesis", "optimizer", *hypotheses.COLUMNS[1:]]
    assert (table.groupby("hypothesis")["optimizer"].apply(list).map(tuple) == ("adam", "sgd")).all()
    assert table["evidence"].str.len().gt(10).all()
    assert table["verdict"].isin([SUPPORTED, CONTRADICTED, NOT_SETTLED, NOT_MEASURED]).all()
    assert table.loc[table["optimizer"] == "sgd", "evidence"].str.contains("no trend").sum() == 2


@pytest.mark.parametrize(
    ("interval", "share", "high", "expected"),
    [
        ((0.3, 0.8), 0.9, 1.0, SUPPORTED),
        ((0.1, 0.5), 0.4, 0.6, NOT_SETTLED),
        ((0.1, 0.5), 0.3, 0.45, CONTRADICTED),
        ((-0.1, 0.5), 0.9, 1.0, NOT_SETTLED),
        ((0.01, 0.19), 0.9, 1.0, CONTRADICTED),
        ((-0.5, -0.1), 0.2, 0.4, CONTRADICTED),
    ],
)
def test_the_rules_of_a_verdict(interval, share, high, expected):
    assert hypotheses.verdict_of(interval, share, high) == expected


@pytest.mark.parametrize(
    ("slope", "p", "expected"),
    [
        ((0.05, -0.2, 0.3), (0.5, 1e-6), (SUPPORTED, CONTRADICTED)),
        ((-0.9, -1.2, -0.6), (1e-6, 0.5), (CONTRADICTED, SUPPORTED)),
        ((-0.4, -1.1, 0.3), (0.3, 0.1), (NOT_SETTLED, NOT_SETTLED)),
        ((1.2, -0.1, 2.3), (0.14, 0.04), (NOT_SETTLED, CONTRADICTED)),
        ((0.8, 0.5, 1.1), (1e-4, 1e-9), (CONTRADICTED, CONTRADICTED)),
        ((np.nan, np.nan, np.nan), (np.nan, np.nan), (NOT_SETTLED, NOT_SETTLED)),
    ],
)
def test_spacing_is_judged_by_the_slope(slope, p, expected):
    names = ("slope_steps_per_epoch", "slope_steps_per_epoch_low", "slope_steps_per_epoch_high")
    trend = {**TREND, **dict(zip(names, slope, strict=True)), "steps_p": p[0], "epochs_p": p[1]}
    table = verdicts(facts(np.random.default_rng(7), runs=1), pd.DataFrame([trend]))
    assert tuple(table.loc[["spacing fixed in steps", "spacing fixed in epochs"], "verdict"]) == expected


def with_spikes_at(positions, epochs, n_train=790, last_batch="keep"):
    """A run whose spikes begin at these steps of these epochs."""
    onset = np.asarray(epochs) * STEPS_PER_EPOCH + np.asarray(positions)
    made = History({}, {"loss": np.ones(T)}, params())
    made.params["outcome"]["n_train"] = n_train
    made.params["training"]["last_batch"] = last_batch
    return facts_of(align(made, spike_table(onset, onset + 3)))


def test_spikes_of_the_incomplete_batch_are_seen():
    epochs, rng = np.arange(70, 390, 20), np.random.default_rng(8)
    row = verdicts([with_spikes_at(rng.choice([24, 25], 16), epochs)]).loc["incomplete last batch"]
    assert row["verdict"] == SUPPORTED
    assert row["estimate"] == pytest.approx(1 - 2 / 25)
    anywhere = [with_spikes_at(rng.integers(0, 25, 16), epochs) for _ in range(10)]
    assert verdicts(anywhere).loc["incomplete last batch", "verdict"] == CONTRADICTED
    for options in ({"n_train": 800}, {"last_batch": "drop"}):
        whole = [with_spikes_at(rng.choice([24, 25], 16), epochs, **options)]
        assert verdicts(whole).loc["incomplete last batch", "verdict"] == NOT_MEASURED


def amsgrad_step(t=T):
    number = np.arange(1, t + 1)
    return 1e-3 * np.sqrt(1 - 0.999**number) / (1 - 0.9**number) * (1 + number / 100) ** -0.1


@pytest.mark.parametrize(("jump", "expected"), [(1.0, SUPPORTED), (1.05, CONTRADICTED)])
def test_amsgrads_step_may_grow_by_its_bias_correction_alone(jump, expected):
    step = amsgrad_step()
    step[5000:] *= jump
    made = history({"loss": np.ones(T), "effective_step_q50": step}, optimizer="amsgrad", amsgrad=True)
    row = verdicts([facts_of(align(made, spike_table([], [])))]).loc["AMSGrad's step never grows"]
    assert row["verdict"] == expected
    assert row["estimate"] == pytest.approx(jump - 1, abs=2e-3)
    assert "AMSGrad's step never grows" not in verdicts(facts(np.random.default_rng(9), runs=1)).index


def test_z_scores_are_those_of_a_plain_loop(monkeypatch):
    monkeypatch.setattr(hypotheses, "_BLOCK", 64)
    norm = np.random.default_rng(10).lognormal(0, 0.3, 400)
    mean, variance, expected = norm[0], 0.0, []
    for value in norm[1:]:
        expected.append((value - mean) / np.sqrt(variance) if variance > 0 else np.nan)
        variance = 0.97 * variance + 0.03 * (value - mean) ** 2
        mean = 0.97 * mean + 0.03 * value
    found = hypotheses.z_score(norm)
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], expected, rtol=1e-9)
    norm[50] = np.nan
    assert np.isfinite(hypotheses.z_score(norm)[100:]).all()


def test_the_curvature_along_the_gradient_goes_by_the_threshold_of_full_batches():
    """Half of it is ten times the threshold of small batches, 2/lr, which is 38/lr only in the matrix of Bai et al."""
    row = verdicts(facts(np.random.default_rng(13), curvature=measured_by(lambda onset: np.full(T, 0.5))))
    row = row.loc["curvature along the gradient"]
    assert row["verdict"] == CONTRADICTED
    assert "the threshold of full batches" in row["prediction"]


def test_a_loss_that_is_clipped_nowhere_is_no_cause():
    found = facts(np.random.default_rng(11), curvature=measured_by(lambda onset: np.zeros(T)))
    row = verdicts(found).loc["gradient lost beyond the clip"]
    assert (row["estimate"], row["verdict"]) == (0, CONTRADICTED)
    assert "before 0% of" in row["evidence"]


def test_histories_from_before_batches_were_measured_say_so():
    def older(onset):
        columns = measured_by(lambda onset: np.full(T, 0.5))(onset)
        return {name: columns[name] for name in ("step", "sharpness", "gradient_curvature", "threshold")}

    table = verdicts(facts(np.random.default_rng(12), curvature=older))
    missing = {
        "batch sharpness": "batch_sharpness_over_threshold",
        "single gradients far above their past": "square_over_past",
        "updates unrelated to descent": "descent_cosine",
        "gradient lost beyond the clip": "clipped_share",
    }
    for name, measure in missing.items():
        assert table.loc[name, "verdict"] == NOT_MEASURED
        assert table.loc[name, "evidence"] == f"{measure} was not recorded"
    assert table.loc["preconditioned sharpness", "verdict"] != NOT_MEASURED
