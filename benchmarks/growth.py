"""How the cost of every stage grows: `python benchmarks/growth.py > growth.csv`; `growth_figure.py` draws it.

Every case is a process of its own, called as its rule calls it, on noise of the size it says (`growth_inputs.py`):
`cpu_s` is its processor time, children included, and `peak_mb` its peak of resident memory. The smallest size of a
series is its start-up, mostly imports. `cpu_exponent` is the slope of log(cost - start-up) against log(size), by least
squares, over the sizes that cost at least a fifth of the start-up beyond it, with its standard error; `mb_exponent` the
same of memory. `cpu_exponent_end` is the slope between the two largest sizes alone. The group `study` is all that comes
after the trainings of a study of 240 runs of 500 epochs, the group `steps` goes up to a run of 10^7 steps.

`python benchmarks/growth.py GROUP ...` measures some groups alone. All take about half an hour on one core.
"""

from __future__ import annotations

import csv
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from quasarcurves.study import told
from quasarcurves.study.steps import FILES, MAKERS, STEPS

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent
OPTIMIZERS = ("adam", "amsgrad", "adamw")
COLUMNS = (
    "group", "stage", "varied", "size", "cpu_s", "peak_mb", "cpu_exponent", "cpu_exponent_se", "cpu_exponent_end",
    "mb_exponent", "mb_exponent_se", "mb_exponent_end",
)  # fmt: skip
_LEAST_SHARE = 0.2
"""Of the start-up: what costs less beyond it is lost in the noise."""


class Group(NamedTuple):
    """Stages that are measured one after the other on the same files, over several sizes of these."""

    inputs: str
    fixed: Mapping[str, int]
    varied: str
    sizes: Sequence[int]
    stages: Sequence[str]


_OF_TRAININGS = ("run", "replayed", "forks")
_OF_TASK_FILES = "draws_examples"
"""The property of studies whose steps are not measured here: what they take is up to the task file."""
_AFTER_TRAINING = tuple(
    name
    for name, step in STEPS.items()
    if step.per not in _OF_TRAININGS and step.when != _OF_TASK_FILES and not name.startswith("train")
)[2:]
_OF_EPOCHS = ("collect_histories", "plot_loss_by_fraction", "plot_loss_by_optimizer")
_OF_STEPS = ("collect_histories", "find_spikes", "diagnose_spikes", "plot_detected_spikes", "plot_curvature")
_OF_RUNS = (
    "collect_histories",
    "find_spikes",
    "plot_loss_by_fraction",
    "plot_loss_by_optimizer",
    "plot_spike_statistics",
)
"""Those that look at groups of runs once they have enough spikes have no exponent in the number of runs."""

GROUPS = {
    "prepare": Group("nothing", {}, "spectra", (64, 8_000, 16_000, 64_000), ("prepare_spectra",)),
    "subset": Group("identities", {}, "spectra", (1_000, 2_500_000, 5_000_000, 10_000_000), ("draw_subset",)),
    "train_spectra": Group(
        "training", {"epochs": 2, "batch": 256}, "n_train", (256, 65_536, 131_072, 262_144), ("train",)
    ),
    "train_epochs": Group("training", {"n_train": 256}, "epochs", (1, 120, 360, 960), ("train",)),
    "train_filters": Group(
        "training", {"n_train": 4096, "batch": 256, "epochs": 4}, "filters", (2, 64, 96, 128), ("train",)
    ),
    "evaluate_spectra": Group("tested", {}, "spectra", (64, 16_384, 32_768, 65_536), ("evaluate",)),
    "evaluate_filters": Group("tested", {"spectra": 16_384}, "filters", (2, 64, 96, 128), ("evaluate",)),
    "metrics_runs": Group("predictions", {"spectra": 300}, "runs", (1, 8, 16, 24), ("compute_metrics",)),
    "metrics_spectra": Group("predictions", {"runs": 1}, "spectra", (100, 2_500, 5_000, 10_000), ("compute_metrics",)),
    "epochs": Group("histories", {"runs": 24, "steps": 16_000}, "epochs", (50, 4_000, 8_000, 16_000), _OF_EPOCHS),
    "steps": Group(
        "histories", {"runs": 1, "epochs": 500}, "steps", (10_000, 300_000, 1_000_000, 3_000_000, 10_000_000), _OF_STEPS
    ),
    "runs": Group("histories", {"epochs": 500, "steps": 2_000}, "runs", (24, 72, 144, 240), _OF_RUNS),
    "dag": Group("configuration", {}, "runs", (8, 400, 1_200, 3_600), ("snakemake -n",)),
    "study": Group("results", {"epochs": 500, "steps": 2_000, "spectra": 300}, "runs", (240,), _AFTER_TRAINING),
}

