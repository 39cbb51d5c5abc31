"""A study that asks for replays, run for real: its tables and figures, and what a new arm does again."""

import re

import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.slow

STUDY = {
    "study": {"name": "replayed", "seed": 3},
    "data": {"source": "simulated", "n_spectra": 200},
    "subsets": {"test_fraction": 0.2, "validation_fraction": 0.1, "fractions": [0.6]},
    "network": {"filters": 4},
    "training": {"epochs": 30, "batch_size": 16, "validate_every": 10, "checkpoint_every": 10},
    "optimizers": {"adam": {"class": "Adam", "learning_rate": 0.01}},
    "diagnosis": {
        "replays": {
            "every": 80, "after_epoch": 10, "before": [], "quiet": False, "arms": ["m_0", "adam"], "replays": 2,
            "steps": 64, "jobs": 2, "microscope": 0,
        }
    },
}  # fmt: skip


def written(folder, study):
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory, snakemake):
    """The folder of the finished study."""
    folder = tmp_path_factory.mktemp("replayed")
    result = snakemake(folder, "--configfile", written(folder, STUDY), "--cores", "2")
    assert result.returncode == 0, result.stdout
    return folder


def test_replays_of_all_jobs_are_one_table(run):
    replays = pd.read_csv(run / "results" / "replayed" / "replays.csv")
    # 240 steps: forks at 80 and 160
    assert sorted(set(replays["fork_step"])) == [80, 160]
    assert replays.groupby("arm").size().to_dict() == {"as_it_is": 4, "m_0": 4}
    assert (replays.loc[replays["spiked"] == 0, "steps"] == 64).all()


def test_what_cannot_be_had_is_said(run):
    table = pd.read_csv(run / "results" / "replayed" / "interventions.csv").set_index("arm")
    assert table.loc["adam", "verdict"] == "cannot be had: it is Adam already"


def test_hazards_are_drawn(run):
    for name in ("hazard", "interventions"):
        assert (run / "results" / "replayed" / "figures" / f"{name}.png").stat().st_size > 10_000


def test_a_new_arm_replays_and_trains_nothing_again(run, snakemake):
    more = yaml.safe_load(yaml.safe_dump(STUDY))
    more["diagnosis"]["replays"]["arms"].append("v_x4")
    result = snakemake(run, "-n", "--configfile", written(run, more), "--cores", "2")
    assert result.returncode == 0, result.stdout
    rules = set(re.findall(r"^(?:local)?rule (\w+):", result.stdout, re.MULTILINE))
    assert {"replay", "compute_hazards", "plot_hazard", "write_answer"} <= rules
    assert not rules & {"train", "evaluate", "find_spikes", "compute_metrics"}
