"""Which optimizers remove the spikes and what they cost, on studies whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quasarcurves.analysis import cures, tables
from quasarcurves.analysis.metrics.scorer import Estimate
from quasarcurves.analysis.spikes import detection
from quasarcurves.analysis.stats import rates, ratios
from quasarcurves.quasarnet.analysis import scorer
from quasarcurves.training.history import History, collect

SAME = (1.0, 1.0, 1.0, 1.0)
CURE = (0.0, 1.5, 0.8, 0.3)


def compared(runs, reference="adam", matches=None):
    table = cures.compare_all(runs, reference, matches or {})
    return table.set_index(["fraction", "optimizer", "reference"])


def test_a_cure_and_its_price_are_found(study):
    rng, rows = np.random.default_rng(1), []
    for _ in range(10):
        runs = study(rng, {"adam": SAME, "cure": CURE, "other": SAME}, tall=8)
        rows.append(compared(runs).loc[(0.8, "cure", "adam")])
    table = pd.DataFrame(rows)
    for name in ("removes_spikes", "removes_spikes_adjusted"):
        assert (table[name] == "yes").mean() >= 0.9
    assert (table["price_train_verdict_adjusted"] == "higher").mean() >= 0.9
    assert (table["price_test_verdict_adjusted"] == "lower").mean() >= 0.9
    for name, truth in (("price_train", 1.5), ("price_lowest", 1.5), ("price_test", 0.8), ("price_test_best", 0.8)):
        assert table[f"{name}_low"].lt(truth).mul(table[f"{name}_high"].gt(truth)).mean() >= 0.8
    assert table["step_ratio"].unique() == pytest.approx(0.3)


@pytest.mark.parametrize("studies", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_equal_optimizers_are_not_told_apart(study, studies):
    rng, wrong, equal = np.random.default_rng(2), [], []
    for _ in range(studies):
        runs = study(rng, {name: SAME for name in ("adam", "a", "b", "c", "d")}, noise=0.1)
        rows = compared(runs).query("optimizer != 'adam'")
        # the chance of any error in a study is what the adjustment holds
        wrong.append(
            [
                rows["removes_spikes_adjusted"].eq("yes").any(),
                rows["price_train_verdict_adjusted"].isin(["lower", "higher"]).any(),
                rows["lowers_spikes_adjusted"].isin(["yes", "no"]).any(),
            ]
        )
        equal.append(rows["price_train_verdict"].isin(["lower", "higher"]).mean())
    assert np.mean(wrong, axis=0)[0] == 0
    assert max(np.mean(wrong, axis=0)[1:]) <= 0.05 + 2 * (0.05 / studies) ** 0.5
    assert np.mean(equal) <= 0.05 + (0.05 / studies) ** 0.5


def test_adjusted_probabilities_are_holms_over_the_optimizers_of_a_fraction(study):
    effects = {"adam": SAME} | {name: (1.0, 1.05, 1.0, 1.0) for name in "abc"}
    table = compared(study(np.random.default_rng(3), effects, fractions=(0.8, 0.2), noise=0.1))
    for fraction in (0.8, 0.2):
        rows = table.loc[fraction].query("optimizer != 'adam'")
        p = np.sort(rows["price_train_p"])
        expected = np.minimum(np.maximum.accumulate(p * [3, 2, 1]), 1)
        np.testing.assert_allclose(np.sort(rows["price_train_p_holm"]), expected)


def test_counts_rates_and_medians_are_those_of_the_runs(study):
    runs = study(np.random.default_rng(4), {"adam": SAME, "cure": (0.5, 1.2, 1.0, 1.0)})
    row, own = compared(runs).loc[(0.8, "cure", "adam")], runs[runs["optimizer"] == "cure"]
    for kind in cures.RATES:
        assert row[f"spikes_{kind}"] == own[f"spikes_{kind}"].sum()
        assert row[f"{kind}_per_1000_steps"] == pytest.approx(own[f"spikes_{kind}"].sum() / 50)
    assert not row["within_run"]
    for name in cures.MEASURES:
        assert row[name] == pytest.approx(np.median(own[name]))
    both = runs.pivot(index="replicate", columns="optimizer", values="loss_final")
    assert row["price_train"] == pytest.approx(stats.gmean(both["cure"] / both["adam"]))
    assert (row["replicates"], row["pairs"], row["price_train_pairs"]) == (5, 5, 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("matched", "verdict"),
    [(SAME, cures.EQUIVALENT), ((1.0, 1.5, 1.0, 1.0), "differs"), ((4.0, 1.0, 1.0, 1.0), "differs")],
)
def test_amsgrad_against_a_matched_step(matched, verdict, study):
    rng, found = np.random.default_rng(5), []
    for _ in range(5):
        runs = study(rng, {"adam": SAME, "amsgrad": SAME, "adam_matched": matched}, tall=30, noise=0.02)
        row = compared(runs, matches={"adam_matched": "amsgrad"}).loc[(0.8, "adam_matched", "amsgrad")]
        assert row["matched"]
        found.append(row["equivalence"])
    assert np.mean(np.array(found) == verdict) >= 0.9


@pytest.mark.slow
def test_noise_settles_nothing(study):
    rng, found = np.random.default_rng(6), []
    for _ in range(10):
        runs = study(rng, {"adam": SAME, "amsgrad": SAME, "adam_matched": SAME}, noise=0.3)
        found.append(
            compared(runs, matches={"adam_matched": "amsgrad"}).loc[(0.8, "adam_matched", "amsgrad"), "equivalence"]
        )
    assert found.count("differs") / 10 <= 0.1
    assert found.count("not settled") / 10 >= 0.9


@pytest.mark.slow
def test_equivalence_is_seldom_claimed_of_a_difference_that_matters(study):
    rng, found = np.random.default_rng(7), []
    for _ in range(100):
        runs = study(rng, {"adam": SAME, "amsgrad": SAME, "adam_matched": (1.0, 1.1, 1.0, 1.0)}, tall=40, noise=0.02)
        found.append(
            compared(runs, matches={"adam_matched": "amsgrad"}).loc[(0.8, "adam_matched", "amsgrad"), "equivalence"]
        )
    assert found.count(cures.EQUIVALENT) / 100 <= 0.05


def test_a_difference_among_three_must_outlive_the_adjustment():
    ratios = {"rate_ratio_sustained": (1.0, 0.5, 2.1, 0.9)}
    ratios |= {"price_train": (1.3, 1.02, 1.7, 0.03), "price_test": (1.0, 0.8, 1.2, 0.9)}
    row = {f"{name}{end}": value for name, values in ratios.items()
           for end, value in zip(("", "_low", "_high", "_p"), values, strict=True)}  # fmt: skip
    row |= {"diverged": 0, "pairs": 5}
    assert cures.equivalence(row) == ("not settled", "")
    assert cures.equivalence(row | {"price_train_p": 0.01}) == ("differs", "price_train")


def test_removal_is_judged_against_one_half(study):
    runs = study(np.random.default_rng(15), {"adam": SAME, "cure": SAME})
    runs["spikes_sustained"] = np.where(runs["optimizer"] == "adam", 20, 4)
    row = compared(runs).loc[(0.8, "cure", "adam")]
    strata = [tuple(rates.Counts(np.full(5, n), np.full(5, 10.0)) for n in (4.0, 20.0))]
    assert row["removes_spikes_p"] == pytest.approx(ratios.rate_ratio_p(strata, 0.5))
    assert row["removes_spikes_p_without_one_run"] == pytest.approx(ratios.rate_ratio_p_without_one_run(strata, 0.5))
    assert (row["removes_spikes"], row["rate_ratio_sustained"]) == ("yes", 0.2)


def test_fewer_spikes_but_not_less_than_half_are_told_apart_from_as_many(study):
    runs = study(np.random.default_rng(15), {"adam": SAME, "cure": SAME, "worse": SAME})
    runs["spikes_sustained"] = runs["optimizer"].map({"adam": 20, "cure": 9, "worse": 60})
    rows = compared(runs).loc[0.8].xs("adam", level="reference")
    verdicts = rows[["removes_spikes", "lowers_spikes", "lowers_spikes_adjusted"]]
    assert verdicts.loc["cure"].tolist() == ["cannot say", "yes", "yes"]
    assert verdicts.loc["worse"].tolist() == ["no", "no", "no"]
    strata = [tuple(rates.Counts(np.full(5, n), np.full(5, 10.0)) for n in (9.0, 20.0))]
    assert rows.loc["cure", "lowers_spikes_p"] == pytest.approx(ratios.rate_ratio_p(strata, 1.0))


def test_a_cure_of_one_run_is_none(study):
    """All spikes of the reference in one of five runs: however many, that verdict would hang on it."""
    runs = study(np.random.default_rng(16), {"adam": SAME, "cure": SAME})
    runs["spikes_sustained"] = np.where((runs["optimizer"] == "adam") & (runs["replicate"] == 2), 100, 0)
    row = compared(runs).loc[(0.8, "cure", "adam")]
    assert row["removes_spikes_p_without_one_run"] == 1
    assert row["removes_spikes"] == row["lowers_spikes"] == "cannot say"


def test_all_fractions_together_settle_what_none_does_alone(study):
    rng, alone, together = np.random.default_rng(17), [], []
    for _ in range(3):
        runs = study(rng, {"adam": SAME, "cure": CURE}, replicates=3, fractions=(0.8, 0.4, 0.2), tall=3)
        alone.append(compared(runs).loc[(slice(None), "cure", "adam"), "removes_spikes"].eq("yes").mean())
        row = cures.compare_overall(runs, "adam", {}).set_index("optimizer").loc["cure"]
        assert (row["strata"], row["pairs"], row["within_run"]) == (3, 9, False)
        assert row["spikes_reference"] == runs.loc[runs["optimizer"] == "adam", "spikes_sustained"].sum()
        together.append(row["removes_spikes"] == "yes")
    assert np.mean(alone) < np.mean(together)
    assert np.mean(together) >= 0.8


def test_equal_optimizers_are_equal_over_all_fractions(study):
    rng, p = np.random.default_rng(18), []
    for _ in range(12):
        runs = study(rng, {"adam": SAME, "other": SAME}, replicates=3, fractions=(0.8, 0.2), tall=4)
        row = cures.compare_overall(runs, "adam", {}).iloc[0]
        assert row["removes_spikes"] != "yes"
        p.append(row["rate_ratio_p"])
    assert np.sum(np.array(p) < 0.05) <= 1


def test_six_against_none_of_one_replicate_is_stated_but_settles_nothing(study):
    runs = study(np.random.default_rng(19), {"adam": SAME, "amsgrad": SAME}, 1, (0.8, 0.4, 0.2, 0.1))
    runs["spikes_sustained"] = [5, 0, 1, 0, 0, 0, 0, 0]
    row = cures.compare_overall(runs, "adam", {}).iloc[0]
    assert (row["spikes_sustained"], row["spikes_reference"], row["within_run"]) == (0, 6, True)
    assert row["exact_p"] == pytest.approx(2 / 64)
    assert row["removes_spikes"] == "cannot say"


def test_two_that_have_no_spikes_left_are_equivalent_in_them(study):
    none = (0.0, 1.0, 1.0, 1.0)
    runs = study(np.random.default_rng(8), {"adam": SAME, "amsgrad": none, "adam_matched": none}, tall=10)
    row = compared(runs, matches={"adam_matched": "amsgrad"}).loc[(0.8, "adam_matched", "amsgrad")]
    assert np.isnan(row["rate_ratio_sustained"])
    assert row["equivalence"] == cures.EQUIVALENT


def test_one_replicate_settles_nothing(study):
    runs = study(np.random.default_rng(9), {"adam": SAME, "cure": CURE}, replicates=1, tall=30)
    row = compared(runs).loc[(0.8, "cure", "adam")]
    assert (row["spikes_sustained"], row["within_run"]) == (0, True)
    assert row["removes_spikes"] == row["lowers_spikes"] == "cannot say"
    assert np.isnan(row["removes_spikes_p_without_one_run"])
    assert row[["price_train_verdict", "price_test_verdict", "equivalence"]].tolist() == ["not settled"] * 3
    assert row["price_train"] > 1.2
    assert np.isnan(row[["price_train_low", "price_train_high"]].astype(float)).all()


SHARES = ("completeness", "purity", "bal_completeness")


def metrics_of(rng, runs, lost, objects=2000):
    """Metrics of all runs on one test set, of which an optimizer misses a share that the others find."""
    quasars, scores = np.ones(objects, bool), {}
    hard = rng.random(objects) < 0.1
    for row in runs.to_dict("records"):
        missed = hard | (rng.random(objects) < 0.001 + lost.get(row["optimizer"], 0))
        share = scorer._share(~missed, quasars, np.arange(objects))
        scatter = Estimate(np.log(1000 * (1 + 5 * lost.get(row["optimizer"], 0))), np.zeros(objects), objects)
        scores[(row["fraction"], row["replicate"], row["optimizer"])] = dict.fromkeys(SHARES, share) | {
            "sigma_dv": scatter
        }
    return cures.Tested.of(scores, scorer.QuasarNetScorer())


def test_the_price_in_test_metrics_is_found(study):
    rng = np.random.default_rng(20)
    runs = study(rng, dict.fromkeys(("adam", "worse", "equal"), SAME))
    scores = metrics_of(rng, runs, {"worse": 0.1})
    table = cures.compare_all(runs, "adam", {}, scores).set_index(["optimizer", "reference"])
    worse, equal = table.loc[("worse", "adam")], table.loc[("equal", "adam")]
    assert worse["difference_completeness"] == pytest.approx(-0.09, abs=0.01)
    assert worse["difference_completeness_low"] < -0.09 < worse["difference_completeness_high"]
    assert worse["ratio_sigma_dv"] == pytest.approx(1.5)
    for name in (*(f"difference_{name}" for name in SHARES), "ratio_sigma_dv"):
        assert (worse[f"{name}_verdict"], equal[f"{name}_verdict"], worse[f"{name}_pairs"]) == ("worse", "same", 5)
    own = [metrics["completeness"].value for (_, _, name), metrics in scores.scores.items() if name == "worse"]
    assert worse["completeness"] == pytest.approx(np.median(own))
    assert worse["sigma_dv"] == pytest.approx(1500)
    from_worse = cures.compare_all(runs, "worse", {}, scores).set_index("optimizer").loc["adam"]
    assert from_worse["difference_purity_verdict"] == from_worse["ratio_sigma_dv_verdict"] == "better"
    overall = cures.compare_overall(runs, "adam", {}, scores).set_index("optimizer")
    assert overall.loc["worse", "difference_completeness"] == pytest.approx(worse["difference_completeness"])


def test_one_pair_has_an_interval_over_objects_and_no_verdict(study):
    rng = np.random.default_rng(21)
    runs = study(rng, {"adam": SAME, "worse": SAME}, replicates=1)
    row = cures.compare_all(runs, "adam", {}, metrics_of(rng, runs, {"worse": 0.1})).iloc[1]
    assert row["difference_completeness_high"] < 0
    assert row["within_run"]
    assert row["difference_completeness_verdict"] == "not settled"


def test_metrics_of_diverged_runs_are_left_out(study):
    rng = np.random.default_rng(22)
    runs = study(rng, {"adam": SAME, "equal": SAME})
    runs.loc[(runs["optimizer"] == "equal") & (runs["replicate"] == 1), "diverged"] = True
    row = cures.compare_all(runs, "adam", {}, metrics_of(rng, runs, {})).iloc[1]
    assert row["difference_completeness_pairs"] == 4
    assert row["difference_completeness_verdict"] == "not settled"


def test_a_rate_is_empty_where_no_run_was_searched(study):
    runs = study(np.random.default_rng(6), {"adam": SAME, "cure": SAME})
    spikeless = {f"spikes_{kind}": 0 for kind in cures.RATES} | {f"exposure_{kind}": 0.0 for kind in cures.RATES}
    row = compared(runs.assign(**spikeless)).loc[(0.8, "cure", "adam")]
    assert row[[f"{kind}_per_1000_steps{end}" for kind in cures.RATES for end in ("", "_low", "_high")]].isna().all()
    assert row["removes_spikes"] == row["removes_spikes_adjusted"] == "cannot say"


def test_a_study_of_one_optimizer_has_the_same_columns(study):
    alone = cures.compare_all(study(np.random.default_rng(10), {"sgd": SAME}), "sgd", {})
    assert len(alone) == 1
    several = cures.compare_all(study(np.random.default_rng(10), {"sgd": SAME, "adam": SAME}), "adam", {})
    assert list(alone.columns) == list(several.columns)


def test_diverged_runs_are_named_and_left_out_of_ratios(study):
    runs = study(np.random.default_rng(11), {"adam": SAME, "cure": (0.0, 0.5, 0.5, 1.0)}, tall=10)
    bad = (runs["optimizer"] == "cure") & runs["replicate"].isin([1, 3])
    runs.loc[bad, ["diverged", "loss_final"]] = [True, np.inf]
    row = compared(runs).loc[(0.8, "cure", "adam")]
    assert (row["diverged"], row["diverged_replicates"], row["price_train_pairs"]) == (2, "1 3", 3)
    assert (row["price_lowest_pairs"], row["price_test_pairs"]) == (3, 3)
    assert row["removes_spikes"] == "cannot say"
    assert row["price_train"] == pytest.approx(0.5, rel=0.1)
    assert row["price_train_verdict"] == "not settled"
    runs.loc[runs["optimizer"] == "cure", ["diverged", "loss_final"]] = [True, np.inf]
    assert compared(runs).loc[(0.8, "cure", "adam"), "loss_final"] == np.inf


def test_replicates_that_only_one_side_has_are_not_compared(study):
    runs = study(np.random.default_rng(12), {"adam": SAME, "cure": CURE})
    missing = (runs["optimizer"] == "cure") & (runs["replicate"] == 0)
    row = compared(runs[~missing]).loc[(0.8, "cure", "adam")]
    assert (row["replicates"], row["pairs"], row["price_train_pairs"]) == (4, 4, 4)


def test_an_unknown_reference_is_refused(study):
    with pytest.raises(ValueError, match="expected a reference among adam, sgd, found 'lion'"):
        cures.compare_all(study(np.random.default_rng(13), {"adam": SAME, "sgd": SAME}), "lion", {})


def history(replicate, optimizer, spec, heights=(), steps=None):
    rng = np.random.default_rng([14, replicate])
    loss = np.repeat(rng.lognormal(0, 0.02, 300), 4)
    for place, height in heights:
        loss[4 * place : 4 * place + 8] *= height
    outcome = {"n_train": 128, "steps_per_epoch": 4, "epochs": 300, "diverged": False, "diverged_step": None}
    params = {
        "fraction": 0.8,
        "replicate": replicate,
        "optimizer": optimizer,
        "outcome": outcome,
        "optimizer_spec": spec,
    }
    epochs = {"loss": loss.reshape(-1, 4).mean(axis=1), "val_loss": np.full(300, np.nan)}
    measures = {"loss": loss} | ({"effective_step_q50": steps} if steps is not None else {})
    return History(epochs, measures, params)


@pytest.fixture
def results(tmp_path):
    """Two replicates of Adam with two spikes each, one tall; of AMSGrad, and of Adam at AMSGrad's step."""
    falling = np.linspace(1, 0, 1200)
    runs = []
    for replicate in (0, 1):
        runs += [
            history(replicate, "adam", {"class": "Adam"}, [(100, 20), (200, 2)], falling),
            history(replicate, "amsgrad", {"class": "Adam", "amsgrad": True}, steps=falling / 2),
            history(replicate, "adam_matched", {"class": "Adam", "match": "amsgrad"}),
        ]
    for i, run in enumerate(runs):
        run.save(tmp_path / f"{i}.h5")
    collect(((f"r{i}", tmp_path / f"{i}.h5") for i in range(len(runs))), tmp_path / "histories.h5")
    detection.write(*(tmp_path / name for name in ("histories.h5", "spikes.csv", "statistics.csv", "trends.csv")))
    return tmp_path


