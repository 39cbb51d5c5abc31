"""What would change if one network took the place of another, on the same spectra.

Both are called by one rule. Where the truth of spectra is known, both are scored on the same objects, so that a hard
spectrum is hard for both: intervals are of the differences.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from quasarcurves.analysis import tables
from quasarcurves.analysis.metrics.paired import difference
from quasarcurves.analysis.metrics.scorer import Estimate
from quasarcurves.quasarnet.analysis.scorer import score
from quasarcurves.quasarnet.analysis.test_set import Predicted, Tested
from quasarcurves.quasarnet.calibration import Calibration, Reliability, expected_error, reliability
from quasarcurves.quasarnet.metrics import DV_MAX, has_good_redshift, velocity
from quasarcurves.spectra.table import BAD, GALAXY, STAR, UNKNOWN

KINDS = {
    "gained": "newly called quasars",
    "lost": "no longer called quasars",
    "redshift": "quasars at another redshift",
}
"""How a spectrum changes, and in words."""

Z_EDGES = (0.0, 1.0, 1.5, 2.1, 2.5, 3.0, np.inf)
"""Of the samples by true redshift."""

METRICS = ("completeness", "purity", "sigma_dv")
"""What is compared of both; `sigma_dv` by its ratio."""

T = TypeVar("T", Tested, Predicted)

_CLASSES = {STAR: "star", GALAXY: "galaxy", BAD: "not trusted", UNKNOWN: ""}


@dataclass(frozen=True)
class Rule:
    """What makes a quasar, and what another redshift.

    Parameters
    ----------
    threshold, n_detect : float, int
        A quasar has at least `n_detect` emission lines with a confidence above `threshold`.
    dv_max : float
        km/s: redshifts that differ by more are others.
    """

    threshold: float = 0.5
    n_detect: int = 1
    dv_max: float = DV_MAX


@dataclass(frozen=True)
class Said:
    """What a network says of n spectra.

    Parameters
    ----------
    predicted : Predicted
    called : (n,) bool array
        Called a quasar; never where there is no signal.
    """

    predicted: Predicted
    called: np.ndarray

    @classmethod
    def by(cls, rule: Rule, predicted: Predicted, usable: np.ndarray) -> Said:
        """Call spectra by a rule; `usable` where they have a signal."""
        return cls(predicted, usable & (predicted.score(rule.n_detect) > rule.threshold))

    def take(self, mask: np.ndarray) -> Said:
        """Return what is said of some spectra."""
        return Said(take(self.predicted, mask), self.called[mask])


def changed(before: Said, after: Said, rule: Rule) -> dict[str, np.ndarray]:
    """Return, by kind of `KINDS`, (n,) bool: which spectra change so. No spectrum changes in two ways."""
    same_call = before.called & after.called
    with np.errstate(invalid="ignore"):
        moved = ~has_good_redshift(after.predicted.z_best, before.predicted.z_best, rule.dv_max)
    return {
        "gained": ~before.called & after.called,
        "lost": before.called & ~after.called,
        "redshift": same_call & moved,
    }


def changes(
    before: Said, after: Said, rule: Rule, about: Mapping[str, np.ndarray], tested: Tested | None = None
) -> pd.DataFrame:
    """Return a row per spectrum that changes: by kind, the surest change first.

    Parameters
    ----------
    before, after : Said
        Of the same n spectra.
    rule : Rule
    about : mapping
        (n,) arrays `row`, `target_id` and `snr`.
    tested : Tested, optional
        What is known of them, label UNKNOWN where nothing is.

    Returns
    -------
    DataFrame
        kind, row, target_id, snr; z_before, z_after, dv (km/s, of after against before); confidence_before,
        confidence_after (of the line that decides); with a truth class, z, right_before, right_after.
    """
    scores = [said.predicted.score(rule.n_detect) for said in (before, after)]
    z = [said.predicted.z_best for said in (before, after)]
    dv = velocity(z[1], z[0])
    table = pd.DataFrame({
        **{name: about[name] for name in ("row", "target_id", "snr")},
        "z_before": z[0], "z_after": z[1], "dv": dv,
        "confidence_before": scores[0], "confidence_after": scores[1],
    })  # fmt: skip
    if tested is not None:
        table["class"] = [_CLASSES.get(label, "quasar") for label in tested.label.tolist()]
        table["z"] = tested.z
        for name, said in (("before", before), ("after", after)):
            table[f"right_{name}"] = is_right(said, tested)
    parts = []
    for kind, mask in changed(before, after, rule).items():
        size = np.abs(dv) if kind == "redshift" else np.abs(scores[1] - scores[0])
        found = np.flatnonzero(mask)
        found = found[np.argsort(-size[found], kind="stable")]
        parts.append(table.iloc[found].assign(kind=kind))
    whole = pd.concat(parts, ignore_index=True)
    return whole[["kind", *(name for name in whole.columns if name != "kind")]]


def is_right(said: Said, tested: Tested) -> np.ndarray:
    """(n,) bool: a quasar called so at its redshift, a star not called one; a galaxy may be called one at its redshift.

    False where the truth is not known or not trusted.
    """
    good = has_good_redshift(said.predicted.z_best, tested.z)
    other = np.isin(tested.label, (STAR, GALAXY))
    return np.where(tested.is_qso, said.called & good, other & (~said.called | (tested.is_galaxy & good)))


def scores(before: Said, after: Said, rule: Rule, tested: Tested) -> pd.DataFrame:
    """Return a row per sample and metric: both networks on the same objects, and their difference.

    Parameters
    ----------
    before, after : Said
    rule : Rule
    tested : Tested
        Of the same n spectra, all of them known.

    Returns
    -------
    DataFrame
        sample; spectra, quasars; metric (purity where the sample is not chosen by the true redshift); before, after;
        change (after minus before, of `sigma_dv` after over before) with low and high, 95 % over objects.
    """
    rows = []
    for sample, mask in samples(tested):
        if not mask.any():
            continue
        part = take(tested, mask)
        found = [score(part, take(said.predicted, mask), rule.threshold, rule.n_detect) for said in (before, after)]
        size = {"sample": sample, "spectra": int(mask.sum()), "quasars": int(part.is_qso.sum())}
        for metric in METRICS:
            if metric == "purity" and sample.startswith("z "):
                continue
            rows.append({**size, "metric": metric, **_compared(metric, found[0][metric], found[1][metric])})
    return pd.DataFrame(rows)


def _compared(metric: str, before: Estimate, after: Estimate) -> dict[str, float]:
    is_ratio = metric == "sigma_dv"
    found = difference([(after, before)])
    values = np.array([before.value, after.value, found.value, found.low, found.high])
    values = np.exp(values) if is_ratio else np.clip(values, -1, 1)  # no share changes by more
    return dict(zip(("before", "after", "change", "low", "high"), map(float, values), strict=True))


def samples(tested: Tested) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the samples that are scored apart: all, thirds by S/N, and bins of the true redshift of quasars."""
    yield "all", np.ones(len(tested.z), bool)
    if len(tested.snr):
        limits = np.quantile(tested.snr, [1 / 3, 2 / 3])
        place = np.searchsorted(limits, tested.snr)
        for i, name in enumerate((f"S/N below {limits[0]:.2g}", "S/N between", f"S/N above {limits[1]:.2g}")):
            yield name, place == i
    for low, high in itertools.pairwise(Z_EDGES):
        name = f"z {low:g} to {high:g}" if np.isfinite(high) else f"z above {low:g}"
        yield name, tested.is_qso & (tested.z >= low) & (tested.z < high)


