"""Whether a run has converged, and the chance to stop at a bad model: on planted truth, and where there is nothing."""

import numpy as np
import pandas as pd
import pytest
from scipy import signal, stats

from quasarcurves.analysis import convergence, tables
from quasarcurves.training.history import History, collect

NAN = float("nan")


def ar(rho, n, size, rng):
    """Stationary AR(1) series of standard deviation 1."""
    noise = rng.standard_normal((size, n + 300))
    return signal.lfilter([np.sqrt(1 - rho**2)], [1, -rho], noise, axis=1)[:, 300:]


def test_independent_values_count_in_full_and_repeated_ones_once():
    rng = np.random.default_rng(1)
    values = rng.standard_normal(2000)
    assert convergence.effective_size(values) == pytest.approx(2000, rel=0.1)
    assert convergence.effective_size(np.repeat(values[:200], 10)) == pytest.approx(200, rel=0.25)
    assert convergence.effective_size(np.ones(50)) == 50
    assert convergence.effective_size(np.array([1.0])) == 1


def test_effective_size_of_ar1_is_the_closed_form():
    rng = np.random.default_rng(2)
    found = [convergence.effective_size(x) for x in ar(0.8, 2000, 50, rng)]
    assert np.median(found) == pytest.approx(2000 * (1 - 0.8) / (1 + 0.8), rel=0.15)


def coverage_of_changes(rho, fall, n, size):
    course = fall * np.arange(n) / n
    series = ar(rho, n, size, np.random.default_rng(3))
    found = np.array([convergence.trend(np.exp(course + 0.08 * x), n) for x in series])
    return np.mean((found[:, 1] <= np.exp(fall)) & (np.exp(fall) <= found[:, 2]))


@pytest.mark.parametrize(("rho", "fall"), [(0.0, 0.0), (0.5, -0.3), (0.9, 0.0)])
def test_intervals_of_changes_cover(rho, fall):
    assert 0.90 <= coverage_of_changes(rho, fall, 150, 200) <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("fall", [0.0, -0.3])
@pytest.mark.parametrize("n", [50, 150, 500])
def test_intervals_of_changes_cover_whatever_the_length(rho, fall, n):
    assert 0.90 <= coverage_of_changes(rho, fall, n, 1000) <= 0.99


def verdicts(losses):
    found = [convergence.judge(*convergence.trend(loss, len(loss))[1:]) for loss in losses]
    return {verdict: np.mean(np.array(found) == verdict) for verdict in ("converged", "still falling", "rising")}


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_a_flat_loss_has_converged(rho):
    found = verdicts(np.exp(0.03 * ar(rho, 150, 100, np.random.default_rng(4))))
    assert found["converged"] >= 0.95
    assert found["still falling"] + found["rising"] <= 0.05


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_a_flat_noisy_loss_is_not_said_to_move(rho):
    found = verdicts(np.exp(0.3 * ar(rho, 150, 150, np.random.default_rng(5))))
    assert found["still falling"] + found["rising"] <= 0.09
    assert found["converged"] <= 0.02


@pytest.mark.parametrize(("change", "verdict"), [(-0.5, "still falling"), (0.5, "rising")])
def test_a_moving_loss_is_seen_to_move(change, verdict):
    noise = np.exp(0.08 * ar(0.5, 150, 100, np.random.default_rng(6)))
    assert verdicts(np.exp(change * np.arange(150) / 150) * noise)[verdict] >= 0.95


def test_a_change_just_at_what_matters_is_seldom_called_none():
    """The verdict is an equivalence test: its error is to say `converged` of a change of 1.1."""
    course = np.log(convergence.MATTERS) * np.arange(150) / 150
    found = verdicts(np.exp(course + 0.03 * ar(0.3, 150, 200, np.random.default_rng(7))))
    assert found["converged"] <= 0.05


