"""Speed of this project's trainer against what its users would pick instead: PyTorch, JAX and Keras's `fit`.

All train the same network from the same weights on the same batches, with the same loss and Adam, each on one thread
in a process of its own. The losses of the first steps have to agree with ours. The processes stay, compiled, and take
turns; processor time counts. The trainer writes its whole record, the others nothing. PyTorch and JAX come from an
environment of their own, which no lock has:

    .venv/bin/uv venv peers
    .venv/bin/uv pip install --python peers/bin/python numpy torch jax
    python benchmarks/peers.py --python peers/bin/python

Writes peers.csv here, with quartiles over the turns; a ratio is a peer's processor time over ours of the same round, so
that we are ahead where it is above 1. `python benchmarks/peers.py --python peers/bin/python 16:32` measures some pairs
of filters and batch size alone, and leaves the rows of others. `torch.compile` needs a C++ compiler, and minutes for
each pair: `--without compiled` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import pandas as pd
from fit import BOXES, network
from peers_worker import Seconds

from quasarcurves.quasarnet.shapes import kernel_shapes
from quasarcurves.spectra.grid import N_BINS

FOLDER = Path(__file__).parent
POINTS = {"16:32": 200, "32:32": 100, "100:32": 40, "100:256": 10}
"""Filters and batch size, and batches of a pass."""

ROUNDS, SECONDS = 5, 1.5
"""Turns of each program, and about how much processor time one takes."""

AGREES = 1e-4
"""Largest relative difference between the first losses of a peer and ours."""

SPECTRA = 2048

_ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")}
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""So that glibc keeps freed memory: what the kernel takes back it has to clear before it gives it again."""


@dataclass(frozen=True)
class Peer:
    """A program that is measured.

    Parameters
    ----------
    program : str
    script : str
        Stem of the script that serves it.
    form : str
        As the script names it.
    most_filters : int
        It is left out where there are more: it would take minutes.
    """

    program: str
    script: str
    form: str
    most_filters: int = 10**6

    @property
    def environment(self) -> dict[str, str]:
        """Environment of its process."""
        kept = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
        return (
            kept | _ONE_THREAD | _QUIET | (_KEEP_MEMORY if self.form.startswith(("eager, tuned", "compiled")) else {})
        )


OURS = Peer("trainer", "peers_keras", "ours")
PEERS = (
    Peer("PyTorch", "peers_torch", "eager"),
    Peer("PyTorch", "peers_torch", "eager, tuned"),
    Peer("PyTorch", "peers_torch", "eager, tuned, channels last"),
    Peer("PyTorch", "peers_torch", "compiled"),
    Peer("PyTorch", "peers_torch", "compiled, channels last"),
    Peer("JAX", "peers_jax", "scan"),
    Peer("Keras", "peers_keras", "fit"),
    Peer("Keras", "peers_keras", "fit, joined heads"),
    Peer("Keras", "peers_keras", "fit, joined heads, 10 steps per execution"),
    Peer("Keras", "peers_keras", "fit, joined heads, jit", most_filters=16),
)


def write_inputs(path: Path, filters: int, batch: int, steps: int) -> None:
    """Write what all start from (`peers_worker.Inputs`): noise, whose content costs nothing, and Glorot's weights."""
    rng, settings = np.random.default_rng(1), network(filters)
    shapes = kernel_shapes(settings) | {"heads": (filters, 2 * BOXES * settings.n_lines)}
    lines = SPECTRA, settings.n_lines
    np.savez(
        path,
        flux=rng.standard_normal((SPECTRA, N_BINS), np.float32),
        box=rng.integers(-1, BOXES, lines, np.int32),
        offset=rng.random(lines, np.float32),
        weight=(rng.random(lines) < 0.9).astype(np.float32),
        batches=rng.integers(0, SPECTRA, (steps, batch), np.int32),
        **{name: _glorot(rng, shape) for name, shape in shapes.items()},
    )


