"""What the trainer's speed is held against is the same work: the same network and loss, in the usual way of Keras."""

import sys
from pathlib import Path

import numpy as np
import pytest

from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.loss import weighted_line_losses

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from separate_heads import build

FILTERS, BOXES, LINES = 5, 13, 7


@pytest.fixture(scope="module")
def pair():
    """The network with one joint layer of heads, and that with separate ones, of the same weights."""
    joint, separate = network.build(FILTERS, boxes=BOXES, n_lines=LINES), build(FILTERS, BOXES, LINES)
    weighted = [[layer for layer in model.layers if layer.weights] for model in (joint, separate)]
    *common, heads = weighted[0]
    for one, other in zip(common, weighted[1], strict=False):
        other.set_weights(one.get_weights())
    kernel, bias = heads.get_weights()
    for kind, units in zip(("box", "offset"), network.head_slices(BOXES, LINES), strict=True):
        for line, of_line in enumerate(units):
            separate.get_layer(f"{kind}_{line}").set_weights([kernel[:, of_line], bias[of_line]])
    assert joint.count_params() == separate.count_params()
    return joint, separate


@pytest.mark.slow
def test_outputs_and_losses_are_the_same(pair):
    joint, separate = pair
    rng = np.random.default_rng(8)
    flux = rng.standard_normal((6, 443, 1), np.float32)
    expected = np.asarray(joint(flux, training=False))
    outputs = np.stack([np.asarray(head) for head in separate(flux, training=False)], axis=1)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)

    box, offset = rng.integers(-1, BOXES, (6, LINES)), rng.random((6, LINES), np.float32)
    weight = (rng.random((6, LINES)) < 0.8).astype(np.float32)
    losses = np.asarray(weighted_line_losses(expected, box.astype(np.int8), offset, weight))
    one_hot = (box[..., None] == np.arange(BOXES)).astype(np.float32)
    targets = np.concatenate([one_hot, one_hot * offset[..., None]], axis=-1)
    columns = [list(np.moveaxis(array, 1, 0)) for array in (targets, weight)]
    total = separate.evaluate(flux, columns[0], sample_weight=columns[1], batch_size=6, return_dict=True, verbose=0)
    assert total["loss"] == pytest.approx(losses.sum() / 6, rel=1e-4)
