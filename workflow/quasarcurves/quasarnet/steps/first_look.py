"""What a study's spectra are, before it is run."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from quasarcurves.provenance import status
from quasarcurves.quasarnet.figures.census import examples, histograms
from quasarcurves.spectra import Spectra, census
from quasarcurves.spectra.census import Census
from quasarcurves.spectra.sources import read_chunks
from quasarcurves.study import Study
from quasarcurves.study.outlook import Kind, Seen, Shown, count


def look(chunks: Iterable[Spectra]) -> Seen:
    """Return what spectra are, as they are read from their source or were prepared.

    Raises
    ------
    ValueError
        If there is no usable spectrum.
    """
    found = census.take(chunks)
    return Seen(
        about=list(about(found)),
        target_id=found.columns["target_id"],
        kind=Kind("quasar", "completeness", found.is_quasar),
        warnings=list(_wrong(found)),
        figures=_figures(found),
    )


def of_study(study: Study) -> Seen:
    """Return what the spectra of a study are, as they were prepared if they still are what it asks for."""
    if status.is_current(study, "prepare_spectra"):
        return look(census.of_file(study.prepared))
    print("reading the spectra ...", file=sys.stderr)
    return look(read_chunks(study.data))


def about(found: Census) -> Iterator[str]:
    """Yield lines on spectra: how many, of which classes, their redshifts and S/N, what is double or contradictory."""
    rejected = sum(found.rejected.values())
    yield f"{count(len(found), 'usable spectrum', 'usable spectra')}, {rejected:,} rejected" + _each(found.rejected)
    yield f"Classes: {', '.join(f'{name}: {count:,}' for name, count in found.classes.items())}"
    redshifts, snr = found.columns["z"][found.is_quasar], found.columns["snr"]
    yield f"Redshifts of quasars: {_spread(redshifts)}; S/N per bin: {_spread(snr)}"
    conflicts = found.conflicts()
    yield (
        f"Repeat observations: {found.repeated_observations:,}; the same flux under another id: {found.copies:,}; "
        f"objects of two classes: {len(conflicts['class']):,}, of two redshifts: {len(conflicts['redshift']):,}"
    )


def _figures(found: Census) -> list[Shown]:
    stacked = "Stacked by class; redshifts of stars are left out. Spectra beyond the range stand in the outermost bins."
    drawn = "Drawn at random, as many of each class as there are to be had. Flux is normalised to mean 0 and scatter 1."
    return [
        Shown("Histograms of redshift and of signal to noise by class", histograms(found), stacked),
        Shown(f"{len(found.examples)} example spectra", examples(found.examples), drawn),
    ]


def _wrong(found: Census) -> Iterator[str]:
    """Yield what is wrong with the spectra."""
    for kind, ids in found.conflicts().items():
        if len(ids):
            yield f"{count(len(ids), 'object')} with more than one {kind}: {_some(ids)}"
    if found.copies:
        copied = count(found.copies, "spectrum", "spectra")
        yield f"{copied} with the flux of another target id: what is tested may have been trained on"


def _each(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{reason} {count:,}' for reason, count in counts.items())})" if counts else ""


def _spread(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "none known"
    low, middle, high = np.percentile(finite, [5, 50, 95])
    return f"median {middle:.3g}, 5 to 95 % {low:.3g} to {high:.3g}"


def _some(ids: np.ndarray, most: int = 5) -> str:
    shown = ", ".join(map(str, ids[:most]))
    return shown if len(ids) <= most else f"{shown} and {len(ids) - most:,} more"
