"""How the results of a study stand, so that hundreds of trainings fit on a screen."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from quasarcurves.provenance import inventory
from quasarcurves.provenance.status import GOOD, STATES, Standing
from quasarcurves.study import Study

_WIDTH = 100
_MOST_NAMES = 3
_MOST_REASONS = 6
"""Names of jobs, and different reasons, that a summary tells."""


def summary(study: Study, found: Sequence[Standing]) -> Iterator[str]:
    """Yield lines on how all jobs of a study stand: a count per kind of step, then what is not current, and why."""
    yield f"Study {study.name}: {len(study.runs):,} trainings, {study.results}"
    if all(each.state == "missing" for each in found):
        yield "It was never run here."
        return
    states = [state for state in STATES if any(each.state == state for each in found)]
    yield f"{'':<14}" + "".join(f"{state:>10}" for state in states)
    for kind, jobs in _by_kind(found).items():
        counts = Counter(each.state for each in jobs)
        yield f"{kind:<14}" + "".join(f"{counts[state] or '-':>10}" for state in states)
    yield from _not_current(found)


def everything(found: Iterable[Standing]) -> Iterator[str]:
    """Yield a line per job."""
    for each in found:
        why = "; ".join(each.why) or (f"after {each.after}" if each.after else "")
        yield f"{each.state:<9} {each.job:<44} {why}".rstrip()


def disk(study: Study, found: Sequence[Standing]) -> str:
    """Return a line on how large the results are, and what of them can be freed how."""
    parts = (
        ("states of finished trainings, which more epochs would go on from: prune --states",
         inventory.finished_states(study, found)),
        ("what the study does not ask for: prune", inventory.orphans(study)),
    )  # fmt: skip
    freed = [f"{_megabytes(sum(each.size for each in part))} ({what})" for what, part in parts if part]
    text = f"Disk: {_megabytes(inventory.size(study.results))}" + (f"; to free: {', '.join(freed)}" if freed else "")
    return "\n".join(textwrap.wrap(text, _WIDTH, subsequent_indent="  "))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.3g} MB" if size < 1e9 else f"{size / 1e9:,.3g} GB"


def _by_kind(found: Iterable[Standing]) -> dict[str, list[Standing]]:
    kinds: dict[str, list[Standing]] = {}
    for each in found:
        kinds.setdefault(_kind(each), []).append(each)
    return kinds


def _kind(each: Standing) -> str:
    if each.step.name in ("prepare_spectra", "draw_subset"):
        return "data"
    if each.step.figure:
        return "figures"
    return {"train": "trainings", "evaluate": "evaluations"}.get(each.step.name, "tables")


def _not_current(found: Sequence[Standing]) -> Iterator[str]:
    """Yield a line per different reason, those of most jobs first, and one on what only follows from these."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for each in found:
        if each.state != "current" and (each.why or not each.after):
            groups.setdefault((_kind(each), each.state, "; ".join(each.why)), []).append(each.name or each.step.name)
    if groups:
        yield ""
    ordered = sorted(groups.items(), key=lambda group: (STATES.index(group[0][1]), -len(group[1])))
    for (kind, state, why), names in ordered[:_MOST_REASONS]:
        yield from textwrap.wrap(
            f"{kind}, {state}: {why or 'not made yet'} ({_names(names)})", _WIDTH, subsequent_indent="  "
        )
    if len(ordered) > _MOST_REASONS:
        yield f"and {len(ordered) - _MOST_REASONS} more reasons: --all lists everything"
    if follow := sum(not each.why and bool(each.after) for each in found):
        yield f"{follow:,} {'job follows' if follow == 1 else 'jobs follow'} from these"
    if all(each.state in GOOD for each in found):
        yield "Everything is as the study asks for."


def _names(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