def written(results, test_losses=None):
    files = (results / name for name in ("histories.h5", "statistics.csv"))
    cures.write(*files, test_losses, "adam", results / "cures.csv", results / "cures_overall.csv")
    return tables.read(results / "cures.csv").set_index(["optimizer", "reference"])


def test_the_table_of_a_study(results):
    table = written(results)
    adam, amsgrad = table.loc[("adam", "adam")], table.loc[("amsgrad", "adam")]
    assert adam["spikes_tall"] == 2
    assert adam["tall_per_1000_steps"] == pytest.approx(2 / 2.0)  # 250 epochs of 4 steps, twice
    statistics = tables.read(results / "statistics.csv").query("optimizer == 'adam' and scale == 'step'")
    assert adam["spikes_sustained"] == statistics["spikes"].sum()
    assert adam["spikes_outlier"] == statistics["outliers"].sum()
    assert (amsgrad["spikes_tall"], amsgrad["rate_ratio_tall"]) == (0, 0)
    # the mean of the last tenth of a line from 1 to 0
    assert adam["late_effective_step"] == pytest.approx(0.05, rel=0.01)
    assert amsgrad["step_ratio"] == pytest.approx(0.5)
    assert amsgrad["price_train"] == pytest.approx(1)
    assert table.loc[("adam_matched", "amsgrad"), "matched"]
    assert table["matched"].sum() == 1
    assert np.isnan(table.loc[("adam_matched", "amsgrad"), "step_ratio"])
    assert np.isnan(amsgrad["price_test"])
    assert set(table.index.get_level_values("reference")) == {"adam", "amsgrad"}