def test_spikes_do_not_move_the_trend():
    rng = np.random.default_rng(8)
    loss = np.exp(-0.3 * np.arange(150) / 150) * rng.lognormal(0, 0.05, 150)
    spiked = loss.copy()
    spiked[120:124] *= 30
    assert convergence.trend(spiked, 150)[0] == pytest.approx(convergence.trend(loss, 150)[0], rel=0.03)


def test_the_change_is_that_of_a_straight_line():
    loss = 2.0 * np.exp(-0.004 * np.arange(100))
    assert convergence.trend(loss, 100) == pytest.approx([np.exp(-0.4)] * 3)
    sparse = np.where(np.arange(100) % 10 == 9, loss, NAN)
    assert convergence.trend(sparse, 100)[0] == pytest.approx(np.exp(-0.4))


@pytest.mark.parametrize("loss", [np.ones(5), np.full(100, NAN), np.array([]), np.zeros(50)])
def test_too_few_values_have_no_trend(loss):
    assert np.isnan(convergence.trend(loss, 100)).all()
    assert convergence.judge(NAN, NAN) == "cannot say"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.95, 1.05, "converged"),
        (0.95, 0.99, "converged"),
        (0.8, 0.99, "still falling"),
        (1.01, 1.3, "rising"),
        (0.8, 1.05, "cannot say"),
        (0, np.inf, "cannot say"),
    ],
)
def test_verdicts_on_changes(low, high, verdict):
    assert convergence.judge(low, high) == verdict


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("n", [12, 120])
def test_intervals_of_the_chance_cover(rho, n):
    sigma = 0.1
    truth = stats.norm.sf(np.log(convergence.MATTERS) / sigma)
    losses = np.exp(sigma * ar(rho, n, 150, np.random.default_rng(9)))
    found = np.array([convergence.stop_chance(loss) for loss in losses])
    # the shares themselves are measured from the median of each run, which makes them vary less than a binomial
    assert np.mean((found[:, 1] <= truth) & (truth <= found[:, 2])) >= 0.90


def test_intervals_of_the_chance_cover_with_spikes():
    """Spikes of 5 epochs: each counts about once."""
    rng, t, mean, width = np.random.default_rng(10), 400, 80, 5
    truth, covered = 1 - (1 - 1 / mean) ** width, []
    for _ in range(200):
        high = signal.lfilter(np.ones(width), [1], rng.random(t + width) < 1 / mean)[width:] > 0
        _, low, top = convergence.stop_chance(np.where(high, 10.0, 1.0) * rng.lognormal(0, 0.01, t))
        covered.append(low <= truth <= top)
    assert 0.88 <= np.mean(covered) <= 0.99


def test_the_chance_is_a_share():
    loss = np.ones(100)
    loss[[10, 30, 50, 70]] = 1.2
    loss[20] = 1.05
    chance, low, high = convergence.stop_chance(loss)
    # independent ones: Jeffreys' interval for 4 of 100
    assert chance == pytest.approx(0.04)
    assert (low, high) == pytest.approx(tuple(stats.beta.ppf([0.025, 0.975], 4.5, 96.5)), rel=0.15)
    assert convergence.stop_chance(np.ones(100))[:2] == (0, 0)
    assert np.isnan(convergence.stop_chance(np.array([NAN]))).all()


def row(**changes):
    run = {
        "diverged": False, "convergence": "converged", "convergence_val": "converged",
        "stop_chance_val": 0.0, "stop_chance_val_low": 0.0, "stop_chance_val_high": 0.03,
        "stop_chance_train": 0.2, "stop_chance_train_low": 0.1, "stop_chance_train_high": 0.3,
        "test_loss_final": 1.0, "test_loss_best": 1.0, "best_better": "", "best_worse": "", "best_open": "",
    }  # fmt: skip
    return run | changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["none"]),
        ({"stop_chance_val_high": 0.2}, ["cannot say"]),
        ({"best_open": "crossing"}, ["cannot say"]),
        ({"best_worse": "purity"}, ["none"]),
        # a loss is no reason to stop
        ({"test_loss_final": 1.6}, ["none"]),
        ({"best_better": "crossing"}, ["worse than its best"]),
        ({"best_better": "crossing", "best_worse": "purity"}, ["none"]),
        ({"convergence": "cannot say"}, ["cannot say"]),
        ({"convergence": "still falling"}, ["training loss still falling"]),
        ({"convergence_val": "rising", "best_better": "purity"}, ["validation loss rising", "worse than its best"]),
        ({"stop_chance_val_low": 0.06}, ["depends on when it stops"]),
        ({"stop_chance_val": NAN}, ["depends on when it stops"]),
        ({"diverged": True, "convergence": "diverged"}, ["diverged"]),
    ],
)
def test_concerns(changes, expected):
    assert convergence.concerns(row(**changes)) == expected


