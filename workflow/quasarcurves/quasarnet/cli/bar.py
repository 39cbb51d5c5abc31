"""A progress bar on the standard error stream, so that a command's output stays clean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


@contextmanager
def bar() -> Iterator[Callable[[float, int], None]]:
    """Show a bar while a block runs.

    Yields
    ------
    callable
        Takes the share that is done, from 0 to 1, and the number of spectra so far.
    """
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[spectra]:,} spectra"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=1.0, spectra=0)
        yield lambda done, spectra: progress.update(task, completed=done, spectra=spectra)
