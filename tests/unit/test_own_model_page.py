"""The page for a model of one's own: its file, its study and its commands, as they stand."""

import re
from pathlib import Path

import yaml

from quasarcurves import cli
from quasarcurves.study import Study

PAGE = (Path(__file__).parents[2] / "docs" / "own_model.md").read_text()
TASK, COMMANDS, STUDY = (
    re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.M | re.S)[0] for kind in ("python", "sh", "yaml")
)


def test_an_answer_takes_ten_lines():
    assert len([line for line in [*TASK.splitlines(), *COMMANDS.splitlines()] if line]) <= 10


def test_the_file_is_a_task_that_can_be_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my_task.py").write_text(TASK)
    init, run = COMMANDS.splitlines()
    assert cli.main(init.split()[1:]) == 0
    assert run == "quasarcurves run my_study.yaml"
    capsys.readouterr()
    assert cli.main(["check", "my_study.yaml"]) == 0
    said = capsys.readouterr().out
    assert "2,000 examples: inputs (2000, 8) float32, targets (2000,) float32" in said
    assert "321 weights" in said
    assert "Nothing is measured but the loss" in said


def test_the_study_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_task.py").write_text(TASK)
    study = Study.from_config(yaml.safe_load(STUDY))
    assert study.task.settings is not None