def make(replicate, loss, val_loss=None, diverged=False, optimizer="adam"):
    n = len(loss)
    epochs = {"loss": np.asarray(loss), "val_loss": np.full(n, NAN) if val_loss is None else np.asarray(val_loss)}
    outcome = {"n_train": 256, "steps_per_epoch": 4, "epochs": n, "diverged": diverged}
    outcome["diverged_step"] = 4 * n - 1 if diverged else None
    params = {"fraction": 0.8, "replicate": replicate, "optimizer": optimizer, "outcome": outcome}
    return History(epochs, {"loss": np.ones(4 * n)}, params)


@pytest.fixture
def histories(tmp_path):
    """A flat run with validation, a falling one without, one that diverges, one of three epochs."""
    rng = np.random.default_rng(11)
    val_loss = np.full(400, NAN)
    val_loss[9::10] = 3.0
    val_loss[[49, 379]] = 2.0, 4.0
    runs = [
        make(0, rng.lognormal(0, 0.02, 400), val_loss),
        make(1, np.exp(-np.arange(400) / 100) * rng.lognormal(0, 0.02, 400)),
        make(2, [3.0, 2.0, np.inf], diverged=True),
        make(3, [3.0, 2.0, 1.0]),
    ]
    for i, run in enumerate(runs):
        run.save(tmp_path / f"{i}.h5")
    collect(((f"r{i}", tmp_path / f"{i}.h5") for i in range(len(runs))), tmp_path / "histories.h5")
    return tmp_path / "histories.h5"


TESTED = pd.DataFrame(
    [(0.8, 0, "adam", "final", 150, 2.5), (0.8, 0, "adam", "best", 150, 2.0), (0.8, 1, "adam", "final", 150, 3.0)],
    columns=["fraction", "replicate", "optimizer", "model", "n_test", "test_loss"],
)


SPIKES = pd.DataFrame(
    [(0.8, 1, "adam", "step", "sustained", 1400, 1410, 1420), (0.8, 1, "adam", "step", "outlier", 1500, 1500, 1501)],
    columns=["fraction", "replicate", "optimizer", "scale", "kind", "onset", "peak", "end"],
)
METRICS = ("loss", "crossing", "completeness", "purity", "sigma_dv")
VERDICTS = {
    0: ("best is worse", "same", "best is better", "cannot say", "same"),
    1: ("best is better", "same", "same", "same", "same"),
}
COMPARED = pd.DataFrame(
    [(0.8, run, "adam", *pair) for run, said in VERDICTS.items() for pair in zip(METRICS, said, strict=True)],
    columns=["fraction", "replicate", "optimizer", "metric", "verdict"],
)


def judged(histories, test_losses=None, spikes=SPIKES, compared=None):
    path, folder = histories.parent / "convergence.csv", histories.parent
    spikes.to_csv(folder / "spikes.csv", index=False)
    if compared is not None:
        compared.to_csv(folder / "stopping.csv", index=False)
    comparisons = None if compared is None else folder / "stopping.csv"
    convergence.write(histories, folder / "spikes.csv", test_losses, comparisons, path)
    return tables.read(path).set_index("replicate")


