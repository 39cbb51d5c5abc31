"""Two networks on the same spectra, as one page that needs no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import markupsafe
import numpy as np
import pandas as pd

import quasarcurves
from quasarcurves.analysis import tables
from quasarcurves.files import whole_file
from quasarcurves.page import templates
from quasarcurves.page.drawing import svg
from quasarcurves.quasarnet.analysis import comparison
from quasarcurves.quasarnet.analysis.comparison import KINDS, Rule
from quasarcurves.quasarnet.calibration import Calibration, Reliability
from quasarcurves.quasarnet.figures import changes as figure
from quasarcurves.quasarnet.figures import reliability

LABELS = {"completeness": "completeness", "purity": "purity", "sigma_dv": "scatter of dv (km/s)"}


def write(
    path: Path,
    *,
    names: tuple[str, str],
    sentence: str,
    changes: pd.DataFrame,
    shown: pd.DataFrame,
    flux: np.ndarray,
    lines: Sequence[str],
    scores: pd.DataFrame | None,
    known: int,
    calibrations: tuple[Calibration, Calibration] | None,
    reliabilities: tuple[Reliability, Reliability] | None,
    thresholds: Sequence[str],
    facts: Mapping[str, str],
) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
    names : (str, str)
        Of both networks, that in use first.
    sentence : str
        What changes.
    changes, shown : DataFrame
        All spectra that change, as of `comparison.changes`, and those that are drawn.
    flux : (n, bins) array
        Of those that are drawn.
    lines : sequence of str
        Names of the emission lines.
    scores : DataFrame, optional
        Of `comparison.scores`.
    known : int
        Spectra of known truth.
    calibrations, reliabilities : pairs, optional
        Of both networks.
    thresholds : sequence of str
        With which thresholds the second equals the first.
    facts : mapping of str to str
        How it was made.
    """
    text = (
        templates.environment(Path(__file__).parent)
        .get_template("comparison.html")
        .render(
            before=names[0],
            after=names[1],
            sentence=sentence,
            known=f"{known:,}",
            thresholds=thresholds,
            scores=[] if scores is None else [_row(row) for row in tables.records(scores)],
            calibrations=[
                comparison.calibration_words(name, each) for name, each in zip(names, calibrations or (), strict=False)
            ],
            reliability=svg(reliability.draw(_by_name(names, reliabilities))) if reliabilities else "",
            figures=[_figure(kind, changes, shown, flux, lines) for kind in KINDS],
            facts=[
                *facts.items(),
                ("made", f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}, quasarcurves {quasarcurves.__version__}"),
            ],
        )
    )
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _by_name(names: tuple[str, str], curves: tuple[Reliability, Reliability]) -> dict[str, Reliability]:
    return {f"{when}: {name}": curve for when, name, curve in zip(("before", "after"), names, curves, strict=True)}


def _row(row: Mapping[str, Any]) -> dict[str, str]:
    digits = ".4g" if row["metric"] == "sigma_dv" else ".4f"
    sign = "" if row["metric"] == "sigma_dv" else "+"
    values = {name: _number(row[name], digits) for name in ("before", "after")}
    change, low, high = (_number(row[name], f"{sign}{digits}") for name in ("change", "low", "high"))
    sizes = {name: f"{row[name]:,}" for name in ("spectra", "quasars")}
    interval = f"{low} to {high}" if low and high else ""
    return {
        "sample": row["sample"],
        **sizes,
        "metric": LABELS[row["metric"]],
        **values,
        "change": change,
        "interval": interval,
    }


def _number(value: float, digits: str) -> str:
    return f"{value:{digits}}" if np.isfinite(value) else ""


def _figure(
    kind: str, changes: pd.DataFrame, shown: pd.DataFrame, flux: np.ndarray, lines: Sequence[str]
) -> dict[str, str | markupsafe.Markup]:
    own = (shown["kind"] == kind).to_numpy()
    total, drawn = int((changes["kind"] == kind).sum()), int(own.sum())
    title = f"{total:,} {KINDS[kind]}" + (f", {drawn} of them drawn" if drawn < total else "")
    return {"title": title, "svg": svg(figure.draw(kind, shown[own], flux[own], lines)) if drawn else ""}


def rule_words(rule: Rule) -> str:
    """Say what makes a quasar and another redshift."""
    lines = "1 line" if rule.n_detect == 1 else f"{rule.n_detect} lines"
    return (
        f"a quasar has {lines} above {rule.threshold:g}; redshifts more than {rule.dv_max:,.0f} km/s apart are others"
    )
