"""How results stand: what is current, and why other results are not."""

import copy
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from quasarcurves.cli import standing
from quasarcurves.provenance import fingerprint, inventory, status
from quasarcurves.study import Study
from quasarcurves.study.steps import STEPS
from quasarcurves.training.run_lock import RunLock
from support import made_up_results

CONFIG = {
    "study": {"name": "planted", "replicates": 2},
    "data": {"source": "simulated", "n_spectra": 400},
    "subsets": {"fractions": [0.8, 0.2]},
    "training": {"epochs": 60},
    "optimizers": {
        "adam": {"class": "Adam"},
        "amsgrad": {"class": "Adam", "amsgrad": True},
        "matched": {"class": "Adam", "match": "amsgrad", "fractions": [0.8]},
    },
}
RUN = "f0.8_r0/adam"


def changed(*path_and_value):
    config = copy.deepcopy(CONFIG)
    *path, key, value = path_and_value
    block = config
    for name in path:
        block = block[name]
    block[key] = value
    return Study.from_config(config)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study.from_config(CONFIG)
    made_up_results.make(study)
    return study


def not_current(study):
    return {each.job: each for each in status.standings(study) if not each.good}


def own_reasons(study):
    return {job: each.why for job, each in not_current(study).items() if each.why}


def test_all_that_was_made_is_current(study):
    assert not_current(study) == {}
    assert status.was_run(study)


def test_states_of_finished_trainings_alone_can_be_freed(study):
    states = [study.results / "state" / name / "key" / "epoch-000060.h5" for name in (RUN, "f0.8_r0/amsgrad")]
    for path in states:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(2_000_000))
    other = changed("optimizers", "amsgrad", "learning_rate", 2e-3)
    standings = status.standings(other)
    found = inventory.finished_states(other, standings)
    assert [each.path for each in found] == states[:1]
    text = " ".join(standing.disk(other, standings).split())
    assert text.startswith("Disk: ")
    assert "to free: 2 MB (states of finished trainings, which more epochs would go on from: prune --states)" in text
    inventory.remove(found)
    assert not_current(study) == {}
    assert standing.disk(other, standings).endswith(" MB")


def test_nothing_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study.from_config(CONFIG)
    assert not status.was_run(study)
    assert {each.state for each in status.standings(study)} == {"missing"}
    assert list(standing.summary(study, status.standings(study)))[1] == "It was never run here."


def test_a_changed_optimizer_outdates_its_runs_and_those_held_to_them(study):
    other = changed("optimizers", "amsgrad", "learning_rate", 2e-3)
    found = not_current(other)
    assert found["train f0.8_r0/amsgrad"].why == ("optimizer_spec.learning_rate is 0.002, was not set",)
    matched = found["train f0.8_r0/matched"]
    assert (matched.state, matched.after) == ("outdated", "train f0.8_r0/amsgrad")
    assert f"train {RUN}" not in found
    assert "prepare_spectra" not in found and "draw_subset f0.8_r0" not in found
    assert (found["write_answer"].why, found["evaluate f0.8_r0/amsgrad"].after) == ((), "train f0.8_r0/amsgrad")
    assert "plot_loss_by_fraction adam" in found  # it reads the histories of all runs


def test_an_optimizer_that_is_gone_outdates_what_reads_all_runs_and_nothing_else(study):
    config = copy.deepcopy(CONFIG)
    del config["optimizers"]["matched"]
    found = own_reasons(Study.from_config(config))
    assert found.keys() >= {"collect_histories", "collect_test_losses"}
    assert not any(job.startswith(("train", "evaluate", "plot")) for job in found)
    assert found["collect_histories"] == ('optimizers is ["adam", "amsgrad"], was ["adam", "amsgrad", "matched"]',
                                          'absent is [], was ["f0.2_r0/matched", "f0.2_r1/matched"]')[::-1]  # fmt: skip


def test_a_changed_key_of_a_figure_outdates_that_figure_and_the_page_that_shows_it(study):
    other = Study.from_config({**CONFIG, "figures": {"purity_completeness": {"published": "farr2020"}}})
    figures = {f"plot_purity_completeness {name}" for name in ("adam", "amsgrad", "matched")}
    assert set(not_current(other)) == figures | {"write_page"}


def test_changed_code_and_removed_modules_are_told(study, monkeypatch):
    monkeypatch.setattr(fingerprint, "module_hash", lambda name: "other")
    assert own_reasons(study)["prepare_spectra"] == ("code of spectra.grid has changed",)


def test_a_file_made_anew_outdates_what_reads_it(study):
    path = study.results / "receipts" / "prepare_spectra.json"
    receipt = json.loads(path.read_text())
    receipt["outputs"] = {name: "another" for name in receipt["outputs"]}
    path.write_text(json.dumps(receipt))
    found = not_current(study)
    assert found[f"train {RUN}"].why == ("results/planted/data/spectra.h5 made anew since",)
    assert "prepare_spectra" not in found


