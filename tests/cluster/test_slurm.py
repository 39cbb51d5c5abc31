"""Studies on a real SLURM cluster, through the project's profile, and all that can happen to them there.

The cases run side by side, as most of their time they wait: for nodes, for SLURM to notice, for Snakemake to notice.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from cluster_study import ROOT, ClusterStudy
from slurm_cluster import kill_tree, wait_for
from slurm_page import follow

from support import small_task

pytestmark = pytest.mark.cluster

EPOCHS = 400

STUDY = {
    "study": {"name": "disturbed"},
    "data": {"source": "simulated", "n_spectra": 320},
    "subsets": {"test_fraction": 0.15, "validation_fraction": 0.05, "fractions": [0.8]},
    "network": {"filters": 8, "dropout": 0.1},
    "training": {"epochs": EPOCHS, "batch_size": 32, "validate_every": 10, "checkpoint_every": 20},
    "optimizers": {"adam": {"class": "Adam", "learning_rate": 1.0e-3}},
}

HOSTILE = "a $(touch touched) study of `touch touched`"
"""Name of the folder of every study: a shell that reads it once more, on whatever node, leaves a file."""

OTHER_SITE = {
    "    gpu: 1 ": "    # ",
    "# gres:": "gres:",
    "# constraint:": "constraint:",
    "# slurm_extra:": "slurm_extra:",
    "# precommand: . /etc/profile && module load cuda": "precommand: export SITE=ready",
}
"""Uses what the profile has in comments, but for what this cluster has not: accounts, and the container image."""


def undisturbed(study: ClusterStudy) -> None:
    """Nothing happens but another study in the same folder; the site wants --gres, constraints, and a command first.

    The other study is of a task file.
    """
    other = ClusterStudy(study.cluster, study.folder, "other", study.profile)
    small_task.write(study.folder, "other", epochs=20)
    study.profile = profile(study.folder / "profile", OTHER_SITE)
    study.start()
    other.start()
    training = study.wait_for_checkpoint()
    assert {"CUDA_VISIBLE_DEVICES": "0", "SITE": "ready"}.items() <= training.environ().items()
    asked = ["squeue", f"--jobs={study.job[0]}", "--noheader", "--format=%b %f"]
    assert study.cluster.call(*asked) == "gres:gpu:1 a100"
    study.finish()
    other.finish()
    assert not list(study.folder.parent.rglob("touched"))
    assert len(other.history.epochs["loss"]) == 20
    assert other.history.params["task"]["name"] == "mine.py"


def time_limit(study: ClusterStudy) -> None:
    """A training hangs until its job hits the time limit; SLURM wakes it up and tells it to end."""
    study.start()
    training = study.wait_for_checkpoint()
    study.resumes_from = study.epoch
    job, _ = study.job
    training.send_signal(signal.SIGSTOP)
    study.cluster.call("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    study.wait_for(lambda: study.states[job] == "TIMEOUT", "the job does not hit its time limit")
    study.finish()


def preempted(study: ClusterStudy) -> None:
    """A job of higher priority takes the node; SLURM itself starts the training again, under the same number."""
    study.start()
    study.wait_for_checkpoint()
    study.resumes_from = study.epoch
    job, node = study.job
    urgent = ["--partition=urgent", f"--nodelist={node}", "--gpus=1", "--output=/dev/null", "--wrap=sleep 20"]
    study.cluster.call("sbatch", *urgent)
    study.wait_for(lambda: study.states[job] == "PENDING", "the job is not requeued")
    study.finish()
    assert study.states == {job: "COMPLETED"}


def told_to_end(study: ClusterStudy) -> None:
    """Preemption where the partition has a grace time: a SIGTERM, and the training ends by itself in that time."""
    study.start()
    study.wait_for_checkpoint()
    study.resumes_from = study.epoch
    job, _ = study.job
    study.cluster.call("scancel", "--signal=TERM", job)
    study.wait_for(lambda: study.states[job] == "FAILED", "the job does not end")
    study.finish()


def cancelled(study: ClusterStudy) -> None:
    """Somebody cancels the job."""
    study.start()
    study.wait_for_checkpoint()
    study.resumes_from = study.epoch
    job, _ = study.job
    study.cluster.call("scancel", job)
    study.wait_for(lambda: study.states[job] == "CANCELLED", "the job is not cancelled")
    study.finish()


def interrupted(study: ClusterStudy) -> None:
    """Ctrl-C, and later the same call again."""
    study.start()
    study.wait_for_checkpoint()
    study.resumes_from = study.epoch
    job, _ = study.job
    study.interrupt()
    assert study.wait() != 0
    wait_for(lambda: study.states[job] == "CANCELLED", 120, "Snakemake does not cancel its job")
    assert not study.run.exists() or not list(study.run.iterdir())
    study.start()
    study.finish()


def node_lost(study: ClusterStudy) -> None:
    """The node goes down with all that runs on it, and is back when the training goes on elsewhere."""
    study.start()
    study.wait_for_checkpoint()
    study.resumes_from = study.saved_epoch
    job, node = study.job
    before = study.owner
    study.cluster.crash(node)
    study.wait_for(lambda: study.owner != before, "the job is not started again")
    assert study.job[0] == job
    assert study.job[1] != node
    study.cluster.start_node(node)
    study.finish()


def orphaned(study: ClusterStudy) -> None:
    """SLURM takes the node for dead, but the process there lives when the next one starts, and trains on."""
    study.start()
    orphan = study.wait_for_checkpoint()
    before = study.owner
    study.cluster.kill_slurmd(study.job[1])
    orphan.send_signal(signal.SIGSTOP)  # it must not be done before SLURM has noticed
    study.resumes_from = study.epoch
    study.wait_for(lambda: study.owner != before, "no other process wants to train")
    orphan.send_signal(signal.SIGCONT)
    study.finish()
    wait_for(lambda: not orphan.is_running(), 300, "the orphan does not leave")


def orphaned_without_locks(study: ClusterStudy) -> None:
    """The same where locks do not reach from node to node; the orphan comes back when all is done."""
    study.start()
    orphan = study.wait_for_checkpoint()
    study.cluster.kill_slurmd(study.job[1])
    orphan.send_signal(signal.SIGSTOP)
    study.resumes_from = study.saved_epoch
    (study.state / "lock").unlink()  # the next process makes one of its own
    study.finish()
    assert orphan.is_running()
    orphan.send_signal(signal.SIGCONT)
    wait_for(lambda: not orphan.is_running(), 300, "the orphan does not leave")


FAULTS = (time_limit, preempted, told_to_end, cancelled, interrupted, node_lost, orphaned, orphaned_without_locks)


def profile(folder: Path, changes: dict[str, str] | None = None) -> Path:
    """Give a copy of the profile with some of its text changed, and time enough for a slow machine."""
    text = (ROOT / "profiles" / "slurm" / "config.yaml").read_text()
    on_gpus = "  train: &training\n"
    for before, after in {on_gpus: f"{on_gpus}    runtime: 60\n", **(changes or {})}.items():
        assert before in text
        text = text.replace(before, after)
    folder.mkdir()
    (folder / "config.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Give a folder with the study, its spectra and its subset: the training alone is left to do."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "disturbed.yaml").write_text(yaml.safe_dump(STUDY))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--workflow-profile", "none"]
    command += ["--configfile", "disturbed.yaml", "--cores", "2", "--until", "draw_subset"]
    result = subprocess.run(
        list(map(str, command)), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    return folder


def to_the_end(case: Callable, study: ClusterStudy) -> None:
    """Run a case; then nothing is left to do, every file is what its receipt says, and there are no parts of files."""
    case(study)
    assert re.search(r"^total +0$", study.dry_run(), re.MULTILINE)
    study.verify()
    assert not study.left_over()


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Give what runs the cases; when all is over, nothing of them stays."""
    with ThreadPoolExecutor(2 + len(FAULTS)) as pool:
        yield pool
        for child in psutil.Process().children():
            kill_tree(child)


