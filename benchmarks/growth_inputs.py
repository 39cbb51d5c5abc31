"""What the stages measured by `growth.py` read, made from noise: `python growth_inputs.py KIND '{"runs": 24, ...}'`.

Files are written to the folder that it is called in, under the names that they have in the results of a study.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import yaml
from dag import study
from growth import OPTIMIZERS, layout
from inference import build
from training_use import USUAL, prepare

from quasarcurves.quasarnet.settings import NetworkSettings
from quasarcurves.spectra.grid import LOGARITHMIC, N_BINS
from quasarcurves.spectra.subsets import Subset
from quasarcurves.spectra.table import Spectra, write_chunks
from quasarcurves.study.steps import FILES
from quasarcurves.training.history import History

_LINES = ("LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha", "BAL CIV(1548)")
_MEASURES = (
    "gradient_norm", "update_norm", "last_layer_norm", "effective_step_mean", "effective_step_q01",
    "effective_step_q50", "effective_step_q99", "rms_worst", "rms_mean",
)  # fmt: skip
_OF_FORK = ("onset", "distance", "loss", "effective_step", "sharpness_share", "since_spike", "noise")
_MAGNIFIED = (
    "loss", "square_over_past", "batch_sharpness", "batch_threshold", "update_curvature", "descent_cosine",
    "clipped_share",
)  # fmt: skip
_SPIKE_EVERY, _SPIKE_STEPS = 1000, 60
_CHUNK = 20_000


def histories(runs: int, epochs: int, steps: int, curvature_every: int = 200) -> None:
    """Write a history per run: the epochs, and so many steps, with a spike in every thousand."""
    for run in layout(runs):
        rng = np.random.default_rng([int(1000 * run["fraction"]), run["replicate"], OPTIMIZERS.index(run["optimizer"])])
        loss, measurements = _loss(steps, rng), np.arange(0, steps, curvature_every)
        columns = {"loss": loss} | {name: loss * _noise(steps, rng) for name in _MEASURES}
        outcome = {
            "n_train": round(100_000 * run["fraction"]), "steps_per_epoch": max(steps // epochs, 1), "epochs": epochs,
            "diverged": False, "diverged_step": None,
        }  # fmt: skip
        spec = {"class": "Adam", "learning_rate": 1e-3, "amsgrad": run["optimizer"] == "amsgrad"}
        curvature = {name: 100 * _noise(len(measurements), rng) for name in ("sharpness", "gradient_curvature")}
        curvature |= {"step": measurements, "threshold": np.full(len(measurements), 100, np.float32)}
        params = {**run, "outcome": outcome, "optimizer_spec": spec, "training": {"batch_size": 32}}
        history = History(_epochs(loss, epochs, rng), columns, params, curvature)
        history.save(Path("runs", name_of(run), "history.h5"))


def _loss(steps: int, rng: np.random.Generator) -> np.ndarray:
    loss = (1 + np.arange(steps, dtype=np.float32) / 1000) ** np.float32(-0.3) * _noise(steps, rng)
    onsets = np.flatnonzero(rng.random(steps // _SPIKE_STEPS) < _SPIKE_STEPS / _SPIKE_EVERY) * _SPIKE_STEPS
    for onset in onsets:
        loss[onset : onset + _SPIKE_STEPS] *= np.geomspace(20, 1, _SPIKE_STEPS, dtype=np.float32)
    return loss


def _noise(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.exp(np.float32(0.1) * rng.standard_normal(n, np.float32))


def _epochs(loss: np.ndarray, epochs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    mean = np.array([part.mean() for part in np.array_split(loss, epochs)], np.float32)
    columns = {"loss": mean} | {f"loss_{name}": mean * _noise(epochs, rng) for name in _LINES}
    val_loss = np.full(epochs, np.nan, np.float32)
    val_loss[9::10] = mean[9::10]
    step = np.linspace(0, len(loss), epochs + 1)[1:].astype(np.int64)
    rates = {"learning_rate": np.full(epochs, 1e-3, np.float32), "seconds": np.ones(epochs)}
    return columns | rates | {"val_loss": val_loss, "step": step}


def name_of(run: dict) -> str:
    """Give the folder of a run."""
    return f"f{run['fraction']:g}_r{run['replicate']}/{run['optimizer']}"


def chunks(n: int) -> Iterator[Spectra]:
    """Yield n spectra of noise, seven of ten of them quasars."""
    rng = np.random.default_rng(1)
    for start in range(0, n, _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, n))
        flux = rng.standard_normal((len(rows), N_BINS), np.float32)
        kind = rng.choice(4, len(rows), p=[0.2, 0.1, 0.3, 0.4])
        z = np.choose(kind, [0, rng.uniform(0.1, 0.8), rng.uniform(0.5, 2.1), rng.uniform(2.1, 4)])
        yield Spectra(flux, z, kind, np.where(kind > 1, -1, 0), rows, rng.lognormal(1, 0.5, len(rows)))


def tested(spectra: int, filters: int = 16) -> None:
    """Write spectra, a subset of which they are the test set, and a network."""
    build(Path(), filters)
    write_chunks("spectra.h5", chunks(spectra))
    none = np.empty(0, np.uint32)
    Subset(train=none, validation=none, test=np.arange(spectra, dtype=np.uint32)).save("subset.h5")


def identities(spectra: int) -> None:
    """Write what subsets are drawn from: whose spectra they are. The spectra themselves are left out."""
    with h5py.File("spectra.h5", "w") as file:
        file.attrs["grid"] = json.dumps(LOGARITHMIC.to_json())
        file["target_id"] = np.arange(spectra, dtype=np.int64)
        # of a data set that nothing is written to, the file has only the shape
        file.create_dataset("flux", (spectra, N_BINS), np.float32)
        for name in ("z", "label", "bal", "snr"):
            file.create_dataset(name, (spectra,), np.float32)


def predictions(runs: int, spectra: int, spikes: int = 5) -> None:
    """Write what the models of all runs, and of their spikes, say of a test set, and the table of the runs."""
    write_chunks("spectra.h5", chunks(spectra))
    truth = next(chunks(min(spectra, _CHUNK)))
    rng = np.random.default_rng(2)
    for run in layout(runs):
        path = Path("runs", name_of(run), "predictions.h5")
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            network = NetworkSettings(16, 4, 13, lines=_LINES[:-1], bal_lines=(_LINES[-1].removeprefix("BAL "),))
            file.attrs["run"] = json.dumps({**run, "network": network.to_json()})
            file["row"], file["target_id"] = np.arange(len(truth)), truth.target_id
            for name in ("final", "best"):
                _predict(file.create_group(name), truth, run["fraction"], rng)
            held_out = file.create_group("validation")
            held_out["row"] = np.arange(len(truth))
            for name in ("final", "best"):
                _predict(held_out.create_group(name), truth, run["fraction"], rng)
            for spike in range(1, spikes + 1):
                for moment in ("before", "peak"):
                    group = file.create_group(f"snapshots/{spike}_{moment}")
                    group.attrs.update(epoch=10 * spike, loss=1.0, ratio=5.0)
                    _predict(group, truth, run["fraction"], rng)
    with Path("runs.csv").open("w") as file:
        print("fraction,replicate,optimizer,n_train", file=file)
        for run in layout(runs):
            print(*(f"{run[key]}" for key in run), round(100_000 * run["fraction"]), sep=",", file=file)


def _predict(group: h5py.Group, truth: Spectra, fraction: float, rng: np.random.Generator) -> None:
    n, is_quasar = len(truth), truth.label >= 2
    logit = rng.normal(np.where(is_quasar, 2.5, -2.5) * fraction**0.1, 1.5, (len(_LINES) - 1, n)).T
    group["confidence"] = (1 / (1 + np.exp(-logit))).astype(np.float32)
    group["bal_confidence"] = rng.random((n, 1), np.float32)
    group["z_best"] = np.where(is_quasar, truth.z + rng.normal(0, 0.01, n), 1.0).astype(np.float32)
    group["z_line"] = np.repeat(group["z_best"][:][:, None], len(_LINES) - 1, axis=1)
    group["loss"] = rng.lognormal(0, 0.3, n).astype(np.float32) * np.float32(fraction**-0.3)


def results(runs: int, epochs: int, steps: int, spectra: int) -> None:
    """Write all that the trainings and evaluations of a study leave behind."""
    predictions(runs, spectra)
    histories(runs, epochs, steps)
    replays(runs)
    microscopes(runs)


def replays(runs: int, forks: int = 10, times: int = 4, arms: int = 12) -> None:
    """Write replays of the runs of the largest fraction, in one file as if one job had made all."""
    rng, rows, known = np.random.default_rng(3), [], []
    made = [run for run in layout(runs) if run["fraction"] == layout(runs)[0]["fraction"]]
    for run, fork in product(made, range(forks)):
        keys = {"run": name_of(run), **run, "n_train": 1024, "learning_rate": 1e-3, "fork_step": 500 + 100 * fork}
        known.append({**keys, "kind": "grid", **dict.fromkeys(_OF_FORK, rng.random())})
        for arm, replay in product(("as_it_is", *(f"arm_{i}" for i in range(1, arms))), range(times)):
            time, spiked = rng.uniform(0, 600), rng.random() < 0.3
            rows.append({**keys, "arm": arm, "replay": replay, "steps": time, "spiked": int(spiked),
                         "first_passage": time if spiked else np.nan, "height": 4.0, "loss_after": rng.lognormal(),
                         "own_rise": time if spiked else np.nan, "own_exposure": round(time), "note": ""})  # fmt: skip
    for name, table in (("fork_replays", rows), ("forks", known)):
        pd.DataFrame(table).to_csv(Path(FILES[name].path).name, index=False)


def microscopes(runs: int, spikes: int = 2) -> None:
    """Write what looking at so many spikes of every run gives, all in one file."""
    looks = [{**run, "run": name_of(run), "onset": 1000 * spike} for run in layout(runs) for spike in range(spikes)]
    rng, table = np.random.default_rng(3), pd.DataFrame(looks)
    for name, rows in (("steps", 121), ("spectra", 20)):
        whole = table.loc[table.index.repeat(rows)].assign(
            **{column: rng.random(rows * len(table)) for column in _MAGNIFIED}
        )
        whole["offset"] = np.tile(np.arange(-100, rows - 100), len(table))
        whole.to_csv(f"{name}.csv", index=False)


def training(**case: int) -> None:
    """Write the spectra that a training is given."""
    Path("case.json").write_text(json.dumps(USUAL | case))
    prepare(Path(), USUAL | case)


def configuration(runs: int) -> None:
    """Write the configuration of a study of so many runs."""
    Path("study.yaml").write_text(yaml.safe_dump(study(4, runs // 8, 2)))


def nothing(**_: int) -> None:
    """Write nothing."""


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
