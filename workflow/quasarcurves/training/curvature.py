"""Curvature: how sharply the loss bends where a training stands, and the curvature at which its optimizer diverges.

It is measured on a fixed probe of training examples, and on fixed batches of the training's own size, each along its
own gradient: with batches the latter sets the limit (Andreyev & Beneventano 2024, arXiv:2412.20553). Batch
normalisation is as in training; the model is not changed. The Hessian is never formed: differentiating the gradient
once more gives its products with vectors. What else is too dear for every step is measured beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from quasarcurves.training import backends, optimizer_traits
from quasarcurves.training.flat import flat, like, size
from quasarcurves.training.plan import Learner
from quasarcurves.training.preconditioners import preconditioner_of

_TOLERANCE = 1e-3
"""Relative accuracy of an eigenvalue."""

_BASIS = 10
"""Vectors that Lanczos's method keeps."""

_NO_GRADIENT = 1e-5
"""Of the largest root mean square gradient of a tensor. A smaller gradient is rounding: there is none."""

_START_SEED, _START_SHARE = 20260102, 0.1
"""Of the random part in the vector that Lanczos's method starts from. The gradient alone could be orthogonal to the
eigenvector."""


class Curvature:
    """The curvature of a training's loss, measured every so many steps.

    Parameters that the loss does not depend on, such as a bias before batch normalisation, are left out. Their
    curvature is 0, but rounding errors divided by their tiny preconditioner would be the largest eigenvalue.

    Parameters
    ----------
    learner : Learner
        With its optimizer built and its model as it was initialised.
    probe : sequence of (n, ...) arrays
        The model's input, then the targets that `learner.loss` takes.
    every : int
        Steps between measurements.
    batches : sequence of sequences of (batch, ...) arrays
        Examples as in `probe`; the batch sharpness is left out if there are none.
    """

    def __init__(
        self,
        learner: Learner,
        probe: Sequence[np.ndarray],
        every: int,
        batches: Sequence[Sequence[np.ndarray]] = (),
    ) -> None:
        self.every = every
        self._learner = learner
        self._probe, *self._batches = ([ops.convert_to_tensor(array) for array in part] for part in (probe, *batches))
        self._derivatives = backends.active().compile_derivatives(learner)
        self._matters = _mattering(self._derivatives.gradient(self._probe), learner.model.trainable_variables)
        self._before = self._downhill = np.zeros(0)

    def measure(self) -> dict[str, float]:
        """Measure where the training stands; after one step at least, for optimizers with a preconditioner.

        Returns
        -------
        dict
            - `sharpness`: largest eigenvalue of P^-1 H, with H the Hessian and P the optimizer's preconditioner
              (Cohen et al. 2022, arXiv:2207.14484, section 2); of H itself for optimizers that have none
            - `gradient_curvature`: curvature along the preconditioned gradient d = P^-1 g, d.H d / d.P d, a lower
              bound of the sharpness (Bai et al. 2025, arXiv:2506.04805)
            - `threshold`: that of `stability_threshold`; left out where none is known
            - `batch_sharpness`, `batch_sharpness_median`, `batch_sharpness_mean`: those of `batch_sharpness`; left out
              without batches
            - `batch_threshold`: that of `batch_threshold`; left out where none is known, or without batches
            - `clipped_share`: that of `learner.clipped` on the probe; left out if the learner has none
        """
        root, gradient = self._inverse_root(), self._begin_step()
        product = self._product_on(self._probe, root)
        values = {
            "sharpness": largest_eigenvalue(product, gradient * root),
            "gradient_curvature": rayleigh_quotient(product, gradient * root),
            "threshold": stability_threshold(self._learner.optimizer),
            **self._measure_batches(root),
            "clipped_share": self._clipped_share(),
        }
        return {name: value for name, value in values.items() if value is not None}

    def measure_cheaply(self) -> dict[str, float]:
        """Measure what `measure` does, without what takes products of the probe's Hessian."""
        self._begin_step()
        values = {**self.measure_batches(), "clipped_share": self._clipped_share()}
        return {name: value for name, value in values.items() if value is not None}

    def measure_step(self, batch: Sequence[Any] | None = None) -> dict[str, float]:
        """Measure the step that was taken after `measure` or `measure_cheaply`.

        Parameters
        ----------
        batch : sequence of (batch, ...) arrays, optional
            The examples of that step.

        Returns
        -------
        dict
            - `descent_cosine`: cosine of the angle between what the weights moved by and the probe's direction of
              descent, -g, before the step: 1 straight downhill, 0 unrelated to the loss, below 0 uphill
              (Molybog et al. 2023, arXiv:2304.09871)
            - `update_curvature`: with `batch` only; curvature of its loss before the step along what the weights
              moved by, d.H d / d.P d, with the P that the step was divided by. NaN if nothing moved
        """
        moved = (self._weights() - self._before) * self._matters
        found = {"descent_cosine": cosine(moved, self._downhill)}
        return found if batch is None else {**found, "update_curvature": self._update_curvature(moved, batch)}

    def measure_batches(self) -> dict[str, float | None]:
        """Measure the batches alone: `batch_sharpness` and `batch_threshold` of `measure`."""
        return self._measure_batches(self._inverse_root())

    def _begin_step(self) -> np.ndarray:
        """Keep where a step begins; return the probe's gradient there, (n_parameters,)."""
        gradient = np.asarray(self._derivatives.gradient(self._probe), np.float64)
        self._before, self._downhill = self._weights(), -gradient * self._matters
        return gradient

    def _clipped_share(self) -> float | None:
        learner, probe = self._learner, self._probe
        return float(learner.clipped(self._derivatives.outputs(probe), *probe[1:])) if learner.clipped else None

    def _update_curvature(self, moved: np.ndarray, batch: Sequence[Any]) -> float:
        length = np.linalg.norm(moved)
        if not length:
            return np.nan
        root, direction, after = self._inverse_root(), moved / length, self._weights()
        examples = [ops.convert_to_tensor(array) for array in batch]
        self._put_weights(self._before)
        along = direction @ np.float64(self._derivatives.product(examples, np.float32(direction)))
        self._put_weights(after)
        scaled = np.divide(direction, root, out=np.zeros_like(direction), where=root > 0)
        return float(along / (scaled @ scaled))

    def _put_weights(self, row: np.ndarray) -> None:
        variables = self._learner.model.trainable_variables
        for variable, value in zip(variables, like(np.float32(row), variables), strict=True):
            variable.assign(value)

    def _inverse_root(self) -> Any:
        """Return the diagonal of P^-1/2, 0 for what does not matter; (n_parameters,)."""
        optimizer = self._learner.optimizer
        t = ops.cast(optimizer.iterations, "float32")
        return np.divide(self._matters, np.sqrt(np.float64(preconditioner_of(optimizer).diagonal(t))))

    def _weights(self) -> np.ndarray:
        return np.asarray(flat(self._learner.model.trainable_variables), np.float64)

    def _product_on(self, examples: Sequence[Any], inverse_root: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Return the product with P^-1/2 H P^-1/2, which is symmetric and has the eigenvalues of P^-1 H."""

        def product(vector: np.ndarray) -> np.ndarray:
            along = np.float32(np.ravel(vector) * inverse_root)
            return np.float64(self._derivatives.product(examples, along)) * inverse_root

        return product

    def _measure_batches(self, inverse_root: np.ndarray) -> dict[str, float | None]:
        """Return what is measured of the batches; empty if there are none."""
        if not self._batches:
            return {}
        along, square = [], []
        for batch in self._batches:
            gradient = np.float64(self._derivatives.gradient(batch)) * inverse_root
            along.append(gradient @ self._product_on(batch, inverse_root)(gradient))
            square.append(gradient @ gradient)
        return {
            **batch_sharpness(np.array(along), np.array(square)),
            "batch_threshold": batch_threshold(self._learner.optimizer),
        }


def drawn_batches(n: int, batch_size: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Draw full batches as a training does: a new order for every epoch, cut one after the other.

    Parameters
    ----------
    n : int
        Examples to draw from; with fewer than `batch_size` a batch is all of them.
    batch_size, number : int
    rng : Generator

    Returns
    -------
    (number, batch) int array
        Places among the n examples.
    """
    size = min(n, batch_size)
    each = n // size
    epochs = [rng.permutation(n)[: each * size].reshape(each, size) for _ in range(-(-number // each))]
    return np.concatenate(epochs)[:number]


def batch_sharpness(along: np.ndarray, square: np.ndarray) -> dict[str, float]:
    """Return the curvature along each batch's own preconditioned gradient, over some batches.

    Andreyev & Beneventano (2024), arXiv:2412.20553, definition of batch sharpness, with P^-1 g in the place of g.

    Parameters
    ----------
    along : (batches,) array
        d.H d with d = P^-1 g; gradient g and Hessian H are the batch's.
    square : (batches,) array
        d.P d.

    Returns
    -------
    dict
        `batch_sharpness`: sum of `along` over sum of `square`, which few batches of large gradient dominate;
        `batch_sharpness_median` and `batch_sharpness_mean` of their ratios. NaN where no batch has a gradient.
    """
    ratio = along[square > 0] / square[square > 0]
    if not ratio.size:
        return dict.fromkeys(("batch_sharpness", "batch_sharpness_median", "batch_sharpness_mean"), np.nan)
    return {
        "batch_sharpness": float(along.sum() / square.sum()),
        "batch_sharpness_median": float(np.median(ratio)),
        "batch_sharpness_mean": float(ratio.mean()),
    }


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of the angle between two vectors; NaN if one of them is 0."""
    scale = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / scale) if scale else np.nan


def largest_eigenvalue(product: Callable[[np.ndarray], np.ndarray], near: np.ndarray) -> float:
    """Return the largest eigenvalue of a symmetric matrix, to 1e-3 of the largest in size, by Lanczos's method.

    Power iteration would find a negative eigenvalue of larger size instead, and takes more products.

    Parameters
    ----------
    product : callable
        (n,) vector -> (n,) product of the matrix with it.
    near : (n,) array
        Vector to start from, not orthogonal to the eigenvector.

    Returns
    -------
    float
        NaN where products are not finite, as of weights on their way to infinity, or the method does not converge.
    """
    n = near.size
    noise = np.random.default_rng(_START_SEED).normal(size=n)
    scale = np.linalg.norm(near) or 1.0
    start = near / scale + _START_SHARE * noise / np.linalg.norm(noise)
    if n <= _BASIS:
        whole = np.column_stack([product(row) for row in np.eye(n)])
        return float(np.linalg.eigvalsh(whole)[-1]) if np.isfinite(whole).all() else np.nan
    matrix = LinearOperator((n, n), matvec=product, dtype=np.float64)
    try:
        return float(eigsh(matrix, k=1, which="LA", v0=start, ncv=_BASIS, tol=_TOLERANCE, return_eigenvectors=False)[0])
    except ArpackError:
        return np.nan


def rayleigh_quotient(product: Callable[[np.ndarray], np.ndarray], vector: np.ndarray) -> float:
    """Return v.A v / v.v; NaN for a vector of zeros."""
    square = vector @ vector
    return float(vector @ product(vector) / square) if square else np.nan


def stability_threshold(optimizer: keras.optimizers.Optimizer) -> float | None:
    """Return the eigenvalue of P^-1 H above which an optimizer with that P held fixed diverges on a quadratic.

    With b the momentum and lr the present learning rate: 2 / lr without momentum; (2 + 2b) / lr for a running sum
    of gradients and (2 + 2b) / ((1 - b) lr) for a running mean (Cohen et al. 2022, arXiv:2207.14484, equation 2 and
    section 2); with Nesterov's look ahead 1 + 2b times less (Cohen et al. 2021, arXiv:2103.00065, appendix B).
    Weight decay and clipping are ignored. How an optimizer averages gradients is a trait (`optimizer_traits`).

    Returns
    -------
    float or None
        None where no threshold is known.
    """
    momentum, b = _averaging(optimizer)
    if momentum is None:
        return None
    looks_ahead = momentum == "mean ahead" or getattr(optimizer, "nesterov", False)
    return (2 + 2 * b) / ((1 + 2 * b if looks_ahead else 1) * _rate_of_sum(optimizer, momentum, b))


def batch_threshold(optimizer: keras.optimizers.Optimizer) -> float | None:
    """Return the batch sharpness above which an optimizer diverges on small batches, for a P held fixed.

    With b the momentum and lr the present learning rate: 2 / lr without momentum (Andreyev & Beneventano 2024,
    arXiv:2412.20553), 2 (1 - b) / lr for a running sum of gradients (arXiv:2604.14108), so 2 / lr for a running mean,
    which is such a sum at (1 - b) lr. Batches are small if their gradients differ so much that momentum adds up
    unlike ones; it then only lengthens the way that each goes, which Nesterov's look ahead does not change.

    Returns
    -------
    float or None
        None where no threshold is known.
    """
    momentum, b = _averaging(optimizer)
    return None if momentum is None else 2 * (1 - b) / _rate_of_sum(optimizer, momentum, b)


def _averaging(optimizer: keras.optimizers.Optimizer) -> tuple[str | None, float]:
    """Return how an optimizer averages gradients (`optimizer_traits.Traits.momentum`), and its momentum."""
    momentum = optimizer_traits.of_class(type(optimizer)).momentum
    names = {"mean": "beta_1", "mean ahead": "beta_1", "sum": "momentum"}
    return momentum, float(getattr(optimizer, names[momentum])) if momentum in names else 0.0


def _rate_of_sum(optimizer: keras.optimizers.Optimizer, momentum: str, b: float) -> float:
    """Return the learning rate at which a running sum of gradients takes the same steps."""
    rate = float(optimizer.learning_rate)
    return (1 - b) * rate if momentum in ("mean", "mean ahead") else rate


def _mattering(gradient: Any, variables: Sequence[keras.Variable]) -> np.ndarray:
    """Return which parameters the loss depends on, decided tensor by tensor; (n_parameters,) bool."""
    sizes = [np.sqrt(np.mean(np.square(part))) for part in like(gradient, variables)]
    matters = np.greater(sizes, _NO_GRADIENT * max(sizes))
    return np.repeat(matters, [size(variable) for variable in variables])
