"""What a task file declares, read from its text: keys of a study, words, hashes, and what is refused."""

from pathlib import Path

import pytest
import yaml

from quasarcurves.study import Study, StudyError
from quasarcurves.tasks.declaration import Declaration

FILE = """
raise SystemExit("it must not be run")
import beside
EXAMPLE, EXAMPLES = "curve", "curves"
BETTER = {"error": "lower"}

def examples(n, noise=0.1, *, seed=1):
    pass

def model(units=8):
    pass

def loss(targets, outputs):
    pass

def measure(targets, outputs):
    return {"error": 1, "r2": 2}
"""
STUDY = {
    "study": {"name": "mine"},
    "task": "mine.py",
    "data": {"n": 40},
    "subsets": {"fractions": [0.5]},
    "optimizers": {"adam": {"class": "Adam"}},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("import deeper\n")
    (tmp_path / "deeper.py").write_text("X = 1\n")
    (tmp_path / "unrelated.py").write_text("X = 1\n")
    return tmp_path


def refused(**changes):
    with pytest.raises(StudyError) as error:
        Study.from_config({**STUDY, **changes})
    return str(error.value)


def test_blocks_are_the_arguments_of_functions_with_their_defaults():
    study = Study.from_config(STUDY)
    assert study.config["data"] == {"n": 40, "noise": 0.1}
    assert study.config["network"] == {"units": 8}
    # the study's seed, which is no default of the file
    assert study.data == {"n": 40, "noise": 0.1, "seed": 1}
    assert (study.task.example, study.task.examples, study.task.better) == ("curve", "curves", {"error": "lower"})


def test_keys_that_functions_do_not_have_are_refused_with_the_nearest():
    assert refused(data={"n": 4, "noize": 1}) == (
        "data: unknown key 'noize'; did you mean 'noise'? (mine.py, examples(n, noise, seed))"
    )
    assert refused(data={}) == "data: the key 'n' is missing (mine.py, examples(n, noise, seed))"
    assert "did you mean 'units'? (mine.py, model(units))" in refused(network={"unit": 3})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("def loss(targets", "def lost(targets", "mine.py: no function loss(), expected examples, model, loss"),
        ("def loss(targets, outputs)", "def loss(outputs)", "mine.py: loss(outputs): expected the arguments"),
        ("def model(units=8):", "def model(units=8)", "mine.py, line 10: expected ':'"),
        ('"error": "lower"', '"error": "less"', "mine.py: BETTER is {'error': 'less'}"),
        ('"curve", "curves"', "name(), 1", "mine.py, line 4: EXAMPLE is name(), expected it written out"),
    ],
)
def test_files_that_cannot_be_used_are_refused_unrun(folder, old, new, expected):
    (folder / "mine.py").write_text(FILE.replace(old, new))
    assert refused().startswith(expected)


def test_what_a_task_cannot_do_is_refused():
    assert refused(training={"best": "crossing"}).startswith("training.best is 'crossing'")
    targets = {"targets": {"errors": 0.9}}
    assert refused(learning_curve=targets).startswith("learning_curve.targets: unknown metric 'errors'; did you mean")
    assert "logits" in refused(diagnosis={"replays": {"arms": ["logits"]}})
    assert refused(figures={"gallery": {}}).startswith("figures")
    assert refused(task="nowhere.py").startswith("task: nowhere.py: no such file")
    assert refused(task="digit") == "task is 'digit'; did you mean 'digits'?, or the path of a Python file"
    assert "task is 3, expected string" in refused(task=3)


def test_arms_that_others_cannot_have_are_left_out_of_the_defaults():
    study = Study.from_config({**STUDY, "diagnosis": {"replays": {}}})
    assert "float64" not in study.replay_settings.arms
    assert "norm_256" in study.replay_settings.arms


def test_tables_of_quasars_are_not_made():
    study = Study.from_config(STUDY)
    names = {file.name for step in study.steps for file in step.makes if study.has(file)}
    assert names >= {"test_metrics", "stopping", "cures", "learning_curve", "page"}
    assert not names & {"metrics", "test_summary", "dv_histogram", "confusion", "examples"}
    figures = {step.name for step in study.steps if step.figure}
    assert not figures & {"plot_gallery", "plot_purity_completeness"}


def test_examples_are_drawn_where_the_file_draws(folder):
    drawing = {"choose_worst_examples", "plot_worst_examples"}
    assert not {step.name for step in Study.from_config(STUDY).steps} & drawing
    assert (
        not {
            step.name
            for step in Study.from_config(
                {**STUDY, "task": "quasarnet", "data": {"source": "simulated", "n_spectra": 400}}
            ).steps
        }
        & drawing
    )
    (folder / "mine.py").write_text(FILE + "\ndef draw(axes, inputs, target, output):\n    pass\n")
    assert {step.name for step in Study.from_config(STUDY).steps} >= drawing
    (folder / "mine.py").write_text(FILE + "\ndef draw(axes, inputs):\n    pass\n")
    assert refused() == "mine.py: draw(axes, inputs): expected the arguments (axes, inputs, target, output)"


def test_the_best_weights_may_be_chosen_by_a_measure_of_the_file():
    measured = Declaration("mine.py").measured
    assert measured
    study = Study.from_config({**STUDY, "training": {"best": measured[0]}})
    assert study.run_settings(study.runs[0]).training.best == measured[0]


def test_code_is_that_of_the_file_and_of_what_it_imports_beside(folder):
    def code():
        return Declaration("mine.py").settings.code

    before = code()
    (folder / "unrelated.py").write_text("X = 2\n")
    assert code() == before
    (folder / "deeper.py").write_text("X = 2\n")
    after = code()
    assert after != before
    (folder / "mine.py").write_text(FILE + "# a comment counts\n")
    assert code() not in {before, after}


def test_code_is_in_what_runs_depend_on_and_in_no_other_study(folder):
    study = Study.from_config(STUDY)
    run = study.runs[0]
    assert study.run_params(run)["task"] == {"name": "mine.py", "code": study.task.settings.code}
    assert study.evaluation_params(run)["task"] == study.run_params(run)["task"]
    usual = {**STUDY, "task": "quasarnet", "data": {"source": "simulated", "n_spectra": 400}}
    study = Study.from_config(usual)
    assert "task" not in study.run_params(run)
    assert study.run_params(run) == Study.from_config({k: v for k, v in usual.items() if k != "task"}).run_params(run)


def test_files_that_data_names_count(folder):
    (folder / "table.csv").write_text("1\n")
    study = Study.from_config({**STUDY, "data": {"n": ["table.csv", "no file"]}})
    assert [str(path) for path in study.data_files()] == ["table.csv"]


def test_digits_are_built_in():
    study = Study.from_config({**STUDY, "task": "digits", "data": {}})
    assert study.config["network"] == {"filters": 16}
    assert study.task.examples == "digits"


def test_the_template_is_a_study(capsys):
    from quasarcurves import cli

    assert cli.main(["init", "new", "--task", "digits"]) == 0
    assert Study.from_config(yaml.safe_load(Path("new.yaml").read_text())).task.name == "digits"
