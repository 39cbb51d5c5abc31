"""What the ranking of `quasarcurves next-labels` gains over labels drawn at random.

`python benchmarks/next_labels.py simulated > next_labels.csv` or, with the files of the BOSS-like set,
`... boss_like data.fits truth.fits`. Settings and seeds were fixed before any outcome was seen. About 15 minutes on two
cores each.

Each seed draws other spectra (of boss_like: another split), and from them a test set, a start of labelled ones and a
pool. Networks that differ in their initial weights and order of batches are trained on the start and rank the pool.
Then new networks are trained on the start and as many spectra more as an arm says: those they disagree on most, or some
drawn at random (`random`, and `again`, whose difference is the null), or twice and four times as many at random. All
have the same number of steps.

Rows of `of` = network: the score of each on the test set. Of `of` = seed: an arm's mean over networks less that of
`random`. Of `of` = all: the mean of that over seeds, with the 95 % interval of Student's t over seeds.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy

from quasarcurves import tasks
from quasarcurves.quasarnet.analysis import labelling
from quasarcurves.quasarnet.analysis.scorer import score
from quasarcurves.quasarnet.analysis.test_set import Predicted, Tested
from quasarcurves.quasarnet.metrics import crossing_of
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra.prepare import prepare
from quasarcurves.spectra.subsets import Subset, load_target_ids
from quasarcurves.steps.training import Job, train_runs, use_threads
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import StateSettings, TrainingSettings

SEEDS = range(20261301, 20261309)
SPECTRA, TEST, START, ADDED = 6000, 1500, 250, 250
NETWORKS, STEPS = 3, 1500
ARMS = {"start": 0, "disagreement": ADDED, "random": ADDED, "again": ADDED, "twice": 2 * ADDED, "four_times": 4 * ADDED}
METRICS = ("crossing", "completeness", "purity")
LINES, BAL_LINES = ("LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"), ("CIV(1548)",)
NETWORK = NetworkSettings(16, layers=4, boxes=13, lines=LINES, bal_lines=BAL_LINES).to_json()


class Row(NamedTuple):
    """A line of the table; NaN where there is none."""

    data: str
    of: str
    seed: int | str
    arm: str
    labels: int
    quasars: float
    metric: str
    value: float
    low: float
    high: float


def config(data: str, files: list[Path], seed: int) -> dict:
    """Return what is prepared."""
    if data == "simulated":
        return {"source": "simulated", "n_spectra": SPECTRA, "seed": seed}
    return {"source": "quasarnet_fits", "spectra": files[:1], "truth": files[1:]}


def trained(spectra: Path, rows: np.ndarray, seed: int, arm: str, folder: Path) -> list[Path]:
    """Train networks on some rows; return their files."""
    none = rows[:0]
    Subset(np.sort(rows).astype(np.uint32), none.astype(np.uint32), none.astype(np.uint32)).save(folder / "subset.h5")
    models = []
    for replicate in range(NETWORKS):
        run = RunSettings(
            "next_labels", seed, 1.0, replicate, arm,
            {"class": "Adam", "learning_rate": 1e-3, "schedule": {"class": "CosineDecay"}}, NETWORK,
            TrainingSettings(batch_size=32, steps=STEPS),
        )  # fmt: skip
        out = folder / arm / str(replicate)
        out.mkdir(parents=True)
        files = {"history": out / "history.h5", "model": out / "model.keras", "best": out / "best.keras"}
        train_runs(spectra, [Job(run, "k", folder / "subset.h5", out / "state", **files)], StateSettings(1000, False))
        models.append(files["model"])
    return models


def said(spectra: Path, rows: np.ndarray, models: list[Path]) -> list[Predicted]:
    """Apply networks to some rows, in their order."""
    found = []
    for model in models:
        columns = tasks.evaluator(None, NETWORK, model, 1).predict(spectra, rows)
        found.append(Predicted(*(columns[name] for name in ("confidence", "z_best", "bal_confidence"))))
    return found


def metrics(tested: Tested, predicted: Predicted) -> dict[str, float]:
    """Return what a network scores on the test set."""
    crossing = crossing_of(
        predicted.score(1), predicted.z_best, tested.is_qso, tested.is_galaxy, tested.is_bad, tested.z
    )
    return {"crossing": crossing, **{name: each.value for name, each in score(tested, predicted).items()}}


def of_seed(data: str, files: list[Path], seed: int) -> list[Row]:
    """Score every arm on the spectra of a seed."""
    use_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spectra = folder / "spectra.h5"
        prepare(config(data, files, seed), spectra)
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(load_target_ids(spectra)))
        test, start, pool = np.sort(order[:TEST]), order[TEST : TEST + START], order[TEST + START :]
        first = trained(spectra, start, seed, "start", folder)
        ranked = labelling.ranked(said(spectra, np.sort(pool), first), 1, 6000.0)["row"].to_numpy()
        tested = Tested.load(spectra, test)
        for arm, count in ARMS.items():
            added = np.sort(pool)[ranked[:count]] if arm == "disagreement" else rng.permutation(pool)[:count]
            models = first if arm == "start" else trained(spectra, np.append(start, added), seed, arm, folder)
            quasars = float(Tested.load(spectra, np.sort(added)).is_qso.mean()) if count else np.nan
            for predicted in said(spectra, test, models):
                found = metrics(tested, predicted)
                rows += [
                    Row(data, "network", seed, arm, START + count, quasars, metric, found[metric], np.nan, np.nan)
                    for metric in METRICS
                ]
    return rows


def compared(rows: list[Row]) -> Iterator[Row]:
    """Compare arms with labels drawn at random, seed by seed and over all."""
    for arm, metric in ((arm, metric) for arm in ARMS if arm != "random" for metric in METRICS):
        own = [row for row in rows if (row.arm, row.metric) == (arm, metric)]
        means = {each: means_of(rows, each, metric) for each in (arm, "random")}
        gains = {seed: means[arm][seed] - means["random"][seed] for seed in means[arm]}
        for seed, gain in gains.items():
            yield Row(own[0].data, "seed", seed, arm, own[0].labels, np.nan, metric, gain, np.nan, np.nan)
        values = np.array(list(gains.values()))
        reach = scipy.stats.t.isf(0.025, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        middle = float(values.mean())
        yield Row(own[0].data, "all", "", arm, own[0].labels, np.nan, metric, middle, middle - reach, middle + reach)


def means_of(rows: list[Row], arm: str, metric: str) -> Mapping[int | str, float]:
    """Return the mean over networks of each seed."""
    own = [row for row in rows if (row.arm, row.metric) == (arm, metric)]
    return {
        seed: float(np.mean([row.value for row in own if row.seed == seed])) for seed in {row.seed: 0 for row in own}
    }


def main() -> None:
    """Print the table."""
    data, files = sys.argv[1], [Path(name) for name in sys.argv[2:]]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        parts = list(pool.map(of_seed, *zip(*((data, files, seed) for seed in SEEDS), strict=True)))
    rows = [row for part in parts for row in part]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(Row._fields)
    for row in [*rows, *compared(rows)]:
        writer.writerow([f"{value:.5g}" if isinstance(value, float) else value for value in row])


if __name__ == "__main__":
    main()
