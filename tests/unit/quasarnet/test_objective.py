"""Targets against a plain loop over the definitions, and decoding as their inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.quasarnet import objective
from quasarcurves.spectra.grid import LINEAR

WAVELENGTH = [3600 * 10 ** (i * 1e-3) for i in range(443)]
REST = {
    "LYA": 1215.67,
    "CIV(1548)": 1548.2049,
    "CIII(1909)": 1908.734,
    "MgII(2796)": 2796.3511,
    "Hbeta": 4862.68,
    "Halpha": 6562.8,
}
LINES, BAL_LINES = list(REST), ["CIV(1548)"]
quickly = settings(max_examples=100, deadline=None)


def fractional_bin(wavelength, edges=WAVELENGTH):
    """Bin number by linear interpolation in wavelength; None outside the grid."""
    for i in range(len(edges) - 1):
        low, high = edges[i], edges[i + 1]
        if low <= wavelength <= high:
            return i + (wavelength - low) / (high - low)
    return None


def wavelength_at(position):
    i = min(max(int(np.floor(position)), 0), 441)
    return WAVELENGTH[i] + (position - i) * (WAVELENGTH[i + 1] - WAVELENGTH[i])


def encode_by_loop(z, is_quasar, bal, lines, bal_lines, boxes):
    """Targets (n, L, 2B) and weights (n, L), one number at a time."""
    names = [(name, False) for name in lines] + [(name, True) for name in bal_lines]
    targets = np.zeros((len(z), len(names), 2 * boxes))
    weights = np.ones((len(z), len(names)))
    for i in range(len(z)):
        for j, (name, is_bal) in enumerate(names):
            if not is_quasar[i]:
                continue
            if is_bal and bal[i] == 0:
                weights[i, j] = 0
            if is_bal and bal[i] != 1:
                continue
            index = fractional_bin((1 + z[i]) * REST[name])
            if index is not None:
                position = index / 443 * boxes
                box = int(position)
                targets[i, j, box] = 1
                targets[i, j, boxes + box] = position - box
    return targets, weights


def random_objects(n, seed=0):
    rng = np.random.default_rng(seed)
    is_quasar = rng.random(n) < 0.7
    z = np.where(is_quasar, rng.uniform(0, 6, n), rng.choice([np.nan, 0.0, 2.5, -1.0], n))
    return z, is_quasar, rng.integers(-1, 2, n)


@pytest.mark.parametrize(
    ("lines", "bal_lines", "boxes"),
    [
        (LINES, BAL_LINES, 13),
        (["MgII(2796)", "LYA"], ["CIV(1548)", "MgII(2796)"], 7),
        (["Halpha"], [], 1),
        (LINES, [], 127),
    ],
)
def test_encode_equals_a_plain_loop(lines, bal_lines, boxes):
    objects = random_objects(300)
    targets, weights = objective.encode(*objects, lines, bal_lines, boxes)
    expected_targets, expected_weights = encode_by_loop(*objects, lines, bal_lines, boxes)
    np.testing.assert_array_equal(targets[..., :boxes], expected_targets[..., :boxes])
    np.testing.assert_allclose(targets[..., boxes:], expected_targets[..., boxes:], atol=1e-6)
    np.testing.assert_array_equal(weights, expected_weights)
    assert targets.dtype == weights.dtype == np.float32
    # no empty test: boxes were marked, and not all weights are one
    assert 0 < expected_targets[..., :boxes].sum() < targets[..., 0].size
    assert (expected_weights == 0).any() == bool(bal_lines)


def test_the_lines_are_the_published_ones_in_order():
    assert list(objective.LINES.items()) == list(REST.items())


@pytest.mark.parametrize("bal", [-1, 0, 1])
def test_what_is_no_quasar_has_no_box_and_full_weight(bal):
    targets, weights = objective.encode([2.5, np.nan], [False, False], [bal, bal], LINES, BAL_LINES)
    assert not targets.any()
    assert (weights == 1).all()


@pytest.mark.parametrize(("bal", "boxes", "weight"), [(1, 1, 1), (-1, 0, 1), (0, 0, 0)])
def test_the_bal_line_has_a_box_only_where_absorption_is_known(bal, boxes, weight):
    targets, weights = objective.encode([2.5], [True], [bal], LINES, BAL_LINES)
    assert targets[0, -1, :13].sum() == boxes
    assert weights[0, -1] == weight
    # whatever the absorption, the emission line has its box and its weight
    assert targets[0, 1, :13].sum() == 1
    assert (weights[0, :-1] == 1).all()


@pytest.mark.parametrize(
    ("wavelength", "box"),
    [
        (3599.99, None),
        (3600.0, 0),
        (3600.01, 0),
        (wavelength_at(443 / 13 * 1.001), 1),
        (wavelength_at(443 / 13 * 0.999), 0),
        (wavelength_at(441.999), 12),
        (WAVELENGTH[442] + 0.01, None),
        (9999.0, None),
    ],
)
def test_a_line_outside_the_grid_has_no_box(wavelength, box):
    for name in LINES:
        z = wavelength / REST[name] - 1 + (1e-12 if wavelength == 3600 else 0)
        targets, weights = objective.encode([z], [True], [1], [name], [])
        assert np.flatnonzero(targets[0, 0, :13]).tolist() == ([] if box is None else [box])
        assert weights[0, 0] == 1


def test_compact_targets_are_small_and_complete():
    box, offset, weight = objective.line_targets(*random_objects(100), LINES, BAL_LINES)
    assert (box.dtype, offset.dtype, weight.dtype) == (np.int8, np.float32, np.float32)
    assert box.shape == offset.shape == weight.shape == (100, 7)
    assert box.min() == -1
    assert box.max() <= 12
    assert (offset[box == -1] == 0).all()
    assert (offset >= 0).all()
    assert (offset <= 1).all()


def test_dense_targets_of_the_loss_are_those_of_encode():
    from quasarcurves.quasarnet.loss import dense_targets

    objects = random_objects(200, seed=4)
    for boxes in (13, 5):
        box, offset, _ = objective.line_targets(*objects, LINES, BAL_LINES, boxes)
        expected, _ = objective.encode(*objects, LINES, BAL_LINES, boxes)
        np.testing.assert_array_equal(np.asarray(dense_targets(box, offset, boxes)), expected)


@quickly
@given(z=st.floats(0, 7), boxes=st.sampled_from([13, 5, 40]))
def test_decoding_what_was_encoded_gives_the_redshift_of_every_line_in_the_grid(z, boxes):
    targets, _ = objective.encode([z], [True], [1], LINES, BAL_LINES, boxes)
    decoded = objective.decode(targets, LINES, BAL_LINES)
    inside = [WAVELENGTH[0] <= (1 + z) * REST[name] <= WAVELENGTH[-1] for name in LINES]
    marked = targets[0, :6, :boxes].any(axis=-1)
    edges = [min(abs((1 + z) * REST[name] - edge) for edge in (WAVELENGTH[0], WAVELENGTH[-1])) for name in LINES]
    assert all(a == b or edge < 1e-6 for a, b, edge in zip(inside, marked, edges, strict=True))
    np.testing.assert_allclose(decoded.z_line[0, marked], z, atol=1e-6)
    np.testing.assert_array_equal(decoded.confidence[0], marked)
    if marked.any():
        assert decoded.z_best[0] == pytest.approx(z, abs=1e-6)
    if marked[1]:
        assert decoded.bal_z_line[0, 0] == pytest.approx(z, abs=1e-6)
        assert decoded.bal_confidence[0, 0] == 1


def random_outputs(n, lines, seed=1):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.random((n, lines, 13)), rng.uniform(-0.1, 1.1, (n, lines, 13))], axis=-1)


def test_decode_equals_a_plain_loop():
    outputs = random_outputs(60, 7)
    decoded = objective.decode(outputs, LINES, BAL_LINES)
    names = LINES + BAL_LINES
    confidence, z = np.zeros((60, 7)), np.zeros((60, 7))
    for i in range(60):
        for j, name in enumerate(names):
            box = max(range(13), key=lambda b, i=i, j=j: outputs[i, j, b])
            confidence[i, j] = outputs[i, j, box]
            z[i, j] = wavelength_at((box + outputs[i, j, 13 + box]) * 443 / 13) / REST[name] - 1
    np.testing.assert_allclose(decoded.confidence, confidence[:, :6])
    np.testing.assert_allclose(decoded.bal_confidence, confidence[:, 6:])
    np.testing.assert_allclose(decoded.z_line, z[:, :6], rtol=1e-12)
    np.testing.assert_allclose(decoded.bal_z_line, z[:, 6:], rtol=1e-12)
    best = [z[i, int(np.argmax(confidence[i, :6]))] for i in range(60)]
    np.testing.assert_allclose(decoded.z_best, best, rtol=1e-12)


@pytest.mark.parametrize(("box", "offset"), [(12, 1.1), (12, 1.0), (0, -0.1)])
def test_offsets_beyond_the_grid_are_extrapolated(box, offset):
    outputs = np.zeros((1, 1, 26))
    outputs[0, 0, box], outputs[0, 0, 13 + box] = 0.9, offset
    place = (box + offset) * 443 / 13
    first, last = (WAVELENGTH[0], WAVELENGTH[1]), (WAVELENGTH[441], WAVELENGTH[442])
    if place > 442:
        expected = last[1] + (place - 442) * (last[1] - last[0])
        assert expected > WAVELENGTH[442]
    else:
        expected = first[0] + place * (first[1] - first[0])
        assert expected < 3600
    assert objective.decode(outputs, ["LYA"], []).z_line[0, 0] == pytest.approx(expected / 1215.67 - 1, rel=1e-12)


def test_the_best_redshift_is_of_the_surest_emission_line_and_never_of_the_bal_line():
    outputs = random_outputs(4, 7)
    outputs[..., :13] *= 0.5
    outputs[:, 6, 3] = 0.99
    outputs[[0, 1, 2, 3], [0, 3, 5, 2], [2, 0, 12, 7]] = 0.7
    decoded = objective.decode(outputs, LINES, BAL_LINES)
    np.testing.assert_array_equal(decoded.z_best, decoded.z_line[[0, 1, 2, 3], [0, 3, 5, 2]])
    assert not np.isin(decoded.z_best, decoded.bal_z_line).any()


def test_a_quasar_needs_enough_lines_above_the_threshold():
    outputs = np.zeros((4, 7, 26))
    outputs[1, 0, 4] = 0.5
    outputs[2, 0, 4] = 0.51
    outputs[3, [0, 4, 6], 4] = 0.6
    decoded = objective.decode(outputs, LINES, BAL_LINES)
    assert decoded.is_quasar().tolist() == [False, False, True, True]
    assert decoded.is_quasar(0.4).tolist() == [False, True, True, True]
    assert decoded.is_quasar(0.5, n_detect=2).tolist() == [False, False, False, True]
    assert decoded.is_quasar(0.5, n_detect=3).tolist() == [False, False, False, False]


def test_an_unknown_line_is_refused_with_those_known():
    with pytest.raises(ValueError, match=r"unknown line 'LYB', expected one of LYA, CIV\(1548\)"):
        objective.encode([2.0], [True], [0], ["LYA", "LYB"], [])


def test_outputs_of_another_number_of_lines_are_refused():
    with pytest.raises(ValueError, match="outputs of 6 lines, 7 named"):
        objective.decode(np.zeros((2, 6, 26)), LINES, BAL_LINES)


def test_on_the_linear_grid_boxes_are_of_equal_width():
    """A box of 13 has 458 / 13 bins of 13.6 Angstrom there; the place within it is linear in wavelength."""
    z = np.linspace(2.0, 7.0, 200)
    edges = [round(3600 + 13.6 * i, 1) for i in range(458)]
    box, offset, _ = objective.line_targets(z, np.ones(200, bool), np.ones(200), ["LYA"], [], grid=LINEAR)
    for i in range(200):
        index = fractional_bin((1 + z[i]) * REST["LYA"], edges)
        assert (box[i, 0] >= 0) == (index is not None)
        if index is not None:
            assert box[i, 0] + offset[i, 0] == pytest.approx(
                ((1 + z[i]) * REST["LYA"] - 3600) / 13.6 / 458 * 13, abs=1e-5
            )
    targets, _ = objective.encode(z, np.ones(200, bool), np.ones(200), ["LYA"], [], grid=LINEAR)
    found = objective.decode(targets, ["LYA"], [], LINEAR)
    inside = box[:, 0] >= 0
    np.testing.assert_allclose(found.z_best[inside], z[inside], atol=1e-5)
    # decoded by the wrong grid it is another redshift
    assert np.abs(objective.decode(targets, ["LYA"], []).z_best - z)[inside].max() > 0.05
