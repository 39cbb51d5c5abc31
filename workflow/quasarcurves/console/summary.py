"""What a study found, in one small table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from quasarcurves.analysis import tables
from quasarcurves.analysis.spikes import HIGH_RATIO, SETTLED_EPOCH

_COLUMNS = ("spectra", "optimizer", "last loss", "val. loss", "spikes", "highest", "diverged")


def show(results: Path, console: Console) -> None:
    """Print the main numbers of a study and where its figures are.

    Parameters
    ----------
    results : Path
        Folder of the study's results.
    console : Console
    """
    runs = tables.read(results / "runs.csv")
    console.print(_table(runs))
    console.print(
        f"Medians over replicates; lowest validation loss. Spikes: times the epoch loss rises above {HIGH_RATIO:g}x "
        f"its running median after epoch {SETTLED_EPOCH}, and the highest ratio.",
        style="dim",
        highlight=False,
    )
    console.print("Figures:", highlight=False)
    for path in sorted((results / "figures").glob("*.png")):
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def _table(runs: pd.DataFrame) -> Table:
    table = Table()
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "optimizer" else "right", no_wrap=True)
    for (_, optimizer), group in runs.groupby(["fraction", "optimizer"], sort=False):
        median = group.median(numeric_only=True)
        table.add_row(
            f"{median['n_train']:,.0f}",
            str(optimizer),
            f"{median['loss_last']:.4g}",
            f"{median['val_loss_lowest']:.4g}",
            f"{median['spikes_above_3x']:g}",
            f"{median['highest_ratio']:.1f}x",
            f"{group['diverged'].sum()} of {len(group)}",
        )
    return table
