"""Speed of this project's trainer against `keras.Model.fit`: `make bench`.

Side by side in one run, as each would train a study on two cores: `fit` one training after the other, with as many
threads as TensorFlow takes by itself; the trainer two at a time with one thread each, with its whole step record. Both
train the same network on the same spectra with the same loss (`separate_heads`). The processes stay, compiled, and
take turns for some seconds each, so that whatever else the machine does meets both alike; in each turn the two
trainers also multiply large matrices, which is the most that a core can do. Writes fit.csv and fit.png here;
`python benchmarks/fit.py 16:32 100:256` measures some pairs of filters and batch size alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from quasarcurves.figures import style
from quasarcurves.quasarnet.cost import flops_per_spectrum
from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.training import keras_import
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import TrainingSettings

FOLDER = Path(__file__).parent
POINTS = ("16:32", "100:256", "16:256", "100:32", "32:32")
"""Filters and batch size."""

ROUNDS, SECONDS = 5, 3.0
"""Turns of each side, and about how long one is."""

GOALS = {(16, 32): (3.5, 3.5), (100, 256): (1.5, 1.25)}
"""Ratios of wall and of processor time that are asked for."""

LINES, BAL_LINES, BOXES = ["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"], ["CIV(1548)"], 13
_MATRIX, _PRODUCTS = 2048, 4

Seconds = tuple[float, float]
"""Seconds and processor seconds."""


def n_train(batch: int) -> int:
    """Spectra of a training."""
    return max(1024, 8 * batch)


def network(filters: int) -> NetworkSettings:
    """Return the settings of a network."""
    return NetworkSettings(filters, layers=4, boxes=BOXES, lines=tuple(LINES), bal_lines=tuple(BAL_LINES))


def write_spectra(path: Path, n: int) -> None:
    """Write spectra of noise, whose content costs nothing."""
    from inference import chunks  # noqa: PLC0415

    from quasarcurves.spectra.table import write_chunks  # noqa: PLC0415

    write_chunks(path, chunks(n))


def plain_fit(spectra: Path, filters: int, batch: int) -> Callable[[int], Seconds]:
    """Set up what users run."""
    from separate_heads import Fit, build, columns  # noqa: PLC0415

    from quasarcurves.quasarnet.objective import encode  # noqa: PLC0415
    from quasarcurves.spectra.table import Spectra  # noqa: PLC0415

    table = Spectra.load(spectra)
    targets, weights = encode(table.z, table.is_quasar, table.bal, LINES, BAL_LINES, BOXES)
    model, data = build(filters, BOXES, targets.shape[1]), {"y": columns(targets), "sample_weight": columns(weights)}
    return Fit(model, batch, x=table.flux[..., None], **data)


def trainer(spectra: Path, filters: int, batch: int) -> Callable[[int], Seconds]:
    """Set up this project's trainer, with one thread, as a training starts."""
    keras_import.import_keras()
    from quasarcurves.spectra.subsets import Subset  # noqa: PLC0415
    from quasarcurves.steps.build import build_trainer  # noqa: PLC0415
    from quasarcurves.steps.training import use_threads  # noqa: PLC0415

    use_threads(1)
    rows = np.arange(n_train(batch), dtype=np.uint32)
    run = RunSettings(
        study="bench",
        seed=1,
        fraction=0.8,
        replicate=0,
        optimizer="adam",
        optimizer_spec={"class": "Adam", "learning_rate": 1e-3},
        network=network(filters).to_json(),
        training=TrainingSettings(batch_size=batch, epochs=1),
    )
    ours = build_trainer(spectra, Subset(train=rows, validation=rows[:0], test=rows[:0]), run)

    def train(epochs: int) -> Seconds:
        ours.plan = replace(ours.plan, epochs=ours.record.epoch + epochs)
        start = time.perf_counter(), time.process_time()
        ours.train()
        return time.perf_counter() - start[0], time.process_time() - start[1]

    return train


SIDES = {"fit": plain_fit, "trainer": trainer}