def calibration(said: Said, rule: Rule, tested: Tested) -> Calibration:
    """Return how far confidences are from probabilities of being a quasar; spectra not trusted are left out."""
    trusted = _is_trusted(tested)
    confidence = said.predicted.score(rule.n_detect)[trusted]
    return expected_error(confidence, tested.is_qso[trusted], tested.target_id[trusted])


def reliability_of(said: Said, rule: Rule, tested: Tested) -> Reliability:
    """Return the share of quasars against confidence; spectra not trusted are left out."""
    trusted = _is_trusted(tested)
    return reliability(said.predicted.score(rule.n_detect)[trusted], tested.is_qso[trusted])


def _is_trusted(tested: Tested) -> np.ndarray:
    return tested.is_qso | np.isin(tested.label, (STAR, GALAXY))


def counts(before: Said, after: Said, rule: Rule) -> dict[str, int]:
    """Return the number of spectra that change, by kind."""
    return {kind: int(mask.sum()) for kind, mask in changed(before, after, rule).items()}


def sentence(n: int, found: Mapping[str, int], table: pd.DataFrame | None = None) -> str:
    """Return what would change in one sentence, as release notes may have it.

    Parameters
    ----------
    n : int
        Spectra with a signal.
    found : mapping
        Of `counts`.
    table : DataFrame, optional
        Of `scores`.
    """
    if not n:
        return "No spectrum has a signal."
    total = sum(found.values())
    parts = ", ".join(f"{count:,} {KINDS[kind]}" for kind, count in found.items())
    said = f"Of {n:,} spectra {total:,} change ({100 * total / n:.2g} %): {parts}"
    if table is None:
        return f"{said}."
    rows = tables.records(table[table["sample"] == "all"])
    known = [_metric_words(row) for row in rows if np.isfinite(row["change"])]
    return f"{said}; {'; '.join(known)}." if known else f"{said}."


def calibration_words(name: str, found: Calibration) -> str:
    """Say how far the confidences of a network are from probabilities."""
    if not found.n:
        return f"{name}: no spectrum of known class."
    off = f"off by {found.error:.3f} ({found.low:.3f} to {found.high:.3f}) on average"
    chance = f"chance alone would give {found.perfect:.3f}, and more than {found.perfect_high:.3f} in one of 20 sets"
    verdict = "they are no probabilities" if found.is_off else "they may be probabilities"
    return f"{name}: confidences are {off} over {found.n:,} spectra; {chance}: {verdict}."


def _metric_words(row: Mapping[str, Any]) -> str:
    if row["metric"] == "sigma_dv":
        between = f"{row['low']:.3g} to {row['high']:.3g}"
        from_to = f"the scatter of dv goes from {row['before']:.3g} to {row['after']:.3g} km/s"
        return f"{from_to}, {row['change']:.3g} times ({between})"
    between = f"{row['low']:+.4f} to {row['high']:+.4f}"
    return f"{row['metric']} goes from {row['before']:.4f} to {row['after']:.4f}, by {row['change']:+.4f} ({between})"


def take(table: T, mask: np.ndarray) -> T:
    """Return some rows of the truth or of predictions."""
    return type(table)(**{each.name: getattr(table, each.name)[mask] for each in fields(table)})
