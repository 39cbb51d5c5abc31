"""The command line before there are results: version, help, misspelt names, a new study and how it is run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import quasarcurves
from quasarcurves import cli
from quasarcurves.cli import monitor
from quasarcurves.files import workflow_root
from quasarcurves.study import Study

SMOKE = workflow_root() / "workflow" / "studies" / "smoke.yaml"

HIDDEN = "import sys\nsys.modules[{!r}] = None\nfrom quasarcurves.cli import main\nsys.exit(main({}))"
"""A process in which a package cannot be imported."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def started(monkeypatch):
    """What Snakemake is started with; it is not really."""
    calls = []
    monkeypatch.setattr(monitor, "ask", lambda arguments: calls.append(list(arguments)) or 0)
    monkeypatch.setattr(monitor, "run", lambda study, arguments: calls.append(list(arguments)) or 0)
    return calls


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"quasarcurves {quasarcurves.__version__}\n"


def test_no_arguments_print_the_help(capsys):
    assert cli.main([]) == 0
    assert capsys.readouterr().out.startswith("usage: quasarcurves COMMAND ...")


@pytest.mark.parametrize(
    ("name", "message"),
    [("rnu", "unknown command 'rnu': did you mean 'run'?"), ("xyz", "unknown command 'xyz': expected one of check, ")],
)
def test_an_unknown_command_gets_the_nearest(capsys, name, message):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--whatever"])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("given", ["my-study", "my-study.yaml", "folder/my-study"])
def test_init_writes_a_study_that_is_valid(capsys, given):
    assert cli.main(["init", given]) == 0
    path = Path(given).with_suffix(".yaml")
    study = Study.load(path)
    assert (study.name, len(study.runs)) == ("my-study", 4)
    assert f"quasarcurves run {path}" in path.read_text()
    assert f"quasarcurves run {path}" in capsys.readouterr().out


def test_init_overwrites_nothing(capsys):
    Path("mine.yaml").write_text("precious")
    assert cli.main(["init", "mine"]) == 1
    assert capsys.readouterr().err == "error: mine.yaml exists; choose another name\n"
    assert Path("mine.yaml").read_text() == "precious"


def test_init_refuses_what_no_study_can_be_called(capsys):
    assert cli.main(["init", "a study"]) == 1
    assert "error: study.name: 'a study'" in capsys.readouterr().err
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["{study}"], []),
        (["--configfile", "{study}"], []),
        (["--cores", "2", "{study}"], []),
        (["{study}", "--", "--forcerun", "train"], ["--forcerun", "train"]),
        (["{study}", "--", "train_all"], ["train_all"]),
        # without -- as well, as long as the study stands first
        (["--configfile", "{study}", "--resources", "gpu=2"], ["--resources", "gpu=2"]),
        (["{study}", "--resources", "gpu=2", "--set-resources", "train:gpu=1"],
         ["--resources", "gpu=2", "--set-resources", "train:gpu=1"]),
    ],
)  # fmt: skip
def test_run_tells_the_study_from_options_of_snakemake(started, arguments, given):
    assert cli.main(["run", *(argument.format(study=SMOKE) for argument in arguments)]) == 0
    (command,) = started
    assert command[:3] == ["--configfile", str(SMOKE), "--cores"]  # no word of another kind is taken for a study
    assert command[len(command) - len(given) :] == given