@pytest.fixture(scope="module")
def page(request, pool, cluster, tmp_path_factory) -> tuple[Path, Future] | None:
    """Begin to do what the page says, if that is asked for; give the folder, and what will be said by each command."""
    folder = tmp_path_factory.mktemp("page")
    asked = any(item.function is test_page for item in request.session.items)
    return (folder, pool.submit(follow, cluster, folder)) if asked else None


@pytest.fixture(scope="module")
def outcome(request, pool, page, cluster, prepared, tmp_path_factory) -> Callable[[Callable], ClusterStudy]:
    """Start all cases that are asked for, and give the function that waits for the end of one."""
    asked = [item.callspec.params.get("fault") for item in request.session.items if hasattr(item, "callspec")]
    patient = profile(tmp_path_factory.mktemp("site") / "profile")
    studies, ends = {}, {}
    for case in [undisturbed, *(fault for fault in FAULTS if fault in asked)]:
        folder = tmp_path_factory.mktemp(case.__name__) / HOSTILE
        shutil.copytree(prepared, folder)
        studies[case] = ClusterStudy(cluster, folder, "disturbed", patient)
        ends[case] = pool.submit(to_the_end, case, studies[case])

    def end(case: Callable) -> ClusterStudy:
        ends[case].result()
        return studies[case]

    return end


def assert_same(study: ClusterStudy, other: ClusterStudy) -> None:
    """Two trainings have the same record and the same models, bit by bit."""
    import keras

    one, two = study.history, other.history
    for group in ("steps", "epochs"):
        columns, others = getattr(one, group), getattr(two, group)
        assert columns.keys() == others.keys()
        for name in columns.keys() - {"seconds"}:
            np.testing.assert_array_equal(columns[name], others[name], err_msg=name)
    for name in ("model.keras", "best.keras"):
        weights = [keras.saving.load_model(each.run / name).get_weights() for each in (study, other)]
        for array, expected in zip(*weights, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_undisturbed(outcome):
    study = outcome(undisturbed)
    assert len(study.history.epochs["loss"]) == EPOCHS
    assert study.history.params["outcome"]["resumed_at_epochs"] == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_ends_as_if_nothing_had_happened(outcome, fault):
    study = outcome(fault)
    assert_same(study, outcome(undisturbed))
    # nothing is trained twice but what came after the last checkpoint of a process that could not save
    (resumed,) = study.history.params["outcome"]["resumed_at_epochs"]
    assert 0 < study.resumes_from <= resumed
    assert f"{EPOCHS - resumed} epochs computed" in study.log


def test_page(page):
    """From the clone to the figures, on the login node."""
    folder, said = page
    (run,) = [text for command, text in said.result().items() if command.endswith("smoke.yaml")]
    assert "(100%) done" in run
    results = folder / "results" / "smoke"
    assert {path.suffix for path in (results / "figures").iterdir()} == {".svg", ".pdf", ".png"}
    assert (folder / "report.zip").stat().st_size > 100_000
    assert list((results / "logs" / "train").rglob("*.log"))
    submitted = set(re.findall(r"slurm_logs/rule_(\w+)/", run))
    assert {"prepare_spectra", "train", "evaluate", "compute_metrics", "fit_learning_curves"} <= submitted
    assert not [rule for rule in submitted if rule.startswith(("plot_", "draw_", "show_", "write_"))]