def test_test_losses_are_read(results):
    rows = [(0.8, r, name, model, 9, loss) for r in (0, 1) for name in ("adam", "amsgrad")
            for model, loss in (("final", 2 + r), ("best", 1 + (name == "adam")))]  # fmt: skip
    columns = ["fraction", "replicate", "optimizer", "model", "n_test", "test_loss"]
    pd.DataFrame(rows, columns=columns).to_csv(results / "test_losses.csv", index=False)
    row = written(results, results / "test_losses.csv").loc[("amsgrad", "adam")]
    assert (row["test_loss_final"], row["price_test"], row["price_test_best"]) == (2.5, 1, 0.5)


def test_a_run_without_statistics_is_named(results):
    statistics = tables.read(results / "statistics.csv")
    statistics.iloc[1:].to_csv(results / "statistics.csv", index=False)
    message = "found none at scale epoch of fraction 0.8, replicate 0, optimizer adam"
    with pytest.raises(ValueError, match=f"statistics.csv: expected a row per run, {message}"):
        written(results)


def test_matches_are_read_from_the_specs(tmp_path):
    history(0, "held", {"class": "Adam", "match": "slow"}).save(tmp_path / "0.h5")
    collect([("a", tmp_path / "0.h5")], tmp_path / "all.h5")
    assert cures.matched(tmp_path / "all.h5") == {"held": "slow"}
