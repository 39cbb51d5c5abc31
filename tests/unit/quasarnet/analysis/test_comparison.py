"""What changes from one network to another, on made-up predictions whose changes are planted."""

import numpy as np
import pytest

from quasarcurves.quasarnet.analysis import comparison, test_set
from quasarcurves.quasarnet.analysis.comparison import Rule, Said
from quasarcurves.quasarnet.analysis.test_set import Predicted
from quasarcurves.spectra.table import BAD, GALAXY, QSO_HIGH, STAR

RULE = Rule()


def predicted(confidence, z):
    return Predicted(np.column_stack([confidence, np.zeros(len(z))]), np.array(z, float), np.zeros((len(z), 1)))


def said(confidence, z, rule=RULE):
    return Said.by(rule, predicted(confidence, z), np.ones(len(z), bool))


BEFORE = [0.9, 0.9, 0.1, 0.9, 0.9, 0.1], [2.5, 2.5, 2.5, 2.5, 2.5, 2.5]
AFTER = [0.9, 0.2, 0.8, 0.9, 0.9, 0.2], [2.5, 2.5, 2.5, 1.0, 2.51, 0.3]
ABOUT = {"row": np.arange(6), "target_id": np.arange(6) + 100, "snr": np.full(6, 5.0)}


def test_every_change_is_of_one_kind():
    found = comparison.changed(said(*BEFORE), said(*AFTER), Rule())
    # spectrum 4 moves by 857 km/s, 5 is a quasar for neither
    assert {kind: np.flatnonzero(mask).tolist() for kind, mask in found.items()} == {
        "gained": [2], "lost": [1], "redshift": [3]
    }  # fmt: skip
    close = comparison.counts(said(*BEFORE), said(*AFTER), Rule(dv_max=500))
    assert close == {"gained": 1, "lost": 1, "redshift": 2}


def test_a_network_does_not_differ_from_itself():
    assert comparison.counts(said(*BEFORE), said(*BEFORE), Rule()) == {"gained": 0, "lost": 0, "redshift": 0}
    assert comparison.changes(said(*BEFORE), said(*BEFORE), Rule(), ABOUT).empty
    assert "0 change (0 %)" in comparison.sentence(6, {"gained": 0, "lost": 0, "redshift": 0})


def test_spectra_without_signal_are_no_quasars():
    without = Said.by(Rule(), predicted(*AFTER), np.array([True, True, False, True, True, True]))
    assert not without.called[2]
    assert comparison.counts(said(*BEFORE), without, Rule())["gained"] == 0


def test_the_table_says_who_is_right():
    tested = test_set.Tested(
        np.array([2.5, 2.5, 2.5, 1.0, 2.5, 0.0]), np.array([QSO_HIGH] * 5 + [STAR], np.uint8), np.zeros(6, np.int8),
        np.full(6, 5.0), np.arange(6),
    )  # fmt: skip
    table = comparison.changes(said(*BEFORE), said(*AFTER), Rule(), ABOUT, tested).set_index("kind")
    assert table.loc["gained", ["target_id", "right_before", "right_after"]].tolist() == [102, False, True]
    assert table.loc["lost", ["target_id", "right_before", "right_after"]].tolist() == [101, True, False]
    assert table.loc["redshift", ["target_id", "right_before", "right_after"]].tolist() == [103, False, True]
    assert table.loc["redshift", "dv"] == pytest.approx(300_000 * -1.5 / 3.5)


def test_right_is_as_purity_and_completeness_have_it():
    tested = test_set.Tested(
        np.array([2.5, 0.0, 0.5, 0.5, 2.5]), np.array([QSO_HIGH, STAR, GALAXY, GALAXY, BAD], np.uint8), np.zeros(5),
        np.ones(5), np.arange(5),
    )  # fmt: skip
    called = said([0.9] * 5, [2.5, 2.5, 0.5, 2.5, 2.5])
    assert comparison.is_right(called, tested).tolist() == [True, False, True, False, False]
    ignored = said([0.1] * 5, [2.5] * 5)
    assert comparison.is_right(ignored, tested).tolist() == [False, True, True, True, False]


def test_the_difference_of_two_networks_is_covered():
    """Network 2 finds 90 % of quasars of which network 1 finds 85 %: the same hard ones are missed by both."""
    rng, covered = np.random.default_rng(8), 0
    for _ in range(100):
        n = 400
        hard = rng.random(n)
        both = [
            said(np.where(hard + rng.normal(0, 0.02, n) < share, 0.9, 0.1), np.full(n, 2.5)) for share in (0.85, 0.9)
        ]
        tested = test_set.Tested(
            np.full(n, 2.5), np.full(n, QSO_HIGH, np.uint8), np.zeros(n), rng.uniform(1, 9, n), np.arange(n)
        )
        table = comparison.scores(*both, Rule(), tested)
        row = table[(table["sample"] == "all") & (table["metric"] == "completeness")].iloc[0]
        covered += row["low"] <= 0.05 <= row["high"]
    assert 90 <= covered <= 100


def test_samples_are_of_the_truth_and_purity_is_not_split_by_it():
    rng = np.random.default_rng(9)
    n = 300
    z = rng.uniform(0.2, 4, n)
    tested = test_set.Tested(z, np.full(n, QSO_HIGH, np.uint8), np.zeros(n), rng.uniform(1, 9, n), np.arange(n))
    found = said(np.full(n, 0.9), z + rng.normal(0, 0.003, n))
    table = comparison.scores(found, found, Rule(), tested)
    by_redshift = table[table["sample"].str.startswith("z ")]
    assert set(by_redshift["metric"]) == {"completeness", "sigma_dv"}
    assert by_redshift[by_redshift["metric"] == "completeness"]["spectra"].sum() == n
    shares = table[table["metric"] != "sigma_dv"]
    np.testing.assert_array_equal(shares["change"], 0)
    assert (shares["low"] < 0).all()
    assert (shares["high"] > 0).all()
    np.testing.assert_allclose(table[table["metric"] == "sigma_dv"]["change"], 1)


def test_the_rule_counts_in_scores():
    tested = test_set.Tested(np.full(6, 2.5), np.full(6, QSO_HIGH, np.uint8), np.zeros(6), np.arange(6.0), np.arange(6))
    for rule, expected in ((Rule(), 4 / 6), (Rule(threshold=0.95), 0), (Rule(n_detect=2), 0)):
        table = comparison.scores(said(*BEFORE, rule), said(*AFTER, rule), rule, tested)
        assert table[(table["sample"] == "all") & (table["metric"] == "completeness")]["before"].item() == expected


def test_no_share_of_one_quasar_changes_by_more_than_all_of_it():
    tested = test_set.Tested(np.array([2.5]), np.array([QSO_HIGH], np.uint8), np.zeros(1), np.ones(1), np.arange(1))
    table = comparison.scores(said([0.9], [2.5]), said([0.9], [2.5]), Rule(), tested)
    shares = table[table["metric"] != "sigma_dv"]
    assert (shares["low"] >= -1).all()
    assert (shares["high"] <= 1).all()
    assert (shares["high"] > 0.5).any()
