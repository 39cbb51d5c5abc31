"""The finished smoke study: what was foretold happened, and its results stand as Snakemake finds them."""

import copy
import fcntl
import re
import shutil

import pandas as pd
import pytest
import yaml

from quasarcurves.provenance import outdated, receipts, status
from quasarcurves.study import Study
from quasarcurves.study.forecast import forecast

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("finished smoke study")]

WITHIN = 1.5
"""Disk and memory are foretold to this factor."""

TIME_WITHIN = 3
"""Time is to it only on a machine with nothing else to do. Here other tests run beside the jobs, so it is processor
time that is compared. It misses the start of short jobs, and grows where two share a core."""


@pytest.fixture(scope="module")
def project(finished, tmp_path_factory):
    """Return a copy of the folder in which the study has run."""
    folder = tmp_path_factory.mktemp("standing") / "project"
    shutil.copytree(finished, folder)
    return folder


@pytest.fixture
def ask(project, snakemake, smoke_config, monkeypatch):
    """Return a function: a changed study, and the jobs that Snakemake would run for it."""
    monkeypatch.chdir(project)

    def changed(change=lambda config: None, target=()):
        config = copy.deepcopy(smoke_config)
        change(config)
        (project / "study.yaml").write_text(yaml.safe_dump(config))
        done = snakemake(project, "-n", *target, "--configfile", "study.yaml")
        assert done.returncode == 0, done.stdout
        return Study.from_config(config), jobs_of(done.stdout)

    return changed


def jobs_of(output):
    found = set()
    for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", output, re.MULTILINE):
        wildcards = dict(
            re.findall(r"(\w+)=([^,\s]+)", (re.findall(r"^    wildcards: (.*)$", block, re.MULTILINE) or [""])[0])
        )
        subset = f"f{wildcards['fraction']}_r{wildcards['replicate']}" if "replicate" in wildcards else ""
        name = "/".join(part for part in (subset, wildcards.get("optimizer", "")) if part)
        found.add(f"{rule} {name}".strip())
    return found - {"all", "train_all"}


def not_current(study):
    return {each.job for each in status.standings(study) if not each.good}


def measured(project):
    paths = sorted((project / "results" / "smoke" / "benchmarks").rglob("*.tsv"))
    return pd.concat(pd.read_csv(path, sep="\t", na_values="NA") for path in paths)


def test_disk_is_as_foretold(project, smoke_config):
    found, results = forecast(Study.from_config(smoke_config), 320), project / "results" / "smoke"
    used = sum(path.stat().st_size for path in results.rglob("*") if path.is_file())
    assert 1 / WITHIN < found.disk_bytes / used < WITHIN
    assert found.jobs == len(measured(project))


def test_memory_is_as_foretold(finished, tmp_path, snakemake, smoke_config, monkeypatch):
    """That of a training which imports its packages itself: a copy of the fork server shares a part with the others."""
    folder, run = tmp_path / "project", "f0.8_r0/adam"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "results" / "smoke" / "state" / run)
    monkeypatch.setenv("QUASARCURVES_FORK_SERVER", "off")
    (folder / "study.yaml").write_text(yaml.safe_dump(smoke_config))
    model = f"results/smoke/runs/{run}/model.keras"
    done = snakemake(folder, model, "--force", "--cores", "1", "--configfile", "study.yaml")
    assert done.returncode == 0, done.stdout
    used = pd.read_csv(folder / "results" / "smoke" / "benchmarks" / "train" / f"{run}.tsv", sep="\t")["max_rss"].item()
    foretold = forecast(Study.from_config(smoke_config), 320).job_mb
    assert 1 / WITHIN < foretold / used < WITHIN
    assert measured(finished)["max_rss"].max() < used


def test_time_is_roughly_as_foretold(project, smoke_config):
    seconds = forecast(Study.from_config(smoke_config), 320).seconds
    assert 1 / TIME_WITHIN < seconds / measured(project)["cpu_time"].sum() < TIME_WITHIN


@pytest.mark.parametrize(
    "change",
    [
        lambda c: None,
        lambda c: c["optimizers"]["adam"].update(learning_rate=2e-3),
        lambda c: c["optimizers"].pop("amsgrad"),
        lambda c: c.update(figures={"purity_completeness": {"published": "farr2020"}}),
        lambda c: c["data"].update(n_spectra=400),
    ],
    ids=["nothing", "an optimizer's argument", "one optimizer less", "a figure's key", "more spectra"],
)
def test_what_is_not_current_is_what_snakemake_would_run(ask, change):
    study, jobs = ask(change)
    assert not_current(study) == jobs


def test_a_banner_reruns_nothing_and_is_no_damage(ask, smoke_config):
    before = (Study.from_config(smoke_config).results / "answer.md").read_text()
    changed, _ = ask(lambda c: c["training"].update(epochs=80))
    outdated.mark(changed)
    study, jobs = ask()
    marked = (study.results / "answer.md").read_text()
    assert jobs == set() and receipts.verify(study.results) == []
    assert "training.epochs is 80, was 60" in marked and marked.endswith(before)
    outdated.mark(study)
    assert (study.results / "answer.md").read_text() == before


def test_models_of_a_training_that_fails_are_kept_and_it_is_not_taken_for_done(ask, project, snakemake):
    """Another process holds its lock; the study is changed."""

    def change(config):
        config["optimizers"]["adam"]["learning_rate"] = 2e-3

    study, _ = ask(change)
    run, state = study.results / "runs" / "f0.2_r0" / "adam", study.results / "state" / "f0.2_r0" / "adam"
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with (state / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = snakemake(project, run / "model.keras", "--configfile", "study.yaml", "--cores", "1")
    assert (
        done.returncode != 0
        and "is being trained already" in (study.results / "logs/train/f0.2_r0/adam.log").read_text()
    )
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    study, jobs = ask(change, target=("train_all",))
    assert jobs == {"train f0.8_r0/adam", "train f0.2_r0/adam"}
    found = next(each for each in status.standings(study) if each.job == "train f0.2_r0/adam")
    assert (found.state, found.why) == ("missing", ("files of an earlier training are kept until it is done",))
    assert "These results are not current" in (study.results / "answer.md").read_text()
    assert receipts.verify(study.results) == []


def test_receipts_of_a_pack_are_deleted_before_it_starts_as_that_of_a_training_is(snakemake, smoke_config, tmp_path):
    config = copy.deepcopy(smoke_config)
    for settings in ({}, {"backend": "jax", "pack": True}):
        config["training"] |= settings
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
        outputs = re.findall(
            r"^    output: (.*)$", snakemake(tmp_path, "-n", "--configfile", "study.yaml").stdout, re.MULTILINE
        )
        of_trainings = ", ".join(line for line in outputs if "model.keras" in line).split(", ")
        assert of_trainings and all(path.endswith("(update)") != ("receipts" in path) for path in of_trainings)
