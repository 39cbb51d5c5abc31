"""What is left on disk of runs that a study does not have."""

import pytest
import yaml

from quasarcurves.provenance import inventory
from quasarcurves.provenance.receipts import Receipt
from quasarcurves.study import Study

CONFIG = """
study: {name: planted}
data: {source: simulated, n_spectra: 100}
subsets: {fractions: [0.8]}
optimizers: {adam: {class: Adam}}
"""

ASKED = [
    "runs/f0.8_r0/adam/history.h5",
    "state/f0.8_r0/adam/key/epoch-000010.h5",
    "state/input_hashes.json",
    "logs/train/f0.8_r0/adam.log",
    "data/subsets/f0.8_r0.h5",
    "figures/loss_by_fraction_adam.svg",
    "figures/loss_by_optimizer.png",
    "figures/detected_spikes_adam.png",
    "figures/spike_statistics.pdf",
    "figures/purity_completeness_adam.pdf",
    "figures/learning_curve.png",
    "receipts/train/f0.8_r0/adam.json",
    "receipts/plot_loss_by_fraction/adam.json",
    "runs.csv",
    "report/runs.csv.html",
    "logs/snakemake.log",
]
ORPHANS = [
    "runs/f0.8_r0/sgd/",
    "runs/f0.4_r0/",
    "state/f0.8_r1/",
    "logs/train/f0.8_r0/sgd.log",
    "data/subsets/f0.4_r0.h5",
    "figures/loss_by_fraction_sgd.svg",
    "figures/detected_spikes_sgd.png",
    "figures/curvature_f0.4.png",
    "figures/spike_cost.png",
    "receipts/draw_subset/f0.4_r0.json",
    "receipts/plot_detected_spikes/sgd.json",
    "figures/purity_completeness_sgd.pdf",
    "logs/plot_purity_completeness/sgd.log",
    "logs/plot_curvature/",
    "benchmarks/train_pack/",
    "figures/curvature_f0.8.png",
    "spike_cost.csv",
    "spike_cost_summary.csv",
    "receipts/measure_spike_cost.json",
    "logs/measure_spike_cost.log",
    "report/spike_cost.csv.html",
    "benchmarks/plot_loss_by_fraction/sgd.tsv",
]


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.chdir(tmp_path)
    study = Study.from_config(yaml.safe_load(CONFIG))
    for name in [*ASKED, *ORPHANS]:
        path = study.results / (f"{name}file" if name.endswith("/") else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 10)
    return study


def test_lists_and_removes_exactly_the_orphans(study):
    found = inventory.orphans(study)
    assert {str(orphan.path.relative_to(study.results)) for orphan in found} == {name.rstrip("/") for name in ORPHANS}
    assert all(orphan.size == 10 for orphan in found)
    inventory.remove(found)
    left = {str(path.relative_to(study.results)) for path in study.results.rglob("*") if path.is_file()}
    assert left == set(ASKED)
    assert inventory.orphans(study) == []


def test_replays_that_the_study_does_not_ask_for_are_orphans(study):
    config = yaml.safe_load(CONFIG) | {"diagnosis": {"replays": {"jobs": 1}}}
    asked, left = (study.results / f"runs/f0.8_r0/adam/replays/{name}.csv" for name in ("0", "1"))
    for path in (asked, left):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    listed = {orphan.path for orphan in inventory.orphans(Study.from_config(config))}
    assert left in listed and asked not in listed
    assert {asked, left} <= {orphan.path for orphan in inventory.orphans(study)}


def test_what_spikes_cost_is_asked_for_where_snapshots_are_taken(study):
    taking = Study.from_config({**yaml.safe_load(CONFIG), "diagnosis": {"snapshots": 2}})
    found = {orphan.path.name for orphan in inventory.orphans(taking)}
    assert "loss_by_fraction_sgd.svg" in found
    assert "spike_cost.png" not in found


@pytest.mark.parametrize("shared", [("seed", "network"), ()], ids=["divided", "in one, as before packs"])
def test_settings_that_have_changed_are_said_however_the_receipt_has_them(study, shared):
    made_with = study.run_params(study.runs[0])
    made_with["optimizer_spec"] = {"class": "SGD"}
    made_with["seed"] += 1
    of_all = {name: made_with.pop(name) for name in shared}
    settings = {"run": made_with} | ({"shared": of_all} if shared else {})
    path = study.results / "receipts" / "train" / f"{study.runs[0].name}.json"
    Receipt("train", settings, {}, {}, {}, {}).save(path)
    changed = {what: (then, now) for what, then, now in inventory.explain(study, study.runs[0].name) if now}
    assert changed.keys() == {"setting seed", "setting optimizer_spec.class"}
    assert "SGD" in str(changed["setting optimizer_spec.class"][0])


def test_run_without_a_receipt_is_refused_with_those_that_have_one(study):
    with pytest.raises(FileNotFoundError, match=r"no receipt of a run 'f0.8_r0/lion'; there are f0.8_r0/adam"):
        inventory.explain(study, "f0.8_r0/lion")