def multiply(products: int) -> Seconds:
    """Multiply large matrices, and give the time per floating-point operation."""
    import tensorflow as tf  # noqa: PLC0415

    left, right = (tf.random.stateless_normal((_MATRIX, _MATRIX), (1, i)) for i in (1, 2))
    times = []
    for _ in range(products):
        start = time.perf_counter(), time.process_time()
        tf.matmul(left, right).numpy()
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return tuple(np.min(times, axis=0) / (2 * _MATRIX**3))


def serve(side: str, spectra: Path, filters: int, batch: int) -> None:
    """Do what the standard input says, line by line: train so many epochs, or multiply so many matrices."""
    train = SIDES[side](spectra, filters, batch)
    for line in sys.stdin:
        task, count = line.split()
        print(json.dumps({"train": train, "multiply": multiply}[task](int(count))), flush=True)


class Worker:
    """A process that trains, or multiplies, when told to.

    Parameters
    ----------
    side : {"fit", "trainer"}
    spectra : Path
    filters, batch : int
    """

    def __init__(self, side: str, spectra: Path, filters: int, batch: int) -> None:
        arguments = ["serve", side, spectra, filters, batch]
        command = [sys.executable, __file__, *map(str, arguments)]
        # threads are TensorFlow's own choice, whatever the shell says
        environment = {key: value for key, value in os.environ.items() if "NUM_THREADS" not in key}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def tell(self, task: str, count: int) -> None:
        """Have it start."""
        self._process.stdin.write(f"{task} {count}\n")
        self._process.stdin.flush()

    def answer(self) -> Seconds:
        """Wait until it is done and give its seconds and processor seconds."""
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker has ended with status {self._process.wait()}")
        return tuple(json.loads(line))

    def end(self) -> None:
        """Let it go."""
        self._process.stdin.close()
        self._process.wait()


def together(workers: Sequence[Worker], task: str, count: int) -> np.ndarray:
    """Have workers do the same side by side; (workers, 2) seconds and processor seconds."""
    for worker in workers:
        worker.tell(task, count)
    return np.array([worker.answer() for worker in workers])


def compare(filters: int, batch: int, rounds: int = ROUNDS) -> pd.DataFrame:
    """Measure one point; a row per round."""
    with tempfile.TemporaryDirectory() as folder:
        spectra = Path(folder, "spectra.h5")
        write_spectra(spectra, n_train(batch))
        fit = [Worker("fit", spectra, filters, batch)]
        ours = [Worker("trainer", spectra, filters, batch) for _ in range(2)]
        epochs = [_epochs_of_a_turn(side) for side in (fit, ours)]
        rows = [_round(fit, ours, *epochs, n_train(batch)) for _ in range(rounds)]
        for worker in (*fit, *ours):
            worker.end()
    return pd.DataFrame(rows)


def _epochs_of_a_turn(workers: Sequence[Worker]) -> int:
    together(workers, "train", 1)  # compiles
    return max(1, round(SECONDS / together(workers, "train", 1)[:, 0].max()))


def _round(fit: Sequence[Worker], ours: Sequence[Worker], epochs: int, our_epochs: int, n: int) -> dict[str, float]:
    """Give one turn of each: spectra per second, processor milliseconds per spectrum, GFLOP/s of a core, cores busy."""
    of_fit = together(fit, "train", epochs)[0] / (n * epochs)
    of_ours = together(ours, "train", our_epochs) / (n * our_epochs)
    peak = 1e-9 / together(ours, "multiply", _PRODUCTS)[:, 1].mean()
    return {
        "fit_spectra_s": 1 / of_fit[0],
        "our_spectra_s": (1 / of_ours[:, 0]).sum(),
        "fit_cpu_ms": 1e3 * of_fit[1],
        "our_cpu_ms": 1e3 * of_ours[:, 1].mean(),
        "peak_gflops": peak,
        "fit_cores": of_fit[1] / of_fit[0],
        "our_cores": (of_ours[:, 1] / of_ours[:, 0]).sum(),
    }