TOLD = {
    "prepare_spectra": {"task": "{}", "data": '{"source": "simulated", "n_spectra": SIZE, "seed": 1}'},
    "draw_subset": {"settings": '{"fraction": 0.8}'},
    "compare_optimizers": {"reference": "adam"},
    "fit_learning_curves": {"targets": '{"test_loss": 1.0}', "costs": "{}"},
    "write_page": {"shown": '{"tables": {}, "figures": {}}', "study": "{}", "examples": "spectra", "templates": "none"},
    "plot_curvature": {"fraction": "0.8"},
    "plot_purity_completeness": {"style": '{"model": "final", "published": "none"}'},
    **{f"plot_{name}": {"style": "{}"} for name in (
        "loss_by_fraction", "loss_by_optimizer", "train_validation", "detected_spikes", "spike_statistics",
    )},
}  # fmt: skip
"""What the stages that are scripts are told besides files."""


def options(stage: str) -> dict[str, list[str]]:
    """Return the options of a step's script; its files lie in one folder."""
    step, found = STEPS[stage], {}
    of_runs = step.per == "study" and any(MAKERS[name].per == "run" for name in step.reads)
    if of_runs:
        found = {"folder": ["runs"], "subsets": ["SUBSETS"], "optimizers": ["OPTIMIZERS"], "absent": []}
    if step.per == "optimizer":
        found["optimizer"] = ["adam"]
    for name in step.reads:
        if not (of_runs and MAKERS[name].per == "run") and MAKERS[name].when != _OF_TASK_FILES:
            found.setdefault(step.together or name, []).append(Path(FILES[name].path).name)
    for file in (file for file in step.makes if file.when != _OF_TASK_FILES):
        name = Path(file.path).name if step.per == "study" else f"{file.name}{Path(file.path).suffix}"
        found.setdefault(file.name, []).append(name)
    # QuasarNET's words and measures
    usual = {"words": "{}"} if stage in (*told.SCORED, *told.DESCRIBED) else {}
    usual |= {"task": "{}"} if stage in told.SCORED else {}
    return {**found, **{name: [value] for name, value in {**usual, **TOLD.get(stage, {})}.items()}}


