"""What a training step spends its time on: `python benchmarks/limits.py > limits.csv`.

Steps of the trainer, with its whole record and with the loss alone, against steps of the same network written out by
hand on one row of all parameters: the convolutions alone, then with more and more of the rest, and in other forms. Each
is forward and backward, with one thread; all take turns, and the least processor time counts, as whatever else the
machine does only adds to it. `first_s` is tracing and compiling with the first steps. `gflops` holds the arithmetic of
the network against the time. `python benchmarks/limits.py 16:32` measures one pair of filters and batch size.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from fit import BOXES, network

from quasarcurves.quasarnet.cost import flops_per_spectrum
from quasarcurves.quasarnet.loss import weighted_line_losses
from quasarcurves.quasarnet.network import build
from quasarcurves.quasarnet.objective import OFFSET_SCALE, OFFSET_SHIFT
from quasarcurves.quasarnet.task import QuasarNet
from quasarcurves.quasarnet.toom_cook import ToomCookConv1D
from quasarcurves.steps.build import build_model
from quasarcurves.steps.training import use_threads
from quasarcurves.training import optimizers
from quasarcurves.training.loop import Trainer
from quasarcurves.training.measures import Loss
from quasarcurves.training.plan import Learner, Plan

POINTS = {"16:32": (32, 12), "100:256": (2, 6)}
"""Filters and batch size; steps of a turn, and turns."""

LINES = 7


def convolved(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolve as TensorFlow does."""
    return tf.nn.conv1d(x, kernel, 2, "VALID")


