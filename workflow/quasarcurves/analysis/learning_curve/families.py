"""Families of learning curves, written for errors: how an error falls with the number of training examples.

LCDB (Mohr, Viering, Loog & van Rijn 2022, ECML PKDD) writes them for scores that grow. An error is 1 - score, or the
score with its sign turned, so that the score's limit becomes the floor, and every family has the form

    error(n) = floor + height * g(n),    g falling to 0.

| family | score                      | error                         | g(n)               |
|--------|----------------------------|-------------------------------|--------------------|
| pow3   | a - b n^-c                 | a + b n^-c                    | n^-c               |
| pow4   | a - b (n + d)^-c           | a + b (n + d)^-c              | (n + d)^-c         |
| mmf4   | (a b + c n^d) / (b + n^d)  | (a b + c n^d) / (b + n^d)     | 1 / (1 + n^d / b)  |
| wbl4   | c - b exp(-a n^d)          | c + b exp(-a n^d)             | exp(-a n^d)        |
| exp4   | c - exp(-a n^d + b)        | c + exp(-a n^d + b)           | exp(-a n^d)        |
| last1  | constant                   | constant                      | 0                  |

a, or c where g has an a of its own, is the error's floor: 1 minus that of the score. In mmf4 the error is a at n = 0.
exp4 is wbl4 with exp(b) in place of b: the same curves, so they are fitted once, as wbl4. In the limit of small d, pow4
and wbl4 become pow3, and so does mmf4 for small b.

Here a curve is three numbers, all without units: two of g, and the share of the floor in the error at the largest size,
between 0 (no floor) and 1 (a constant). So every curve falls and is finite at every size. d is at most 1.5 in wbl4 and
3 in mmf4: steeper ones could be level for as long as there are data and fall to nothing right after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_LARGEST_LOG = 700.0
"""exp of it is still a float64."""


@dataclass(frozen=True)
class Family:
    """A family of curves.

    Parameters
    ----------
    name : str
    parameters : int
        In the published form.
    low, high : tuple of float
        Bounds of the two coordinates of its shape.
    log_shape : callable
        Coordinates (m, 1) and (m, 1), and log(n / largest n) (1, k), to log(g(n) / g(largest n)) (m, k).
    published : callable
        Coordinates, floor, height at the largest n, and that n, to the parameters of the published error.
    """

    name: str
    parameters: int
    low: tuple[float, float]
    high: tuple[float, float]
    log_shape: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    published: Callable[[float, float, float, float, float], dict[str, float]]

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest values (3,) of a curve: coordinates of the shape, and share of the floor."""
        return np.array([*self.low, 0.0]), np.array([*self.high, 1.0])

    def log_curve(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Log error relative to that at the largest size.

        Parameters
        ----------
        theta : (m, 3) array
            Curves: two coordinates of the shape, and the share of the floor.
        x : (k,) array
            Sizes over the largest; infinity is the floor.

        Returns
        -------
        (m, k) float64 array
        """
        first, second, share = (column[:, None] for column in np.asarray(theta, float).T)
        with np.errstate(over="ignore", divide="ignore"):
            shape = np.clip(self.log_shape(first, second, np.log(x)[None]), -_LARGEST_LOG, _LARGEST_LOG)
            curve = np.logaddexp(np.log(share), np.log1p(-share) + shape)
            return np.where(np.isinf(x), np.log(share), curve)


def _power(log_c: np.ndarray, log_d: np.ndarray, log_x: np.ndarray) -> np.ndarray:
    d = np.exp(log_d)
    return -np.exp(log_c) * (np.log(np.exp(log_x) + d) - np.log1p(d))


def _pure_power(log_c: np.ndarray, _: np.ndarray, log_x: np.ndarray) -> np.ndarray:
    return -np.exp(log_c) * log_x


def _saturation(log_middle: np.ndarray, log_d: np.ndarray, log_x: np.ndarray) -> np.ndarray:
    """1 / (1 + (x / middle)^d), by the size at which half is gone."""
    d = np.exp(log_d)
    return np.logaddexp(0, -d * log_middle) - np.logaddexp(0, d * (log_x - log_middle))


def _stretched(log_slope: np.ndarray, log_d: np.ndarray, log_x: np.ndarray) -> np.ndarray:
    """exp(-(slope/d) x^d), by the logarithmic slope at the largest size."""
    d = np.exp(log_d)
    return -np.exp(log_slope) * np.expm1(d * log_x) / d


def _pow3(log_c: float, _: float, floor: float, height: float, scale: float) -> dict[str, float]:
    c = np.exp(log_c)
    return {"a": floor, "b": height * scale**c, "c": c}


def _pow4(log_c: float, log_d: float, floor: float, height: float, scale: float) -> dict[str, float]:
    c, d = np.exp(log_c), scale * np.exp(log_d)
    return {"a": floor, "b": height * (scale + d) ** c, "c": c, "d": d}


def _mmf4(log_middle: float, log_d: float, floor: float, height: float, scale: float) -> dict[str, float]:
    d = np.exp(log_d)
    b = (scale * np.exp(log_middle)) ** d
    return {"a": floor + height * (1 + scale**d / b), "b": b, "c": floor, "d": d}


def _wbl4(log_slope: float, log_d: float, floor: float, height: float, scale: float) -> dict[str, float]:
    d = np.exp(log_d)
    rate = np.exp(log_slope) / d
    return {"a": rate / scale**d, "b": height * np.exp(rate), "c": floor, "d": d}


_POW3 = Family("pow3", 3, (np.log(0.02), 0.0), (np.log(4), 0.0), _pure_power, _pow3)
_POW4 = Family("pow4", 4, (np.log(0.02), np.log(1e-3)), (np.log(10), np.log(3)), _power, _pow4)
_MMF4 = Family("mmf4", 4, (np.log(1e-4), np.log(0.05)), (np.log(10), np.log(3)), _saturation, _mmf4)
_WBL4 = Family("wbl4", 4, (np.log(1e-3), np.log(0.03)), (np.log(20), np.log(1.5)), _stretched, _wbl4)

FAMILIES = {family.name: family for family in (_POW3, _POW4, _MMF4, _WBL4)}
"""Families that fall, by name; the one with fewest parameters first."""

BASELINE = "last1"
"""The constant that families have to beat: the error of the largest size."""