def summarise(rounds: pd.DataFrame, filters: int, batch: int) -> dict[str, float]:
    """Give medians over the rounds, and quartiles of the ratios."""
    wall = rounds["our_spectra_s"] / rounds["fit_spectra_s"]
    cpu = rounds["fit_cpu_ms"] / rounds["our_cpu_ms"]
    share = flops_per_spectrum(network(filters)) * 1e-6 / rounds["our_cpu_ms"] / rounds["peak_gflops"]
    row = {"filters": filters, "batch": batch, "rounds": len(rounds)}
    for name, ratios in (("wall_ratio", wall), ("cpu_ratio", cpu), ("share_of_peak", share)):
        low, middle, high = ratios.quantile([0.25, 0.5, 0.75])
        row |= {name: middle, f"{name}_low": low, f"{name}_high": high}
    row |= rounds.median().to_dict()
    return row | {"fit_steps_s": row["fit_spectra_s"] / batch, "our_steps_s": row["our_spectra_s"] / batch}


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw processor time per spectrum against filters, and both ratios for each point."""
    figure = style.new_figure(style.PAGE_WIDTH, 2.8)
    with style.house_style():
        left, right = figure.subplots(1, 2)
        _draw_costs(left, table)
        _draw_ratios(right, table)
    style.save(figure, [path])


def _draw_costs(axes: object, table: pd.DataFrame) -> None:
    for (batch, rows), dash in zip(table.sort_values("filters").groupby("batch"), style.DASHES, strict=False):
        for side, name, color in (("fit", "fit", style.OKABE_ITO[1]), ("our", "trainer", style.OKABE_ITO[0])):
            label = f"{name}, batch {batch}"
            axes.plot(rows["filters"], rows[f"{side}_cpu_ms"], ".", linestyle=dash, color=color, label=label)
    filters = np.geomspace(table["filters"].min(), table["filters"].max())
    flops = np.array([flops_per_spectrum(network(count)) for count in filters])
    least = 1e-6 * flops / table["peak_gflops"].median()
    axes.plot(filters, least, color="0.5", linewidth=0.6, label="arithmetic at the peak of a core")
    axes.set(xscale="log", yscale="log", xlabel="filters", ylabel="processor ms per spectrum")
    axes.set_xticks(sorted(table["filters"].unique()), sorted(table["filters"].unique()))
    axes.minorticks_off()
    # room for the legend below the lines
    axes.set_ylim(bottom=least[0] / 8)
    axes.legend(loc="lower right")


def _draw_ratios(axes: object, table: pd.DataFrame) -> None:
    names = [f"{row.filters}\n{row.batch}" for row in table.itertuples()]
    goals: Mapping = {(row.filters, row.batch): i for i, row in enumerate(table.itertuples())}
    for shift, kind, color in ((-0.12, "wall", style.OKABE_ITO[2]), (0.12, "cpu", style.OKABE_ITO[3])):
        middle = table[f"{kind}_ratio"]
        errors = [middle - table[f"{kind}_ratio_low"], table[f"{kind}_ratio_high"] - middle]
        label = {"wall": "wall time", "cpu": "processor time"}[kind]
        axes.errorbar(np.arange(len(table)) + shift, middle, errors, fmt="o", ms=3, color=color, label=label)
        for point, (wall, cpu) in GOALS.items():
            if point in goals:
                axes.plot(goals[point] + shift, wall if kind == "wall" else cpu, "_", ms=9, color="black")
    axes.plot([], [], "_", ms=9, color="black", label="goal")
    axes.axhline(1, color="0.6", linewidth=0.6)
    axes.set(ylabel="time with fit over time with the trainer", ylim=(0, None))
    axes.set_xticks(range(len(table)), names)
    axes.set_xlabel("filters, batch size")
    axes.legend(loc="upper right")


def main() -> None:
    """Measure all points and write them down."""
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], Path(sys.argv[3]), *map(int, sys.argv[4:]))
        return
    rows = []
    for point in sys.argv[1:] or POINTS:
        filters, batch = map(int, point.split(":"))
        rows.append(summarise(compare(filters, batch), filters, batch))
        print(pd.Series(rows[-1]).to_string(float_format="%.4g"), "\n", file=sys.stderr, flush=True)
        table = pd.DataFrame(rows).sort_values(["batch", "filters"], ignore_index=True)
        if not sys.argv[1:]:
            table.to_csv(FOLDER / "fit.csv", index=False, float_format="%.4g")
            draw(table, FOLDER / "fit.png")
    if sys.argv[1:]:
        table.to_csv(sys.stdout, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
