"""Curvature: how sharply the loss bends where a training stands, and the curvature at which its optimizer diverges.

It is measured on a fixed probe of training examples, with batch normalisation as in training; the model is not changed.
The Hessian is never formed: differentiating the gradient once more gives its products with vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.sparse.linalg import LinearOperator, eigsh

from quasarcurves.training import backends, optimizer_traits
from quasarcurves.training.flat import like, size
from quasarcurves.training.plan import Task
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
    task : Task
        With its optimizer built and its model as it was initialised.
    probe : sequence of (n, ...) arrays
        The model's input, then the targets that `task.loss` takes.
    every : int
        Steps between measurements.
    """

    def __init__(self, task: Task, probe: Sequence[np.ndarray], every: int) -> None:
        self.every = every
        self._optimizer = task.optimizer
        self._gradient, self._product = backends.active().compile_derivatives(task, probe)
        self._matters = _mattering(self._gradient(), task.model.trainable_variables)

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
        """
        optimizer = self._optimizer
        t = ops.cast(optimizer.iterations, "float32")
        inverse_root = self._matters / np.sqrt(np.float64(preconditioner_of(optimizer).diagonal(t)))
        gradient = np.float64(self._gradient()) * inverse_root

        def product(vector: np.ndarray) -> np.ndarray:
            # P^-1/2 H P^-1/2 is symmetric and has the eigenvalues of P^-1 H
            return np.float64(self._product(np.float32(np.ravel(vector) * inverse_root))) * inverse_root

        values = {
            "sharpness": largest_eigenvalue(product, gradient),
            "gradient_curvature": rayleigh_quotient(product, gradient),
            "threshold": stability_threshold(optimizer),
        }
        return {name: value for name, value in values.items() if value is not None}


def largest_eigenvalue(product: Callable[[np.ndarray], np.ndarray], near: np.ndarray) -> float:
    """Return the largest eigenvalue of a symmetric matrix, to 1e-3 of the largest in size, by Lanczos's method.

    Power iteration would find a negative eigenvalue of larger size instead, and takes more products.

    Parameters
    ----------
    product : callable
        (n,) vector -> (n,) product of the matrix with it.
    near : (n,) array
        Vector to start from, not orthogonal to the eigenvector.
    """
    n = near.size
    noise = np.random.default_rng(_START_SEED).normal(size=n)
    scale = np.linalg.norm(near) or 1.0
    start = near / scale + _START_SHARE * noise / np.linalg.norm(noise)
    if n <= _BASIS:
        return float(np.linalg.eigvalsh(np.column_stack([product(row) for row in np.eye(n)]))[-1])
    matrix = LinearOperator((n, n), matvec=product, dtype=np.float64)
    return float(eigsh(matrix, k=1, which="LA", v0=start, ncv=_BASIS, tol=_TOLERANCE, return_eigenvectors=False)[0])


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
    momentum, rate = optimizer_traits.of_class(type(optimizer)).momentum, float(optimizer.learning_rate)
    is_mean = momentum in ("mean", "mean ahead")
    if is_mean:
        b = optimizer.beta_1
    elif momentum == "sum":
        b = optimizer.momentum
    elif momentum == "none":
        b = 0.0
    else:
        return None
    looks_ahead = momentum == "mean ahead" or getattr(optimizer, "nesterov", False)
    return (2 + 2 * b) / ((1 - b if is_mean else 1) * (1 + 2 * b if looks_ahead else 1) * rate)


def _mattering(gradient: Any, variables: Sequence[keras.Variable]) -> np.ndarray:
    """Return which parameters the loss depends on, decided tensor by tensor; (n_parameters,) bool."""
    sizes = [np.sqrt(np.mean(np.square(part))) for part in like(gradient, variables)]
    matters = np.greater(sizes, _NO_GRADIENT * max(sizes))
    return np.repeat(matters, [size(variable) for variable in variables])
