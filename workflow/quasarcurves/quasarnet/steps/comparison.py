"""Two networks on the same spectra: what changes if one takes the place of the other, as tables and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.quasarnet.analysis import comparison, thresholds
from quasarcurves.quasarnet.analysis.comparison import Rule, Said
from quasarcurves.quasarnet.analysis.test_set import Tested
from quasarcurves.quasarnet.calibration import Calibration, Reliability
from quasarcurves.quasarnet.page import comparison as page
from quasarcurves.quasarnet.steps.application import Progress, Read, apply_networks, nothing_to_say
from quasarcurves.quasarnet.steps.gallery import read_flux
from quasarcurves.quasarnet.trained_network import Trained
from quasarcurves.spectra import sources
from quasarcurves.spectra.table import UNKNOWN


@dataclass(frozen=True)
class Comparison:
    """What changes between two networks.

    Parameters
    ----------
    names, ids : (str, str)
        Of the networks, that in use first.
    rule : Rule
    n, usable : int
        Spectra, and those with a signal for both.
    counts : mapping
        Spectra that change, by kind.
    changes : DataFrame
        Of `comparison.changes`.
    known : int
        Spectra that a catalogue knows; 0 without one.
    scores : DataFrame, optional
        Of `comparison.scores`.
    calibrations, reliabilities : pairs, optional
        Of both networks.
    thresholds : DataFrame, optional
        Of `thresholds.transferred`.
    """

    names: tuple[str, str]
    ids: tuple[str, str]
    rule: Rule
    n: int
    usable: int
    counts: Mapping[str, int]
    changes: pd.DataFrame
    known: int = 0
    scores: pd.DataFrame | None = None
    calibrations: tuple[Calibration, Calibration] | None = None
    reliabilities: tuple[Reliability, Reliability] | None = None
    thresholds: pd.DataFrame | None = None

    @property
    def threshold_words(self) -> list[str]:
        """With which thresholds the second network equals the first."""
        rows = [] if self.thresholds is None else tables.records(self.thresholds)
        return [thresholds.words(row, self.names[1]) for row in rows]

    @property
    def sentence(self) -> str:
        """What would change, as release notes may have it."""
        return comparison.sentence(self.usable, self.counts, self.scores)


def compare(
    networks: tuple[Trained, Trained],
    config: Mapping[str, Any],
    rule: Rule,
    truth: Sequence[Path] = (),
    progress: Progress = nothing_to_say,
) -> Comparison:
    """Apply two networks to the same spectra.

    Parameters
    ----------
    networks : (Trained, Trained)
        That in use, and that to take its place. Each reads the spectra on its own grid.
    config : mapping
        `source` and `spectra`, as in a study's `data` block.
    rule : Rule
    truth : sequence of Path
        Catalogue or truth files; none: what changes is told, not which network is right.
    progress : callable
        Called with the share of the work that is done, and the number of spectra read by then.

    Raises
    ------
    ValueError, OSError
        If a file cannot be read, or a catalogue knows none of the spectra.
    """
    read = apply_networks(networks, config, progress)
    usable = read[0].usable & read[1].usable
    before, after = (Said.by(rule, each.predicted, usable) for each in read)
    about = {"row": np.arange(len(usable)), "target_id": read[0].key, "snr": read[0].snr}
    tested, known = _truth(config, truth, read[0], usable)
    found = Comparison(
        names=(networks[0].name, networks[1].name),
        ids=(networks[0].id, networks[1].id),
        rule=rule,
        n=len(usable),
        usable=int(usable.sum()),
        counts=comparison.counts(before, after, rule),
        changes=comparison.changes(before, after, rule, about, tested),
    )
    return found if tested is None else _scored(found, (before, after), tested, known)


def _truth(
    config: Mapping[str, Any], paths: Sequence[Path], read: Read, usable: np.ndarray
) -> tuple[Tested | None, np.ndarray]:
    """Look up what is known of the spectra, and which of those with a signal are known."""
    if not paths:
        return None, np.zeros(len(usable), bool)
    found = sources.read_truth(config["source"], paths).look_up(read.key)
    known = usable & found.found & found.inspected & (found.label != UNKNOWN)
    if not known.any():
        raise ValueError(f"{', '.join(map(str, paths))}: knows none of the {len(known)} spectra")
    label = np.where(known, found.label, UNKNOWN).astype(np.uint8)
    return Tested(np.where(known, found.z, np.nan), label, found.bal, read.snr, found.target_id), known


def _scored(found: Comparison, said: tuple[Said, Said], tested: Tested, known: np.ndarray) -> Comparison:
    part, truth = [each.take(known) for each in said], comparison.take(tested, known)
    off = [comparison.calibration(each, found.rule, truth) for each in part]
    curves = [comparison.reliability_of(each, found.rule, truth) for each in part]
    return replace(
        found,
        known=int(known.sum()),
        scores=comparison.scores(part[0], part[1], found.rule, truth),
        calibrations=(off[0], off[1]),
        reliabilities=(curves[0], curves[1]),
        thresholds=thresholds.transferred(
            part[0].predicted, part[1].predicted, found.rule.threshold, found.rule.n_detect, found.rule.dv_max, truth
        ),
    )


def write(
    found: Comparison, networks: tuple[Trained, Trained], config: Mapping[str, Any], folder: Path, most: int
) -> list[Path]:
    """Write the page and the tables of a comparison.

    Parameters
    ----------
    found : Comparison
    networks, config
        As of `compare`.
    folder : Path
        Made if there is none.
    most : int
        Spectra of each kind of change that are drawn.

    Returns
    -------
    list of Path
        The files, the page first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = {"changes": found.changes, "scores": found.scores, "thresholds": found.thresholds}
    written = {name: table for name, table in made.items() if table is not None}
    for name, table in written.items():
        tables.write(table, folder / f"{name}.csv")
    shown = found.changes.groupby("kind", sort=False).head(most)
    page.write(
        folder / "comparison.html",
        names=found.names,
        sentence=found.sentence,
        changes=found.changes,
        shown=shown,
        flux=read_flux(config, shown),
        lines=[name for name in networks[0].lines if name in networks[1].lines],
        scores=found.scores,
        known=found.known,
        calibrations=found.calibrations,
        reliabilities=found.reliabilities,
        thresholds=found.threshold_words,
        facts={
            **{
                when: f"{name}, id {number}, on {network.grid}"
                for when, name, number, network in zip(
                    ("before", "after"), found.names, found.ids, networks, strict=True
                )
            },
            "spectra": f"{found.n:,}, {found.usable:,} of them with a signal, {found.known:,} of known truth",
            "rule": page.rule_words(found.rule),
        },
    )
    return [folder / "comparison.html", *(folder / f"{name}.csv" for name in written)]