def test_run_gives_snakemake_the_study_alone(started, monkeypatch):
    """Also beside a config.yaml; Snakemake would merge what it is given besides."""
    Path("config.yaml").write_text((workflow_root() / "config.yaml").read_text())
    only_sgd = yaml.safe_load(SMOKE.read_text()) | {"optimizers": {"sgd": {"class": "SGD"}}}
    Path("deep").mkdir()
    Path("deep/sgd.yaml").write_text(yaml.safe_dump(only_sgd))
    studies = []
    monkeypatch.setattr(
        monitor, "run", lambda study, arguments: studies.append(study) or started.append(arguments) or 1
    )
    cli.main(["run", "deep/sgd.yaml", "--", "train_all"])
    assert studies[0].optimizers == ["sgd"]
    (command,) = started
    assert [word for word in command if word.endswith(".yaml")] == ["deep/sgd.yaml"]
    assert not command[2].endswith("train_all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep-going", "mine.yaml"], "mine.yaml: the study is config.yaml; another one stands first"),
        (["a.yaml", "--resources", "gpu=2", "b.yml"], "b.yml: the study is a.yaml; another one stands first"),
        (["a.yaml", "train_all"], "train_all: targets stand behind --: quasarcurves run a.yaml -- train_all"),
        (["a.yaml", "--", "--configfile", "b.yaml"], "--configfile: would change the study, which is what a.yaml says"),
        (["a.yaml", "--", "--config=x=1"], "--config=x=1: would change the study"),
        (["none.yaml"], "none.yaml: no such file; quasarcurves run STUDY"),
    ],
)
def test_what_may_be_meant_for_another_study_is_refused(started, capsys, arguments, message):
    assert cli.main(["run", *arguments]) == 1
    assert f"error: {message}" in capsys.readouterr().err
    assert not started


def test_ctrl_c_in_any_command_is_no_traceback(monkeypatch, capsys):
    def interrupted(study, arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(monitor, "run", interrupted)
    assert cli.main(["run", str(SMOKE)]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["-n"], ["--dry-run"], ["--", "-n"]])
def test_run_shows_what_would_run(started, arguments):
    assert cli.main(["run", str(SMOKE), *arguments]) == 0
    assert {"-n", "--dry-run"} & set(started[0])


def test_run_finds_the_workflow_from_any_folder(started):
    cli.main(["run", str(SMOKE), "-n"])
    command = started[0]
    assert Path(command[command.index("--snakefile") + 1]).is_relative_to(workflow_root())
    assert Path(command[command.index("--workflow-profile") + 1]) == workflow_root() / "profiles" / "default"


def test_run_leaves_snakefile_and_profile_to_the_user(started):
    cli.main(["run", str(SMOKE), "-n", "--snakefile", "mine", "--workflow-profile", "none"])
    assert started[0].count("--snakefile") == started[0].count("--workflow-profile") == 1


@pytest.mark.parametrize("command", ["status", "orphans", "prune"])
def test_a_study_is_named_by_its_place_or_the_option(capsys, command):
    for arguments in ([str(SMOKE)], ["--configfile", str(SMOKE)]):
        assert cli.main([command, *arguments]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["run", str(SMOKE)], ["export", "x.keras", "--quasarnp", "x.h5"], ["import", "x.h5", "y.keras"]],
)
def test_without_tensorflow_one_line_says_what_to_install(arguments):
    Path("x.keras").touch()
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN.format("tensorflow", json.dumps(arguments))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == 'error: this needs TensorFlow: pip install "quasarcurves[cpu]"\n'


@pytest.mark.parametrize("command", ["verify", "why"])
def test_results_that_are_not_there_are_no_good_ones(capsys, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    assert cli.main([command, *(["f0.8_r0/adam"] if command == "why" else []), str(SMOKE)]) == 1
    assert capsys.readouterr().err.startswith("error: results/smoke")


def test_check_says_what_a_study_is_and_writes_a_page_where_asked(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", str(SMOKE), "--page", "new/page.html"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("320 usable spectra, 0 rejected\n") and "WARNING: cannot tell how runs differ" in text
    assert text.endswith("\nWith figures: new/page.html\n")
    assert Path("new/page.html").exists() and not Path("results").exists()


def test_check_of_a_study_without_its_files_says_where_they_come_from(capsys):
    assert cli.main(["check", str(SMOKE.with_name("farr2020.yaml"))]) == 1
    assert "https://github.com/ngbusca/QuasarNET says where to get them" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["status", str(SMOKE)], ["orphans", str(SMOKE)], ["prune", str(SMOKE)]])
def test_what_looks_after_results_needs_no_tensorflow(arguments):
    program = HIDDEN.format("tensorflow", json.dumps(arguments))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
