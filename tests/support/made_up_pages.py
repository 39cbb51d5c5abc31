"""Whole results of studies that nobody trained: tables, losses, answers, figures, and the page of them."""

from dataclasses import fields
from pathlib import Path

import h5py
import numpy as np

from quasarcurves.analysis import answer, tables
from quasarcurves.figures import style
from quasarcurves.page import index
from quasarcurves.training.history import History
from support.made_up_answers import make_study

FIGURES = {
    "figures/detected_spikes_adam.png": ("spikes found", "Spikes", "detected_spikes", {"optimizer": "adam"}),
    "figures/loss_by_optimizer.png": ("loss against epoch, by optimizer", "Losses", "loss_by_optimizer", {}),
    "figures/learning_curve.png": ("a figure of a new kind", "New things", "learning_curve", {}),
}
KINDS = {
    "one run": {"optimizers": 1, "sizes": 1, "replicates": 1, "epochs": 40, "diverging": 0.0},
    "all diverged": {"optimizers": 2, "sizes": 2, "replicates": 2, "epochs": 60, "diverging": 1.0},
    "default study": {"optimizers": 3, "sizes": 5, "replicates": 5, "epochs": 160, "diverging": 0.0, "everywhere": 1},
    "240 runs": {"optimizers": 6, "sizes": 8, "replicates": 5, "epochs": 500, "diverging": 0.05},
}


def make(folder: Path, seed: int = 1, **sizes) -> Path:
    """Write the results of a study of these sizes (see `make_study`) with its page; return the page."""
    folder.mkdir(parents=True, exist_ok=True)
    study = make_study(seed, **sizes)
    rng = np.random.default_rng(seed)
    spikes = study.spikes.assign(
        peak=study.spikes["onset"] + 1, end=study.spikes["onset"] + 9, height_ratio=4.0 + rng.random(len(study.spikes))
    )
    # spikes of epochs have been drawn over all steps: those that the record does not reach are not shown
    given = {field.name: getattr(study, field.name) for field in fields(study)} | {"spikes": spikes}
    written = {name: folder / f"{name}.csv" for name, table in given.items() if hasattr(table, "to_csv")}
    for name, path in written.items():
        tables.write(given[name], path)
    answer.write(**written, page=folder / "answer.md", data=folder / "answer.json", description=study.description)
    with h5py.File(folder / "histories.h5", "w") as file:
        for run in study.runs.to_dict("records"):
            group = file.create_group(f"f{run['fraction']:g}_r{run['replicate']}/{run['optimizer']}")
            _history(rng, run).write(group)
    for path in FIGURES:
        style.save(style.say_only(path), [folder / path])
    return write_page(folder, written_tables(folder))


def written_tables(folder: Path) -> list[Path]:
    """Return the tables of the results in a folder."""
    return sorted(folder.glob("*.csv"))


def write_page(folder: Path, listed) -> Path:
    """Write the page of the results in a folder, with these tables."""
    known = {
        path: {"shows": shows, "category": category, "module": f"quasarcurves.figures.{name}", "of": of}
        for path, (shows, category, name, of) in FIGURES.items()
    }
    files = [folder / name for name in ("answer.json", "answer.md", "histories.h5", *FIGURES)]
    shown = {"tables": {path.name: f"about ``{path.stem}``." for path in listed}, "figures": known}
    present = [path for path in (*files, *listed) if path.exists()]
    index.write(present, shown, {"study": {"name": "made up"}}, "0" * 16, folder / "index.html")
    return folder / "index.html"


def _history(rng, run) -> History:
    """Losses that fall, with noise; NaN from some step on where the run has diverged."""
    epochs, per_epoch = run["epochs"], run["steps_per_epoch"]
    course = np.arange(1, epochs * per_epoch + 1.0) ** -0.5
    steps = course * rng.lognormal(0, 0.1, len(course))
    if run["diverged"]:
        steps[int(rng.random() * len(steps)) :] = np.nan
    loss = steps.reshape(epochs, per_epoch).mean(axis=1)
    epoch = np.arange(1, epochs + 1)
    return History(
        epochs={
            "loss": loss.astype(np.float32),
            "val_loss": np.where(epoch % 10 == 0, 1.2 * loss, np.nan).astype(np.float32),
            "step": epoch * per_epoch,
        },
        steps={"loss": steps.astype(np.float32)},
        params={**{key: run[key] for key in tables.RUN_KEYS}, "outcome": {"n_train": run["n_train"]}},
    )
