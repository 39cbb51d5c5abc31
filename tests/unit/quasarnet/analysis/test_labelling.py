"""Disagreement of networks against its formula by hand, and ranks on planted confidences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quasarcurves.quasarnet.analysis.labelling import disagreement, ranked
from quasarcurves.quasarnet.analysis.test_set import Predicted


def test_disagreement_by_hand():
    """In bits: one of two sure each way 1; all alike 0, however unsure; of 0.9 and 0.5 by the entropies of a table."""
    p = np.array([[0.0, 1.0, 0.5, 0.9], [1.0, 1.0, 0.5, 0.5]])
    # H(0.7) = 0.881291, H(0.9) = 0.468996, H(0.5) = 1
    expected = [1, 0, 0, 0.881291 - (0.468996 + 1) / 2]
    np.testing.assert_allclose(disagreement(p), expected, rtol=0, atol=1e-6)


@given(hnp.arrays(float, st.tuples(st.integers(2, 6), st.integers(1, 5)), elements=st.floats(0, 1)))
def test_disagreement_is_at_most_what_is_unknown_and_knows_no_order(p):
    found = disagreement(p)
    mean = np.clip(p.mean(axis=0), 1e-300, 1 - 1e-16)
    entropy = -(mean * np.log2(mean) + (1 - mean) * np.log2(1 - mean))
    assert ((found >= 0) & (found <= entropy + 1e-9)).all()
    np.testing.assert_allclose(disagreement(p[::-1]), found, atol=1e-12)


def predicted(confidence, z):
    confidence = np.asarray(confidence, np.float32)
    return Predicted(confidence, np.asarray(z, float), np.zeros((len(confidence), 1), np.float32))


def test_spectra_are_ranked_by_disagreement():
    """One line each of three spectra; the networks agree on the second alone, and on no redshift of the last."""
    networks = [
        predicted([[0.9, 0.1], [0.9, 0.2], [0.6, 0.1]], [2.0, 1.0, 0.5]),
        predicted([[0.1, 0.1], [0.9, 0.2], [0.9, 0.1]], [2.0, 1.0, 3.0]),
        predicted([[0.8, 0.1], [0.9, 0.2], [0.5, 0.1]], [2.0, 1.0, 2.0]),
    ]
    table = ranked(networks, n_detect=1, dv_max=6000)
    assert list(table["row"]) == [0, 2, 1]
    np.testing.assert_allclose(table["confidence"], [0.6, 2 / 3, 0.9], rtol=1e-6)
    np.testing.assert_allclose(table["redshift_disagreement"], [0, 1, 0])
    assert list(table["z"]) == [2.0, 3.0, 1.0]
    # of two lines the second surest counts, on which all agree
    np.testing.assert_allclose(ranked(networks, n_detect=2, dv_max=6000)["disagreement"], 0, atol=1e-12)


def test_a_committee_finds_what_its_labels_leave_open():
    """Planted: networks know the class of most spectra, and guess for a tenth, which come first.

    Unsure alike, as of noise, is no disagreement: such spectra come last.
    """
    rng = np.random.default_rng(3)
    n, guessed = 2000, np.arange(2000) < 200
    noise = np.arange(n) >= 1600
    truth = rng.random(n) < 0.5
    networks = []
    for _ in range(5):
        says = np.where(guessed, rng.random(n) < 0.5, truth)
        p = np.clip(np.where(says, 0.95, 0.05) + rng.normal(0, 0.02, n), 0, 1)
        networks.append(predicted(np.where(noise, 0.5, p)[:, None], np.ones(n)))
    first = ranked(networks, 1, 6000)["row"][:180]
    assert guessed[first].mean() > 0.95
    assert not noise[first].any()


@pytest.mark.parametrize("networks", [2, 5])
def test_where_networks_differ_by_chance_alone_the_first_are_any(networks):
    """The null: what is ranked first has no more quasars than the rest."""
    rng = np.random.default_rng(networks)
    n = 4000
    truth = rng.random(n) < 0.5
    said = [predicted(rng.random((n, 1)), np.ones(n)) for _ in range(networks)]
    first = ranked(said, 1, 6000)["row"][:400]
    assert abs(truth[first].mean() - 0.5) < 0.08