def multiplied(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolve as a product of patches with a matrix."""
    width, channels, filters = kernel.shape
    length = (x.shape[1] - width) // 2 + 1
    # two neighbouring bins in one: the stride is one then
    pairs = tf.reshape(x[:, : 2 * (length + width // 2 - 1)], (-1, length + width // 2 - 1, 2 * channels))
    patches = tf.concat([pairs[:, i : i + length] for i in range(width // 2)], -1)
    rows = tf.reshape(patches, (-1, width * channels)) @ tf.reshape(kernel, (width * channels, filters))
    return tf.reshape(rows, (-1, length, filters))


def with_fewer_products(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolve as trainings do where there are many channels."""
    width, _, filters = kernel.shape
    return ToomCookConv1D(filters, width, 2).convolution_op(x, kernel)


def by_moments(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Normalise as Keras does: mean and variance, then factor and shift."""
    mean, variance = tf.nn.moments(x, list(range(len(x.shape) - 1)))
    factor = gamma * tf.math.rsqrt(variance + 1e-3)
    return x * factor + (beta - mean * factor)


def fused(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
    """Normalise in one operation, which takes images."""
    image = x[:, None] if len(x.shape) == 3 else x[:, None, None]
    y = tf.compat.v1.nn.fused_batch_norm(image, gamma, beta, epsilon=1e-3, is_training=True)[0]
    return tf.reshape(y, tf.shape(x))


@dataclass(frozen=True)
class Form:
    """A network written out by hand, or a part of it.

    Parameters
    ----------
    convolution : callable
    normalisation : callable, optional
        With the ReLU that follows it.
    heads : bool
        The dense layers, and QuasarNET's loss.
    adam : bool
        Else the plainest step.
    xla : bool
        Compiled by XLA.
    """

    convolution: Callable = convolved
    normalisation: Callable | None = None
    heads: bool = False
    adam: bool = False
    xla: bool = False

    def outputs(self, weights: Iterator[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
        """Apply it."""
        for _ in range(4):
            # the bias is left out, as in the trainer: normalisation takes it off again
            kernel, _, *norm = (next(weights) for _ in range(4))
            x = self._activated(self.convolution(x, kernel), norm)
        if not self.heads:
            return x
        x = tf.reshape(x, (-1, x.shape[1] * x.shape[2]))
        kernel, _, *norm = (next(weights) for _ in range(4))
        x = self._activated(x @ kernel, norm)
        x = tf.reshape(x @ next(weights) + next(weights), (-1, LINES, 2 * BOXES))
        scale, shift = ([*[start] * BOXES, *[end] * BOXES] for start, end in ((1.0, OFFSET_SCALE), (0.0, OFFSET_SHIFT)))
        return tf.sigmoid(x) * tf.constant(scale) + tf.constant(shift)

    def _activated(self, x: tf.Tensor, norm: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.nn.relu(self.normalisation(x, *norm)) if self.normalisation else x

    def loss(self, outputs: tf.Tensor, targets: Sequence[tf.Tensor]) -> tf.Tensor:
        """Give something that the backward pass can start from."""
        if not self.heads:
            return tf.reduce_mean(tf.square(outputs))
        return tf.reduce_sum(tf.reduce_mean(weighted_line_losses(outputs, *targets), axis=0))


FORMS = {
    "convolutions": Form(),
    "convolutions, as patches times a matrix": Form(multiplied),
    "convolutions, as patches times a matrix, XLA": Form(multiplied, xla=True),
    "convolutions, with fewer products": Form(with_fewer_products),
    "with batch normalisation and ReLU": Form(normalisation=by_moments),
    "with batch normalisation (fused) and ReLU": Form(normalisation=fused),
    "whole network and loss": Form(normalisation=by_moments, heads=True),
    "whole network (fused) and loss": Form(normalisation=fused, heads=True),
    "whole network and loss, Adam": Form(normalisation=by_moments, heads=True, adam=True),
    "whole network (fused) and loss, Adam": Form(normalisation=fused, heads=True, adam=True),
    "whole network (fused, fewer products) and loss, Adam": Form(with_fewer_products, fused, heads=True, adam=True),
    "whole network and loss, Adam, XLA": Form(multiplied, by_moments, heads=True, adam=True, xla=True),
}


def by_hand(form: Form, filters: int, batches: np.ndarray, data: Sequence[np.ndarray]) -> Callable[[], None]:
    """Compile steps on one row of all parameters."""
    arrays = [tf.constant(array) for array in data]
    variables = build(filters).trainable_variables
    shapes, sizes = [tuple(each.shape) for each in variables], [each.shape.num_elements() for each in variables]
    start = tf.concat([tf.reshape(each.value, [-1]) for each in variables], 0)

    @tf.function(jit_compile=form.xla)
    def steps() -> tf.Tensor:
        row, m, v = start, tf.zeros_like(start), tf.zeros_like(start)
        for i in tf.range(len(batches)):
            x, *targets = (tf.gather(array, tf.constant(batches)[i]) for array in arrays)
            with tf.GradientTape() as tape:
                tape.watch(row)
                parts = zip(tf.split(row, sizes), shapes, strict=True)
                loss = form.loss(form.outputs((tf.reshape(part, shape) for part, shape in parts), x), targets)
            gradient = tape.gradient(loss, row)
            if form.adam:
                t = tf.cast(i + 1, tf.float32)
                m, v = m + 0.1 * (gradient - m), v + 0.001 * (gradient * gradient - v)
                rate = 1e-3 * tf.sqrt(1 - 0.999**t) / (1 - 0.9**t)
                row = row - rate * m / (tf.sqrt(v) + 1e-7)
            else:
                row = row - 1e-6 * gradient
        return row

    return lambda: steps().numpy()


def trainer(measures: Sequence | None, filters: int, batches: np.ndarray, data: Sequence[np.ndarray]) -> Callable:
    """Set up the trainer; a call is an epoch of as many steps."""
    optimizer = optimizers.build({"class": "Adam", "learning_rate": 1e-3})
    learner = Learner(build_model(QuasarNet(network(filters)), 1, 0), optimizer, weighted_line_losses, list("abcdefg"))
    plan = Plan(10**6, batches.shape[1], lambda epoch: batches.ravel(), validate_every=10**6, measures=measures)
    training = Trainer(learner, plan, data)

    def epoch() -> None:
        class Done(Exception):
            pass

        def stop() -> None:
            raise Done

        try:
            training.train(after_epoch=stop)
        except Done:
            return

    return epoch


def examples(n: int) -> list[np.ndarray]:
    """Draw noise to train on."""
    rng = np.random.default_rng(1)
    box = rng.integers(-1, BOXES, (n, LINES)).astype(np.int8)
    offset = rng.uniform(size=(n, LINES)).astype(np.float32)
    return [rng.standard_normal((n, 443, 1), np.float32), box, offset, np.ones((n, LINES), np.float32)]


def measure(filters: int, batch: int, steps: int, turns: int) -> Iterator[list]:
    """Yield a row per form."""
    data = examples(1024)
    batches = np.random.default_rng(2).integers(0, 1024, (steps, batch)).astype(np.int32)
    sides = {
        "trainer": lambda *rest: trainer(None, *rest),
        "trainer, loss alone": lambda *rest: trainer([Loss()], *rest),
    }
    sides |= {name: lambda *rest, form=form: by_hand(form, *rest) for name, form in FORMS.items()}
    first, runs = {}, {}
    for name, side in sides.items():
        keras.utils.set_random_seed(1)
        runs[name] = side(filters, batches, data)
        first[name] = _seconds(runs[name])
    times = {name: [] for name in runs}
    for _ in range(turns):
        for name, run in runs.items():
            times[name].append(_seconds(run) / steps)
    for name, each in times.items():
        gflops = batch * flops_per_spectrum(network(filters)) / min(each) / 1e9
        yield [filters, batch, name, 1e3 * min(each), 1e3 * float(np.median(each)), gflops, first[name]]


def _seconds(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Measure and print a table."""
    use_threads(1)
    table = csv.writer(sys.stdout)
    table.writerow(["filters", "batch", "part", "least_ms", "median_ms", "gflops", "first_s"])
    for point in sys.argv[1:] or POINTS:
        filters, batch = map(int, point.split(":"))
        for *names, least, median, gflops, first in measure(filters, batch, *POINTS.get(point, (8, 6))):
            table.writerow([*names, f"{least:.3f}", f"{median:.3f}", f"{gflops:.1f}", f"{first:.2f}"])
            sys.stdout.flush()


if __name__ == "__main__":
    main()
