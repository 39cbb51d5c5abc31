"""How many examples to label next, when labels cost and a missed target costs more.

The number of examples that the target takes is known as a bootstrap of learning curves only (Mahmood, Lucas, Acuna, Li
et al. 2022, arXiv:2207.01725). Its smoothed distribution F gives the expected cost of a plan n_1 <= ... <= n_T that
begins with n_0 examples and stops when the target is met (Mahmood, Lucas, Alvarez, Fidler & Law 2022,
arXiv:2210.01234):

    cost (n_1 - n_0) + sum over t > 1 of cost (n_t - n_{t-1}) (1 - F(n_{t-1})) + penalty (1 - F(n_T)).

With one round this is the newsvendor's problem, whose optimum has penalty F'(n_1) = cost. More rounds are solved by
backward induction on a grid of sizes, so that a further round, which may be left empty, never costs more. An empty
first round is a closer test at today's size, by more replicates: labels are bought only if the target is still missed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

_GRID = 800
_FARTHEST = 3.0
"""Bandwidths beyond the largest draw at which the grid of sizes ends."""

_NARROWEST = 1e-3
"""Least bandwidth, in log size: draws that are all the same still have a distribution."""


@dataclass(frozen=True)
class Costs:
    """What labels and a missed target cost, in one unit.

    Parameters
    ----------
    cost_per_spectrum : float
    penalty : float
        Of a target that is missed at the end.
    rounds : int
        How often examples can be labelled, with a new training after each.

    Raises
    ------
    ValueError
        If a cost is not finite and above 0, or there is no round.
    """

    cost_per_spectrum: float
    penalty: float
    rounds: int = 1

    def __post_init__(self) -> None:
        for name in ("cost_per_spectrum", "penalty"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"learning_curve.{name}: expected a cost above 0, found {value}")
        if self.rounds < 1:
            raise ValueError(f"learning_curve.rounds: expected 1 or more, found {self.rounds}")


@dataclass(frozen=True)
class Plan:
    """The plan of least expected cost.

    Parameters
    ----------
    label : (rounds,) array
        Examples to label in each round, as long as the target is not met.
    chance_of_missing : float
        That the target is missed after the last round.
    expected_cost : float
        In the unit of the costs.
    """

    label: np.ndarray
    chance_of_missing: float
    expected_cost: float


def plan(required: np.ndarray, have: float, costs: Costs) -> Plan:
    """Return the plan of least expected cost.

    Parameters
    ----------
    required : (b,) array
        Draws of the number of examples that the target takes; infinite if it is never met.
    have : float
        Examples labelled today.
    costs : Costs

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If there is no draw, a draw is NaN or negative, or `have` is not above 0.
    """
    required = np.asarray(required, float)
    if not len(required) or np.isnan(required).any() or (required < 0).any():
        raise ValueError("required: expected numbers of 0 or more, found none or others")
    if not have > 0:
        raise ValueError(f"have: expected a number above 0, found {have}")
    n, missed = _survival(required, have)
    # cost of labelling from n[i] to n[j]; a plan never goes back
    labels = costs.cost_per_spectrum * np.maximum(n[None] - n[:, None], 0)
    back = np.tri(len(n), k=-1, dtype=bool)
    ahead, choices = costs.penalty * missed, []
    for turn in range(costs.rounds, 0, -1):
        # the first round is paid for in any case; a later one only if the target is still missed
        paid = labels * (missed[:, None] if turn > 1 else 1.0)
        total = np.where(back, np.inf, paid + ahead[None])
        choices.append(total.argmin(axis=1))
        ahead = total.min(axis=1)
    places = [0]
    for choice in reversed(choices):
        places.append(int(choice[places[-1]]))
    return Plan(np.diff(n[places]), float(missed[places[-1]]), float(ahead[0]))


def _survival(required: np.ndarray, have: float) -> tuple[np.ndarray, np.ndarray]:
    """Return sizes (g,) from `have` on, and the chance (g,) that the target takes more.

    The finite draws are smoothed by a Gaussian kernel in log size (Silverman 1986, eq. 3.31).
    """
    finite = np.log(np.maximum(required[np.isfinite(required)], 1.0))
    if not len(finite):
        return np.array([have]), np.ones(1)
    quarters = np.diff(np.percentile(finite, [25, 75]))[0] / 1.349
    bandwidth = max(0.9 * min(finite.std(), quarters or np.inf) * len(finite) ** -0.2, _NARROWEST)
    end = max(np.exp(finite.max() + _FARTHEST * bandwidth), 1.01 * have)
    n = np.geomspace(have, end, _GRID)
    above = scipy.special.ndtr((finite[:, None] - np.log(n)[None]) / bandwidth).sum(axis=0)
    return n, (above + len(required) - len(finite)) / len(required)
