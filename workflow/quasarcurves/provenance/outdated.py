"""Results that are not current say so: page, answer and pages of tables carry a banner until they are made anew.

The banner is put in and taken out as `status` finds the steps that made them; times of files stay as they are, and
`verify` looks past it. So it reruns nothing and hides no rerun.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from quasarcurves.files import whole_file
from quasarcurves.page import banner
from quasarcurves.provenance import status
from quasarcurves.provenance.status import Standing
from quasarcurves.study import Study
from quasarcurves.study.steps import File

MARKED = re.compile(r"index\.html|answer\.md|report/.*\.html")
"""Files that carry the banner, below the results: the page, the answer, and the tables as the report shows them."""


def mark(study: Study, found: Sequence[Standing] | None = None) -> None:
    """Put the banner into the files that carry it where they are not current, and take it out where they are.

    Parameters
    ----------
    study : Study
    found : sequence of Standing, optional
        Of `status.standings`, if it has been looked at already.
    """
    there = [file for file in _files(study) if (study.results / file[1].path).is_file()]
    if not there:
        return
    found = status.standings(study) if found is None else found
    for step, file in there:
        stale = [each for each in found if each.step.name == step and not each.good]
        _rewrite(study.results / file.path, reason(found) if stale else "")


def reason(found: Sequence[Standing]) -> str:
    """Say in a sentence or two why results are not current, the jobs that have reasons of their own first.

    Empty if all are.
    """
    if all(each.good for each in found):
        return ""
    own = [each for each in found if not each.good and not each.after] or [each for each in found if not each.good]
    # a training that was stopped says most, then one that is to be made anew
    first = min(own, key=lambda each: (each.state not in ("stopped", "training"), each.step.name != "train"))
    others = len(own) - 1
    why = f" ({first.why[0]})" if first.why else ""
    more = f", and {others:,} more jobs are not current" if others else ""
    return f"{first.job} is {first.state}{why}{more}. `quasarcurves status` says more; the next run makes them anew."


def _files(study: Study) -> Iterator[tuple[str, File]]:
    """Yield the files that carry the banner, with the name of the step that makes each."""
    for step in study.steps:
        yield from ((step.name, file) for file in step.makes if MARKED.fullmatch(file.path))


def _rewrite(path: Path, text: str) -> None:
    before = path.read_bytes().decode()  # as bytes, so that ends of lines stay as they are
    after = banner.put(before, text)
    if after == before:
        return
    times = path.stat()
    with whole_file(path) as temporary:
        temporary.write_bytes(after.encode())
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
