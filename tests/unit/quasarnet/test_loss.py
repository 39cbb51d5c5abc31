"""The loss against its formula in float64, also where the logarithms end."""

import numpy as np
import pytest
import tensorflow as tf

from quasarcurves.quasarnet.loss import clipped_share, quasarnet_loss, weighted_line_losses

EPSILON = 1e-7


def loss_by_formula(y_true, y_pred):
    y_true, y_pred = np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)
    boxes = y_true.shape[-1] // 2
    y, o, p, q = y_true[..., :boxes], y_true[..., boxes:], y_pred[..., :boxes], y_pred[..., boxes:]
    log_p = np.log(np.clip(p, EPSILON, 1 - EPSILON))
    log_not_p = np.log(np.clip(1 - p, EPSILON, 1 - EPSILON))
    filled, empty = y.sum(-1) + EPSILON, (1 - y).sum(-1) + EPSILON
    hits = -(y * log_p).sum(-1) / filled
    misses = -((1 - y) * log_not_p).sum(-1) / empty
    return hits + misses + (y * (o - q) ** 2).sum(-1) / filled


def targets(rng, n, lines, boxes, share=0.7):
    """Random boxes (some lines with none) and offsets in their place, with the compact form."""
    box = np.where(rng.random((n, lines)) < share, rng.integers(0, boxes, (n, lines)), -1)
    offset = np.where(box >= 0, rng.random((n, lines)), 0).astype(np.float32)
    y = (box[..., None] == np.arange(boxes)).astype(np.float32)
    return np.concatenate([y, y * offset[..., None]], -1), box, offset


def outputs(rng, n, lines, boxes):
    p = rng.random((n, lines, boxes))
    return np.concatenate([p, rng.uniform(-0.1, 1.1, (n, lines, boxes))], -1).astype(np.float32)


def assert_equals_formula(y_true, y_pred):
    got = np.asarray(quasarnet_loss(y_true, y_pred))
    assert got.dtype == np.float32
    assert got.shape == np.shape(y_true)[:2]
    np.testing.assert_allclose(got, loss_by_formula(y_true, y_pred), rtol=1e-5, atol=1e-6)
    return got


@pytest.mark.parametrize(("lines", "boxes"), [(7, 13), (1, 1), (3, 40)])
def test_loss_equals_the_formula(lines, boxes):
    rng = np.random.default_rng(boxes)
    y_true, *_ = targets(rng, 50, lines, boxes)
    got = assert_equals_formula(y_true, outputs(rng, 50, lines, boxes))
    assert got.std() > 0.1


@pytest.mark.parametrize("values", [[0.0], [1.0], [0.0, 1.0], [1e-12, 1e-8, 1e-7, 1e-6], [1 - 6e-8, 1 - 1e-6, 1.0]])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_loss_equals_the_formula_at_extreme_probabilities(values, share):
    rng = np.random.default_rng(3)
    y_true, *_ = targets(rng, 40, 7, 13, share)
    y_pred = outputs(rng, 40, 7, 13)
    y_pred[..., :13] = rng.choice(np.float32(values), (40, 7, 13))
    assert np.isfinite(assert_equals_formula(y_true, y_pred)).all()


def test_all_boxes_empty_costs_the_misses_alone():
    rng = np.random.default_rng(5)
    y_true = np.zeros((20, 7, 26), np.float32)
    y_pred = outputs(rng, 20, 7, 13)
    got = assert_equals_formula(y_true, y_pred)
    np.testing.assert_allclose(got, -np.log1p(-y_pred[..., :13].astype(np.float64)).mean(-1), rtol=1e-5)
    # no offset is asked for where there is no box
    y_pred[..., 13:] = 0.5
    np.testing.assert_array_equal(np.asarray(quasarnet_loss(y_true, y_pred)), got)


def test_a_perfect_output_costs_nothing_and_a_wrong_one_both_logarithms():
    y_true = np.zeros((2, 1, 26), np.float32)
    y_true[:, 0, 4], y_true[:, 0, 17] = 1, 0.25
    y_pred = y_true.copy()
    y_pred[1, 0, :13] = 1 - y_pred[1, 0, :13]
    perfect, wrong = np.asarray(quasarnet_loss(y_true, y_pred))[:, 0]
    assert perfect == pytest.approx(0, abs=1e-6)
    assert wrong == pytest.approx(2 * -np.log(1e-7), rel=1e-5)


def test_the_loss_takes_other_number_types():
    rng = np.random.default_rng(6)
    y_true, *_ = targets(rng, 5, 2, 13)
    assert_equals_formula(y_true.astype(np.float64), outputs(rng, 5, 2, 13).astype(np.float64))


def test_weighted_losses_of_compact_targets_equal_the_weighted_formula():
    rng = np.random.default_rng(7)
    y_true, box, offset = targets(rng, 60, 7, 13)
    weight = rng.choice(np.float32([0, 1, 2.5]), (60, 7))
    y_pred = outputs(rng, 60, 7, 13)
    got = np.asarray(weighted_line_losses(tf.constant(y_pred), box.astype(np.int8), offset, weight))
    np.testing.assert_allclose(got, weight * loss_by_formula(y_true, y_pred), rtol=1e-5, atol=1e-6)
    assert (got[weight == 0] == 0).all()


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-30, 0.5])
@pytest.mark.parametrize("share", [0.0, 0.7])
def test_gradients_are_finite_everywhere(value, share):
    rng = np.random.default_rng(8)
    y_true, *_ = targets(rng, 10, 7, 13, share)
    y_pred = outputs(rng, 10, 7, 13)
    y_pred[..., :13] = value
    y_pred = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        loss = tf.reduce_sum(quasarnet_loss(y_true, y_pred))
    gradient = tape.gradient(loss, y_pred).numpy()
    assert np.isfinite(gradient).all()
    if value == 0.5:
        assert (gradient[..., :13] != 0).all()


def test_gradients_equal_differences_of_the_formula():
    rng = np.random.default_rng(9)
    y_true, *_ = targets(rng, 3, 2, 5)
    y_pred = np.clip(outputs(rng, 3, 2, 5), 0.05, 0.95)
    tensor = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        loss = tf.reduce_sum(quasarnet_loss(y_true, tensor))
    gradient = tape.gradient(loss, tensor).numpy()
    for index in np.ndindex(y_pred.shape):
        step = np.zeros(y_pred.shape)
        step[index] = 1e-6
        high, low = (loss_by_formula(y_true, y_pred.astype(np.float64) + s * step).sum() for s in (1, -1))
        assert gradient[index] == pytest.approx((high - low) / 2e-6, rel=1e-4, abs=1e-5)


def test_boxes_beyond_the_clip_get_no_gradient_and_are_counted():
    p = np.float32([0, 1e-8, 1e-6, 0.5, 1 - 1e-6, 1])
    out = np.zeros((2, 3, 12), np.float32)
    out[..., :6] = p
    out[1, :, :6] = 0.5
    box, offset = np.array([[2, -1, 3], [0, 1, 2]]), np.full((2, 3), 0.5, np.float32)
    weight = np.float32([[1, 1, 0], [1, 1, 1]])
    value = tf.Variable(out)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weighted_line_losses(value, box, offset, weight))
    lost = tape.gradient(loss, value).numpy()[..., :6] == 0
    assert lost[0, :2].tolist() == [[True, True, False, False, False, True]] * 2
    # of five lines that count
    assert float(clipped_share(out, box, offset, weight)) == pytest.approx(lost[weight > 0].mean()) == 0.2