def layout(runs: int) -> list[dict]:
    """Give the runs of a study: one; multiples of 24 over 8 fractions and 3 optimizers, others of 8 over 4 and 2."""
    fractions, optimizers = (8, 3) if runs % 24 == 0 else (4, 2) if runs > 1 else (1, 1)
    shares = [round(0.8 / 2**i, 6) for i in range(fractions)]
    keys = product(shares, range(runs // (fractions * optimizers)), OPTIMIZERS[:optimizers])
    return [dict(zip(("fraction", "replicate", "optimizer"), key, strict=True)) for key in keys]


def command(stage: str, sizes: Mapping[str, int], folder: str) -> list[str]:
    """Give the arguments of Python that do a stage in the folder of its files."""
    if stage == "train":
        return [str(FOLDER / "training_use.py"), "train", ".", Path(folder, "case.json").read_text()]
    if stage == "evaluate":
        return [str(FOLDER / "inference.py"), "evaluate", "."]
    if stage == "snakemake -n":
        return ["-m", "snakemake", "-n", "-q", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "study.yaml"]
    script = ["scripts.draw", STEPS[stage].module] if STEPS[stage].figure else [f"scripts.{stage}"]
    return ["-m", *script, *_options(stage, sizes), "--receipt", "receipt.json"]


def _options(stage: str, sizes: Mapping[str, int]) -> Iterator[str]:
    runs = layout(sizes.get("runs", 1))
    names = {
        "SUBSETS": list(dict.fromkeys(f"f{run['fraction']:g}_r{run['replicate']}" for run in runs)),
        "OPTIMIZERS": list(dict.fromkeys(run["optimizer"] for run in runs)),
    }
    for name, values in options(stage).items():
        yield f"--{name}"
        for value in values:
            yield from names.get(value, [value.replace("SIZE", str(sizes.get("spectra")))])


def measure(arguments: Sequence[str], folder: str) -> tuple[float, float]:
    """Give processor seconds and peak megabytes of a Python process."""
    # one thread, so that processor time is what one core would take
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "workflow"),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    with Path(folder, "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            log.seek(0)
            raise SystemExit(f"{log.read()[-2000:]}\n{' '.join(arguments)} failed with status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def measured(name: str) -> Iterator[dict]:
    """Yield a row for each size and stage of a group."""
    group = GROUPS[name]
    for size in group.sizes:
        sizes = {**group.fixed, group.varied: size}
        with tempfile.TemporaryDirectory() as folder:
            measure([str(FOLDER / "growth_inputs.py"), group.inputs, json.dumps(sizes)], folder)
            for stage in group.stages:
                seconds, megabytes = measure(command(stage, sizes, folder), folder)
                print(name, stage, size, f"{seconds:.1f} s, {megabytes:.0f} MB", file=sys.stderr, flush=True)
                row = {"group": name, "stage": stage, "varied": group.varied, "size": size}
                yield row | {"cpu_s": seconds, "peak_mb": megabytes}


def with_exponents(rows: Sequence[dict]) -> list[dict]:
    """Add the exponents to the rows of one stage, by rising size."""
    sizes = [row["size"] for row in rows]
    found: dict[str, float] = {}
    for column, name in (("cpu_s", "cpu_exponent"), ("peak_mb", "mb_exponent")):
        points = _beyond_start(sizes, [row[column] for row in rows])
        found[name], found[f"{name}_se"] = slope(points)
        found[f"{name}_end"] = slope(points[-2:])[0]
    return [row | found for row in rows]


def _beyond_start(sizes: Sequence[int], costs: Sequence[float]) -> list[tuple[float, float]]:
    """Give log(size) and log(cost) beyond those of the smallest size, where that is clearly above the noise."""
    beyond = [(size - sizes[0], cost - costs[0]) for size, cost in zip(sizes, costs, strict=True)]
    return [(math.log(size), math.log(cost)) for size, cost in beyond if size and cost >= _LEAST_SHARE * costs[0]]


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Fit a straight line by least squares; its slope and the standard error of that, NaN where they are not known."""
    n = len(points)
    if n < 2:
        return math.nan, math.nan
    x, y = zip(*points, strict=True)
    found, start = statistics.linear_regression(x, y)
    if n < 3:
        return found, math.nan
    residuals = sum((b - start - found * a) ** 2 for a, b in points)
    return found, math.sqrt(residuals / (n - 2) / sum((a - sum(x) / n) ** 2 for a in x))


def main() -> None:
    """Measure groups, all unless some are named, and print a table."""
    table = csv.DictWriter(sys.stdout, COLUMNS)
    table.writeheader()
    for name in sys.argv[1:] or GROUPS:
        rows = list(measured(name))
        for stage in GROUPS[name].stages:
            for row in with_exponents([row for row in rows if row["stage"] == stage]):
                table.writerow(
                    {key: f"{value:.3g}" if isinstance(value, float) else value for key, value in row.items()}
                )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
