"""What jobs need follows from the study: its sizes, and the networks and lengths of its runs."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from quasarcurves.study import Study
from quasarcurves.study.steps import STEPS, Need, Sizes
from support.studies import changed

ROOT = Path(__file__).parents[3]
SMALL = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())


def test_a_job_s_need_grows_with_its_replays_and_falls_with_its_jobs():
    def minutes(**replays):
        study = Study.from_config(changed(training__epochs=2000, diagnosis={"replays": replays}))
        return study.resources("replay", 400, study.replayed_runs[0])["runtime"]

    assert minutes(replays=64) > minutes(replays=16) > minutes(replays=16, jobs=8)


def test_sizes_of_a_study(monkeypatch):
    config = {
        "study": {"name": "sizes", "replicates": 3},
        "data": {"source": "simulated", "n_spectra": 1000},
        "subsets": {"fractions": [0.8, 0.2]},
        "training": {"epochs": 10, "batch_size": 32},
        "optimizers": {"adam": {"class": "Adam"}, "long": {"class": "Adam", "training": {"steps": 1000}}},
    }
    seen = []
    watched = replace(STEPS["find_spikes"], need=lambda sizes: seen.append(sizes) or Need(1, 1))
    monkeypatch.setattr("quasarcurves.study.needs.STEPS", {**STEPS, "find_spikes": watched})
    study = Study.from_config(config)
    assert study.n_examples(Path("not/made/yet.h5")) == 1000
    study.resources("find_spikes", 1000)
    # 25 and 7 steps per epoch; 10 epochs each, or 40 and 143
    assert seen == [
        Sizes(
            spectra=1000, tested=150, source_bytes=0, runs=12, replicates=3, groups=4,
            steps=3 * (250 + 70 + 1000 + 1001), epochs=3 * (10 + 10 + 40 + 143),
            longest_steps=1001, longest_epochs=143,
        )
    ]  # fmt: skip


def test_optimizers_need_what_their_own_networks_do(made_up):
    """Those that train as read hold no versions, and those that freeze layers go through them forward alone."""
    start = str(made_up / "desi" / "test_weights.h5")
    optimizers = {
        "all": {"class": "Adam"}, "as_read": {"class": "Adam", "as_read": True}, "kept": {"class": "Adam", "frozen": 4},
    }  # fmt: skip
    network = {"filters": 25, "start": start, "augment": {"copies": 3, "noise": 0.1}}
    study = Study.from_config({**SMALL, "network": network, "optimizers": optimizers})
    needs = {run.optimizer: study.need("train", 10_000, run) for run in study.runs if run.fraction == 0.8}
    assert needs["all"].mb - needs["as_read"].mb == pytest.approx((2.85 * 3 - 1.02) * 8000 * 443 * 4 / 1e6)
    assert needs["all"].seconds == needs["as_read"].seconds
    # 60 epochs of 250 steps of 32 spectra, and two thirds of the four convolutions' arithmetic and activations
    convolutions = 6 * (217 * 10 * 25 + (104 + 48 + 20) * 10 * 25**2) / 9e10 + 4.3e-9 * 25 * (217 + 104 + 48 + 20)
    assert needs["all"].seconds - needs["kept"].seconds == pytest.approx(60 * 250 * 32 * 2 / 3 * convolutions)
    assert study.need("evaluate", 10_000, study.runs[0]).seconds == pytest.approx(
        study.need("evaluate", 10_000, next(run for run in study.runs if run.optimizer == "kept")).seconds
    )


def test_a_pack_needs_what_its_trainings_do_but_shares_import_and_spectra():
    config = {**SMALL, "training": {"backend": "jax", "pack": True, "epochs": 5}}
    config["study"] = {"name": "packed", "replicates": 3}
    study = Study.from_config(config)
    runs, n = study.pack(study.fractions[0]), 100_000
    alone = [study.need("train", n, run) for run in runs]
    together = study.need("train_pack", n, runs[0])
    assert together.seconds == pytest.approx(sum(need.seconds for need in alone))
    assert max(need.mb for need in alone) < together.mb < sum(need.mb for need in alone) - (len(runs) - 1) * 300