def test_a_row_per_run(histories, tmp_path):
    TESTED.to_csv(tmp_path / "test_losses.csv", index=False)
    runs = judged(histories, tmp_path / "test_losses.csv", compared=COMPARED)
    flat, falling = runs.loc[0], runs.loc[1]
    assert (flat["test_loss_final"], flat["test_loss_best"], flat["epoch_best"]) == (2.5, 2.0, 50)
    # the last 80 epochs hold 8 validations: seven of 3 and one of 4
    assert (flat["validations_late"], flat["val_loss_late"], flat["stop_chance_val"]) == (8, 25 / 8, 1 / 8)
    assert (flat["stop_late_worse"], flat["stop_late_epochs"], flat["masked_late"]) == (1, 8, 0)
    assert (flat["convergence"], flat["stop_chance_train"]) == ("converged", 0)
    assert flat["concern"] == "worse than its best"
    assert (flat["best_better"], flat["best_open"]) == ("completeness", "purity")
    assert (falling["stop_late_epochs"], falling["masked_late"]) == (80, 7 + 1)
    assert falling["convergence"] == "still falling"
    assert falling["change_train"] == pytest.approx(np.exp(-1), rel=0.03)
    assert falling["convergence_val"] == "cannot say"
    assert (falling["test_loss_final"], np.isnan(falling["test_loss_best"])) == (3.0, True)
    assert np.isnan(falling["val_loss_late"])


def test_a_diverged_run_is_named_and_not_judged(histories):
    run = judged(histories).loc[2]
    assert (run["convergence"], run["convergence_val"], run["concern"]) == ("diverged",) * 3
    assert (run["diverged"], run["diverged_step"]) == (True, 11)
    assert np.isnan(run[["change_train", "stop_chance_train", "val_loss_late"]].astype(float)).all()


def test_a_run_too_short_to_say(histories):
    assert judged(histories).loc[3, ["convergence", "concern"]].tolist() == ["cannot say", "cannot say"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="test_loss"), "found no test_loss"),
        (lambda t: t.assign(model="last"), "expected the models final and best, found last"),
        (lambda t: pd.concat([t, t.head(1)]), "expected one test loss per run and model, found two of"),
    ],
)
def test_wrong_test_losses_are_refused(histories, tmp_path, change, message):
    change(TESTED).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(ValueError, match=f"bad.csv: .*{message}"):
        judged(histories, tmp_path / "bad.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="verdict"), "found no verdict"),
        (lambda t: t.assign(verdict="better"), "expected the verdicts .* found better"),
    ],
)
def test_wrong_comparisons_are_refused(histories, change, message):
    with pytest.raises(ValueError, match=f"stopping.csv: .*{message}"):
        judged(histories, compared=change(COMPARED))


def test_spikes_without_their_kind_are_refused(histories):
    with pytest.raises(ValueError, match=r"spikes.csv: expected the columns .*kind.*, found no kind"):
        judged(histories, spikes=SPIKES.drop(columns="kind"))


def test_spikes_of_other_runs_are_not_masked(histories):
    found = judged(histories)["masked_late"]
    assert found.loc[[0, 2, 3]].tolist() == [0, 0, 0]
    assert found.loc[1] == 8
    assert (judged(histories, spikes=SPIKES.head(0))["masked_late"] == 0).all()


def test_a_run_that_keeps_its_best_by_a_score_has_its_epoch():
    run = make(0, np.ones(6), [NAN, 3.0, 2.0, 1.0, 2.0, NAN])
    assert tables.best_epoch(run) == 4
    run.params["training"] = {"best": "crossing"}
    run.epochs["val_crossing"] = np.array([NAN, 0.7, 0.8, NAN, 0.8, NAN])
    assert tables.best_epoch(run) == 3
    run.params["outcome"]["best_is"] = "lower"
    assert tables.best_epoch(run) == 2
    run.epochs["val_crossing"][:] = NAN
    assert tables.best_epoch(run) == 4
    assert tables.best_epoch(make(0, np.ones(3))) is None