def _glorot(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    *window, inputs, outputs = shape
    limit = np.sqrt(6 / (prod(window) * (inputs + outputs)))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


class Worker:
    """The process of a program.

    Parameters
    ----------
    peer : Peer
    python : Path
        Interpreter of the environment that PyTorch and JAX are in.
    inputs : Path
    """

    def __init__(self, peer: Peer, python: Path, inputs: Path) -> None:
        self.peer = peer
        interpreter = sys.executable if peer.script == OURS.script else python
        command = [interpreter, FOLDER / f"{peer.script}.py", peer.form, inputs]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(list(map(str, command)), env=peer.environment, **pipes)
        self.first_losses = self._answer()
        self.passes = 1
        self.passes = max(1, round(SECONDS / self.turn()[1]))

    def turn(self) -> Seconds:
        """Have it take its turn; the time of a pass over all batches."""
        self._process.stdin.write(f"{self.passes}\n")
        self._process.stdin.flush()
        wall, cpu = self._answer()
        return wall / self.passes, cpu / self.passes

    def end(self) -> None:
        """Let it go."""
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> list[float]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.peer.program} ({self.peer.form}) has ended with status {self._process.wait()}")
        return json.loads(line)


def check(worker: Worker, ours: Worker) -> None:
    """Refuse a peer whose first losses are not ours.

    Raises
    ------
    SystemExit
        If one differs by more than `AGREES`.
    """
    difference = np.abs(np.divide(worker.first_losses, ours.first_losses) - 1)
    worst = int(difference.argmax())
    print(f"{worker.peer.program}, {worker.peer.form}: losses within {difference[worst]:.1e}", file=sys.stderr)
    if not difference[worst] <= AGREES:
        raise SystemExit(
            f"{worker.peer.program} ({worker.peer.form}) trains something else: at step {worst} its loss is "
            f"{worker.first_losses[worst]:.6g} and ours {ours.first_losses[worst]:.6g}"
        )


def measure(filters: int, batch: int, steps: int, python: Path, peers: Sequence[Peer]) -> Iterator[dict[str, object]]:
    """Have all take turns; a row per program and round."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs.npz")
        write_inputs(inputs, filters, batch, steps)
        workers = [Worker(OURS, python, inputs)]
        for peer in peers:
            workers.append(Worker(peer, python, inputs))
            check(workers[-1], workers[0])
        for round_ in range(ROUNDS):
            for worker in workers:
                wall, cpu = worker.turn()
                names = {"program": worker.peer.program, "form": worker.peer.form, "round": round_}
                yield {**names, "cpu_ms": 1e3 * cpu / steps, "cores": cpu / wall}
        for worker in workers:
            worker.end()


def summarise(turns: pd.DataFrame) -> pd.DataFrame:
    """Give medians and quartiles over the rounds; a row per program."""
    ours = turns[turns["program"] == OURS.program].set_index("round")["cpu_ms"]
    turns = turns.assign(ratio=turns["cpu_ms"] / turns["round"].map(ours))
    programs = turns.groupby(["program", "form"], sort=False)
    columns = {}
    for name in ("cpu_ms", "ratio"):
        for end, share in (("_low", 0.25), ("", 0.5), ("_high", 0.75)):
            columns[name + end] = programs[name].quantile(share)
    return pd.DataFrame({**columns, "cores": programs["cores"].median()}).reset_index()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", type=Path, required=True, help="interpreter that has torch and jax")
    parser.add_argument("--without", metavar="WORD", help="leave out the forms that are named so")
    parser.add_argument("points", nargs="*", metavar="FILTERS:BATCH", help=f"default: {' '.join(POINTS)}")
    return parser.parse_args()


def write(table: pd.DataFrame, path: Path) -> None:
    """Write the rows of a point in place of those that the file has of it."""
    point = ["filters", "batch"]
    if path.exists():
        before = pd.read_csv(path)
        others = before[~before.set_index(point).index.isin(table.set_index(point).index)]
        table = pd.concat([others, table]).sort_values(point, kind="stable")
    table.to_csv(path, index=False, float_format="%.4g")


def main() -> None:
    """Measure all points and write them down."""
    options = arguments()
    for point in options.points or POINTS:
        filters, batch = map(int, point.split(":"))
        peers = [
            peer
            for peer in PEERS
            if filters <= peer.most_filters and not (options.without and options.without in peer.form)
        ]
        table = summarise(pd.DataFrame(measure(filters, batch, POINTS.get(point, 20), options.python, peers)))
        table.insert(0, "filters", filters)
        table.insert(1, "batch", batch)
        print(table.to_string(index=False, float_format="%.3g"), "\n", flush=True)
        write(table, FOLDER / "peers.csv")


if __name__ == "__main__":
    main()
