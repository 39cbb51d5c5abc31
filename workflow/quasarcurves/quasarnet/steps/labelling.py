"""Spectra to label next, from files of spectra and networks that are trained alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.quasarnet.analysis import comparison, labelling
from quasarcurves.quasarnet.steps.application import Progress, apply_networks, nothing_to_say
from quasarcurves.quasarnet.trained_network import Trained
from quasarcurves.spectra import sources
from quasarcurves.spectra.table import UNKNOWN


@dataclass(frozen=True)
class NextLabels:
    """Spectra without a label, ranked.

    Parameters
    ----------
    ranked : DataFrame
        Of `analysis.labelling.ranked`, with `target_id` and `snr`.
    n, labelled, unusable : int
        Spectra in all, those that have a label, and those of the others without a signal.
    """

    ranked: pd.DataFrame
    n: int
    labelled: int
    unusable: int

    def share(self, most: int) -> float:
        """Share of all disagreement that lies in the first spectra; 0 where there is none."""
        whole = self.ranked["disagreement"].sum()
        return float(self.ranked["disagreement"].head(most).sum() / whole) if whole else 0.0


def next_labels(
    networks: Sequence[Trained],
    config: Mapping[str, Any],
    catalogue: Sequence[Path] = (),
    n_detect: int = 1,
    dv_max: float = 6000.0,
    progress: Progress = nothing_to_say,
) -> NextLabels:
    """Rank spectra by the disagreement of networks.

    Parameters
    ----------
    networks : sequence of Trained
        Two or more, trained alike; each reads the spectra on its own grid.
    config : mapping
        `source` and `spectra`, as in a study's `data` block.
    catalogue : sequence of Path
        Of spectra that have a label already, which are left out.
    n_detect, dv_max
        As of `analysis.labelling.ranked`.
    progress : callable

    Raises
    ------
    ValueError, OSError
        If a file cannot be read, or all spectra have a label.
    """
    read = apply_networks(networks, config, progress)
    known = np.zeros(len(read[0].key), bool)
    if catalogue:
        found = sources.read_truth(config["source"], catalogue).look_up(read[0].key)
        known = found.found & found.inspected & (found.label != UNKNOWN)
    usable = np.all([each.usable for each in read], axis=0)
    rows = np.flatnonzero(usable & ~known)
    if not len(rows):
        raise ValueError(
            f"{', '.join(map(str, config['spectra']))}: none of {len(known)} spectra has a signal and no label"
        )
    ranked = labelling.ranked([comparison.take(each.predicted, rows) for each in read], n_detect, dv_max)
    rows = rows[ranked.pop("row")]
    ranked.insert(0, "row", rows)
    ranked.insert(1, "target_id", read[0].key[rows])
    ranked.insert(2, "snr", read[0].snr[rows])
    return NextLabels(ranked, len(known), int(known.sum()), int((~usable & ~known).sum()))
