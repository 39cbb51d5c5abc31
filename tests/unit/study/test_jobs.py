"""The files that jobs read, make and are told of."""

import json
import subprocess
from pathlib import Path

import pytest
from snakemake_interface_executor_plugins.utils import format_cli_value

from quasarcurves.study import Run, Study, jobs
from quasarcurves.study.schema import StudyError
from quasarcurves.study.steps import MAKERS, STEPS

STUDY = {
    "study": {"name": "s", "replicates": 2},
    "data": {"source": "simulated", "n_spectra": 400},
    "subsets": {"fractions": [0.4, 0.1]},
    "optimizers": {"adam": {"class": "Adam"}, "amsgrad": {"class": "Adam", "amsgrad": True, "fractions": [0.4]}},
}
RUNS = [f"f{fraction}_r{replicate}/adam" for fraction in (0.4, 0.1) for replicate in (0, 1)]
RUNS += [f"f0.4_r{replicate}/amsgrad" for replicate in (0, 1)]


@pytest.fixture(scope="module")
def study():
    return Study.from_config(STUDY)


def test_a_path_that_a_shell_would_run_is_refused():
    """Held against what Snakemake makes of each: only paths that a shell reads back as they are may pass."""
    for name in ["a b", "a'b", "$(x)", "`x`", "a'$(x)", "a'`x`", 'a"b', "a'\"b", "a'\\b", "é'ü", "a'{b}*"]:
        text = format_cli_value(f"/{name}", quote=True)
        as_read = subprocess.run(["sh", "-c", f"printf %s {text}"], capture_output=True, text=True, check=False).stdout
        try:
            jobs.refuse_unquotable([Path("/study"), Path(f"/{name}")])
        except StudyError as error:
            assert str(error).startswith(f"/{name}: a path with ' and ")
            assert "'" in name
        else:
            assert as_read == f"/{name}", text


def test_a_job_for_a_run_reads_what_has_its_wildcards(study):
    named = jobs.named(study, STEPS["train"], brought=False)
    assert named == {
        "spectra": ["results/s/data/spectra.h5"],
        "subset": ["results/s/data/subsets/f{fraction}_r{replicate}.h5"],
    }
    # the receipt of a training speaks of the examples, as it has read them
    assert jobs.receipts(study, STEPS["evaluate"]) == [
        "results/s/receipts/train/f{fraction}_r{replicate}/{optimizer}.json"
    ]


def test_what_is_asked_for_leads_to_every_file(study, tmp_path, monkeypatch):
    """Each is asked for, or read by a job that makes what is."""
    monkeypatch.chdir(tmp_path)
    asked = {Path(path).relative_to(study.results).as_posix() for path in jobs.wanted(study, stored=False)}
    led = [
        step for step in study.steps for file in step.makes if file.path.format(**study.wildcards(step.per)[0]) in asked
    ]
    names = {file.name for step in led for file in step.makes if file.path in asked}
    for step in led:  # grows meanwhile
        read = set(jobs.named(study, step, brought=False)) & MAKERS.keys()
        names |= read
        led += [MAKERS[name] for name in read if MAKERS[name] not in led]
    assert {step.name for step in led} == {step.name for step in study.steps}
    assert names >= {file.name for step in study.steps if not step.figure for file in step.makes if study.has(file)}
    assert not [path for path in asked if path.startswith("runs/")]


def test_what_is_gone_of_a_study_that_has_begun_is_asked_for(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    everything = jobs.wanted(study, stored=True)
    Path(study.results, "receipts").mkdir(parents=True)
    assert sorted(jobs.wanted(study, stored=False)) == sorted(everything)
    for path in map(Path, everything):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    gone = study.results / "runs" / RUNS[0] / "history.h5"
    gone.unlink()
    assert [path for path in jobs.wanted(study, stored=False) if path.startswith(str(study.results / "runs"))] == [
        str(gone)
    ]


def test_a_step_for_the_study_reads_the_files_of_all_runs(study):
    step = STEPS["collect_histories"]
    assert sorted(jobs.named(study, step, False)["history"]) == sorted(f"results/s/runs/{n}/history.h5" for n in RUNS)
    assert sorted(jobs.receipts(study, step)) == sorted(f"results/s/receipts/train/{name}.json" for name in RUNS)


def test_files_known_by_the_receipt_of_another_step_are_named_only_where_they_are_brought(study):
    step = STEPS["compute_metrics"]
    assert "predictions" not in jobs.named(study, step, brought=False)
    assert len(jobs.named(study, step, brought=True)["predictions"]) == len(RUNS)
    assert "results/s/receipts/collect_test_losses.json" in jobs.receipts(study, step)
    assert not [path for path in jobs.receipts(study, step) if "/evaluate/" in path]


def test_what_the_study_does_not_have_is_neither_read_nor_made(study):
    assert "snapshots" in STEPS["evaluate"].reads
    assert "snapshots" not in jobs.read(study, STEPS["evaluate"])
    assert list(jobs.made(study, STEPS["train"])) == ["history", "model", "best"]
    taking = Study.from_config(STUDY | {"diagnosis": {"snapshots": 3}})
    assert list(jobs.made(taking, STEPS["train"])) == ["history", "model", "best", "snapshots"]


def test_the_page_reads_every_png_of_every_figure(study):
    figures = jobs.named(study, STEPS["write_page"], False)["figures"]
    assert {Path(path).suffix for path in figures} == {".png"}
    assert {f"results/s/{path}" for path in jobs.shown(study)["figures"]} == set(figures)


def test_options_name_files_or_say_that_there_are_none(study):
    step = STEPS["evaluate"]
    given = {"spectra": ["a"], "subset": ["b"], "model": ["m"], "receipts": ["r1", "r2"]}
    found = jobs.options(step, given, {"predictions": ["p"], "receipt": ["q"]})
    assert found == given | {"predictions": ["p"], "receipt": ["q"], "best": [], "snapshots": []}


def test_files_of_all_runs_are_told_by_what_they_are_made_of(study):
    step = STEPS["collect_histories"]
    assert jobs.options(step, {"history": ["a", "b"], "receipts": ["r"]}, {"histories": ["h"]})["receipts"] == ["r"]
    assert "history" not in jobs.options(step, {"history": ["a", "b"], "receipts": ["r"]}, {})
    own = jobs.own(study, step, {}, "results/s/histories.h5")
    assert own["folder"] == "results/s/runs"
    names = {f"{subset}/{optimizer}" for subset in own["subsets"] for optimizer in own["optimizers"]}
    assert sorted(names - set(own["absent"])) == sorted(RUNS)


def test_figures_are_told_what_they_are_drawn_for(study):
    step = next(step for step in study.steps if step.figure and step.per == "optimizer")
    assert jobs.own(study, step, {"optimizer": "adam"}, "x.svg") == {"optimizer": "adam"}


def test_settings_of_a_run_are_all_there_once(study):
    run = Run(0.4, 1, "adam")
    shared, alone = map(json.loads, jobs.run_settings(study, run))
    assert shared | alone == study.run_params(run)
    assert shared == json.loads(jobs.run_settings(study, Run(0.4, 0, "amsgrad"))[0])
    assert not shared.keys() & alone.keys()


def test_a_pack_has_a_file_for_each_of_its_runs():
    packed = Study.from_config(STUDY | {"training": {"backend": "jax", "pack": True}})
    found = jobs.of_pack(packed, "runs/f{fraction}_r{replicate}/{optimizer}/history.h5")
    assert found == [f"results/s/runs/f{{fraction}}_r{replicate}/adam/history.h5" for replicate in (0, 1)]
