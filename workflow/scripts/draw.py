"""rules plot_NAME: the figure that the module NAME plots, in every format."""

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from quasarcurves.analysis.metrics.description import Description
from quasarcurves.figures.style import save
from quasarcurves.steps import describing
from scripts import adapter
from scripts.adapter import Input, Output

_WORDS = "words"
"""The option that says how the task calls things, of figures that do so."""


def figure_step(module: str) -> Callable[..., None]:
    """Return the step that draws a figure: it has the arguments of its module's `plot`, whose paths are files read."""
    plot = import_module(module).plot

    def draw(*, figures: list[Output], **given: object) -> None:
        told = {name: describing.description(given.pop(_WORDS)) for name in described}
        save(plot(**given, **told), figures)

    given = inspect.signature(plot, eval_str=True).parameters.values()
    described = [one.name for one in given if one.annotation is Description]
    words = [inspect.Parameter(_WORDS, inspect.Parameter.KEYWORD_ONLY, annotation=dict)] if described else []
    given = [one for one in given if one.name not in described] + words
    read = [one.replace(annotation=Input if one.annotation is Path else one.annotation) for one in given]
    figures = inspect.Parameter("figures", inspect.Parameter.KEYWORD_ONLY, annotation=list[Output])
    draw.__signature__ = inspect.Signature([*read, figures])
    draw.__name__, draw.__doc__ = f"plot_{module.rpartition('.')[2]}", plot.__doc__
    return draw


if __name__ == "__main__":
    adapter.main(figure_step(sys.argv.pop(1)))