def test_a_lost_file_is_missing_and_what_reads_it_follows(study):
    (study.results / "runs.csv").unlink()
    found = not_current(study)
    assert found["collect_histories"].state == "missing"
    assert found["write_answer"].after == "collect_histories"
    assert "train f0.8_r0/adam" not in found


def test_a_training_that_was_stopped_says_where(study):
    (study.results / "receipts" / "train" / f"{RUN}.json").unlink()
    made_up_results.report(study, RUN, 55)
    found = not_current(study)[f"train {RUN}"]
    assert (found.state, found.why) == ("stopped", ("at epoch 55 of 60",))


def test_files_of_an_earlier_training_are_said_to_be_kept(study):
    (study.results / "receipts" / "train" / f"{RUN}.json").unlink()
    found = not_current(study)[f"train {RUN}"]
    assert (found.state, found.why) == ("missing", ("files of an earlier training are kept until it is done",))


def test_a_stopped_training_of_a_changed_study_says_both(study):
    made_up_results.report(study, RUN, 30)
    found = not_current(changed("training", "epochs", 80))[f"train {RUN}"]
    assert (found.state, found.why) == ("stopped", ("at epoch 30 of 60", "training.epochs is 80, was 60"))


def test_a_process_that_lives_is_training(study):
    (study.results / "receipts" / "train" / f"{RUN}.json").unlink()
    made_up_results.report(study, RUN, 30)
    lock = RunLock(study.results / "state" / RUN)
    lock.claim()
    assert not_current(study)[f"train {RUN}"].state == "training"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    owner = study.results / "state" / RUN / "owner"
    owner.write_text(owner.read_text().replace(f"process {os.getpid()} ", f"process {ended.pid} "))
    assert not_current(study)[f"train {RUN}"].state == "stopped"
    owner.write_text(owner.read_text().replace(socket.gethostname(), "elsewhere"))
    assert not_current(study)[f"train {RUN}"].state == "training"


def test_a_diverged_training_is_current_and_said_to_have_diverged(study):
    with h5py.File(study.results / "runs" / RUN / "history.h5", "a") as file:
        file.attrs["params"] = json.dumps({"outcome": {"epochs": 7, "diverged": True, "diverged_step": 1234}})
    found = next(each for each in status.standings(study) if each.job == f"train {RUN}")
    assert (found.state, found.good, found.why) == ("diverged", True, ("diverged in epoch 8, step 1,234",))
    assert not_current(study) == {}


def test_a_damaged_receipt_is_none(study):
    (study.results / "receipts" / "collect_histories.json").write_text("{")
    assert not_current(study)["collect_histories"].state == "missing"


def test_two_hundred_trainings_fit_on_a_screen_and_all_are_listed():
    config = copy.deepcopy(CONFIG)
    config["study"]["replicates"] = 40
    many = Study.from_config(config)
    why = {
        "adam": ("current", ()),
        "amsgrad": ("outdated", ("optimizer_spec.epsilon is 0.001, was not set", "training.epochs is 80, was 60")),
        "matched": ("stopped", ("at epoch 55 of 60",)),
    }
    found = [status.Standing(STEPS["train"], run.name, *why[run.optimizer]) for run in many.runs]
    found += [status.Standing(STEPS["evaluate"], run.name, "outdated", (), f"train {run.name}") for run in many.runs]
    text = list(standing.summary(many, found))
    assert len(many.runs) == 200
    assert len(text) < 20 and max(map(len, text)) <= 100
    whole = " ".join(" ".join(text).split())
    assert (
        "trainings, outdated: optimizer_spec.epsilon is 0.001, was not set; training.epochs is 80, was 60 (f0" in whole
    )
    assert (
        "trainings, stopped: at epoch 55 of 60 (f0.8_r0/matched, f0.8_r1/matched, f0.8_r2/matched and 37 more)" in whole
    )
    assert "200 jobs follow from these" in whole
    assert len(list(standing.everything(found))) == 400


def test_many_different_reasons_are_cut_short():
    found = [status.Standing(STEPS["train"], f"f{i}", "stopped", (f"at epoch {i} of 60",)) for i in range(9)]
    text = list(standing.summary(Study.from_config(CONFIG), found))
    assert text[-1] == "and 3 more reasons: --all lists everything"


def test_other_content_of_the_files_of_spectra_is_found_and_a_touched_file_is_not(made_up, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data.fits", "truth.fits"):
        shutil.copy(made_up / "boss_like" / name, tmp_path)
    data = {"source": "quasarnet_fits", "spectra": "data.fits", "truth": "truth.fits"}
    study = Study.from_config({**CONFIG, "data": data})
    made_up_results.make(study)
    assert not_current(study) == {}  # as of results from before there was a note
    status.prepared_from(study).write_text(status.data_content(study))
    Path("truth.fits").touch()
    assert not_current(study) == {}
    with Path("truth.fits").open("ab") as file:
        file.write(bytes(2880))
    assert own_reasons(study) == {"prepare_spectra": ("the content of the files under `data` has changed",)}
