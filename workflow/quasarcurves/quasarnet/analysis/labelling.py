"""Which spectra to label next: those on which networks that are trained alike disagree.

Networks that differ in their training sets, initial weights and order of batches alone are draws from what the labels
leave open. Where they disagree, a label tells most: the mutual information between the class and the choice of a
network (Houlsby et al. 2011, arXiv:1112.5745, eq. 2).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy

from quasarcurves.quasarnet.analysis.test_set import Predicted
from quasarcurves.quasarnet.metrics import velocity


def disagreement(probability: np.ndarray) -> np.ndarray:
    """Return what a label would tell of which network is right.

    Parameters
    ----------
    probability : (k, n) array
        Of being a quasar, by each of k networks for n spectra.

    Returns
    -------
    (n,) array
        Mutual information of class and network, 0 to 1 bit: 0 where all say the same, however unsure.
    """
    p = np.asarray(probability, float)
    return np.maximum(_entropy(p.mean(axis=0)) - _entropy(p).mean(axis=0), 0.0)


def ranked(predicted: Sequence[Predicted], n_detect: int, dv_max: float) -> pd.DataFrame:
    """Rank spectra by the disagreement of networks.

    Parameters
    ----------
    predicted : sequence of Predicted
        Of at least two networks for the same n spectra.
    n_detect : int
        Lines that a quasar needs: the confidence is that of the n-th surest.
    dv_max : float
        km/s between redshifts that are the same.

    Returns
    -------
    DataFrame
        A row per spectrum, the largest disagreement first: `row` among the spectra, `disagreement` in bits,
        `redshift_disagreement`, the share of pairs of networks whose redshifts differ, `confidence`, `confidence_low`
        and `confidence_high`, the mean and the range over networks, and `z`, the redshift of the surest network.
    """
    confidence = np.stack([np.sort(each.confidence, axis=1)[:, -n_detect] for each in predicted]).astype(float)
    z = np.stack([each.z_best for each in predicted])
    surest = confidence.argmax(axis=0)
    table = pd.DataFrame(
        {
            "row": np.arange(confidence.shape[1]),
            "disagreement": disagreement(confidence),
            "redshift_disagreement": _pairs_apart(z, dv_max),
            "confidence": confidence.mean(axis=0),
            "confidence_low": confidence.min(axis=0),
            "confidence_high": confidence.max(axis=0),
            "z": np.take_along_axis(z, surest[None], axis=0)[0],
        }
    )
    return table.sort_values(["disagreement", "row"], ascending=[False, True], ignore_index=True)


def _entropy(p: np.ndarray) -> np.ndarray:
    return (scipy.special.entr(p) + scipy.special.entr(1 - p)) / np.log(2)


def _pairs_apart(z: np.ndarray, dv_max: float) -> np.ndarray:
    first, second = np.triu_indices(len(z), 1)
    return (np.abs(velocity(z[first], z[second])) > dv_max).mean(axis=0)
