"""What a study's examples are and what it will take, as one page that needs no other file."""

from __future__ import annotations

from pathlib import Path

from quasarcurves.files import whole_file
from quasarcurves.page import templates
from quasarcurves.page.drawing import svg
from quasarcurves.study import outlook
from quasarcurves.study.outlook import Outlook


def write(found: Outlook, path: Path) -> None:
    """Write the page; it asks for nothing over the network."""
    template = templates.environment().get_template("check.html")
    disk = [(name, outlook.size_words(size)) for name, size in found.forecast.disk.items() if size]
    text = template.render(
        study=found.study.name,
        examples=found.study.task.examples,
        warnings=found.warnings,
        cost=list(outlook.about_cost(found)),
        disk=disk,
        chances=found.chances,
        columns=found.columns,
        sets=[[each.name, *outlook.sizes(each)] for each in found.sets],
        about=found.seen.about,
        figures=[(each.title, svg(each.figure), each.caption) for each in found.seen.figures],
    )
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
