"""What a study found, in one small table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from quasarcurves.analysis import tables

_COLUMNS = ("spectra", "optimizer", "last loss", "val. loss", "spikes", "highest", "diverged", "crossing")


def show(results: Path, console: Console) -> None:
    """Print the main numbers of a study and where its figures are.

    Parameters
    ----------
    results : Path
        Folder of the study's results.
    console : Console
    """
    runs = tables.read(results / "runs.csv")
    console.print(_table(runs, _spikes(results / "spike_statistics.csv"), _crossings(results / "test_summary.csv")))
    console.print(
        "Medians over replicates; lowest validation loss. Spikes: sustained ones of all replicates, in the losses of "
        "steps. Highest: loss of an epoch over its running median. Crossing: where purity and completeness of the test "
        "set are equal.",
        style="dim",
        highlight=False,
    )
    if (answer := results / "answer.md").exists():
        console.print(f"Answers: {answer}", highlight=False, soft_wrap=True)
    console.print("Figures:", highlight=False)
    for path in sorted((results / "figures").glob("*.png")):
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def _spikes(path: Path) -> pd.Series:
    """Return the sustained spikes of all replicates by fraction and optimizer; empty before they were looked for."""
    if not path.exists():
        return pd.Series(dtype=int)
    rows = tables.read(path, [*tables.RUN_KEYS, "scale", "spikes"])
    return rows[rows["scale"] == "step"].groupby(["fraction", "optimizer"])["spikes"].sum()


def _crossings(path: Path) -> pd.Series:
    """Return the crossing point of final models by fraction and optimizer; empty where they were not evaluated."""
    if not path.exists():
        return pd.Series(dtype=float)
    rows = tables.read(path)
    rows = rows[(rows["model"] == "final") & (rows["n_detect"] == 1) & (rows["sample"] == "all")]
    return rows.set_index(["fraction", "optimizer"])["crossing"].dropna()


def _table(runs: pd.DataFrame, spikes: pd.Series, crossings: pd.Series) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)  # eight columns in 80 characters
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "optimizer" else "right", no_wrap=True)
    counts, known = spikes.to_dict(), crossings.to_dict()
    for key, group in runs.groupby(["fraction", "optimizer"], sort=False):
        median = group.median(numeric_only=True)
        table.add_row(
            f"{median['n_train']:,.0f}",
            str(key[1]),
            f"{median['loss_last']:.4g}",
            f"{median['val_loss_lowest']:.4g}",
            str(counts.get(key, "-")),
            f"{median['highest_ratio']:.1f}x",
            f"{group['diverged'].sum()} of {len(group)}",
            f"{100 * known[key]:.1f} %" if key in known else "-",
        )
    return table
