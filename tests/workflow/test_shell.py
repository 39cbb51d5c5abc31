"""No name reaches a shell unquoted: whatever a file is called, the command of a rule holds its name as one word.

Snakemake reads the rules once per profile and study, in this process, and makes their commands as it does for a job. A
job on a node or in a pod reads the rules anew there, and makes the same command.
"""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.api import SnakemakeApi
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Wildcards
from snakemake.rules import Rule
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings, StorageSettings
from snakemake.utils import format as formatted

from quasarcurves.spectra.table import load_column
from quasarcurves.study import Study, StudyError

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "workflow" / "studies"
PROFILES = {path.parent.name: yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob("profiles/*/config.yaml"))}

UGLY = "a b'c\"d$(touch pwned)`touch pwned`${HOME}{e}{{f}}\n;touch pwned;*?[x]&|<>~#!%\\é\t-"
"""All that a shell, Snakemake or Python's `format` takes for something else than itself."""

BASE = {"step", "train_step"}
"""Rules that others inherit from, and never jobs."""

SHELLS = st.text(st.sampled_from("ab '\"$`(){}[]<>;&|*?~#!%\\\n\té=-"), min_size=1, max_size=30)


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """Undo what the Snakefile sets for its jobs."""
    before, folder = dict(os.environ), Path.cwd()
    yield
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(before)


def read_rules(study: Path, folder: Path, profile: str = "default") -> dict[str, Rule]:
    """Let Snakemake read the workflow for a study, with the storage of a profile; give the rules that have commands."""
    stored = {key.replace("-", "_"): value for key, value in PROFILES[profile].items() if "default-storage" in key}
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=2),
            config_settings=ConfigSettings(configfiles=[study]),
            storage_settings=StorageSettings(**stored),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        return {rule.name: rule for rule in workflow._workflow.rules if rule.shellcmd and rule.name not in BASE}


def alone(files: object) -> bool:
    """Whether an input of a rule is one file; functions return many."""
    return isinstance(files, str) and not files.is_callable()


def command_of(rule: Rule, name: str) -> str:
    """Give a rule's command, put together by Snakemake, for a job all of whose files have that name."""
    of = {
        "wildcards": Wildcards(fromdict={"fraction": "0.2", "replicate": "0", "group": "0", "optimizer": "adam"}),
        "input": InputFiles(fromdict={key: name if alone(value) else [name, "b"] for key, value in rule.input.items()}),
        "output": OutputFiles(fromdict={key: name for key, _ in rule.output.items()}),
        "threads": 1,
    }
    told = {
        key: value(**{each: of[each] for each in signature(value).parameters if each in of})
        if callable(value)
        else value
        for key, value in rule.params.items()
        if f"{{params.{key}}}" in rule.shellcmd
    }
    given = {key: of[key] for key in ("wildcards", "threads")}
    return formatted(rule.shellcmd, params=Params(fromdict=told), log=Log([name]), **given)


@pytest.fixture(scope="module")
def rules(tmp_path_factory) -> dict[tuple[str, str], Rule]:
    """Give the rules of the smoke study with every profile."""
    folder = tmp_path_factory.mktemp("read")
    found = {name: read_rules(STUDIES / "smoke.yaml", folder, name) for name in PROFILES}
    assert all(len(each) > 35 for each in found.values())
    return {(profile, name): rule for profile, each in found.items() for name, rule in each.items()}


def assert_words(command: str, name: str) -> None:
    """The command is one call of Python, and has the name as words of its own."""
    words = shlex.split(command)
    call = ["exec", "env", *(word for word in words[2:3] if word.startswith("KERAS_BACKEND=")), "python", "-m"]
    assert words[: len(call)] == call, command
    assert words[-2:] == ["2>", name]
    assert words.count(name) >= 3, command


def test_every_rule_quotes_the_ugliest_name_with_every_profile(rules):
    for rule in rules.values():
        assert_words(command_of(rule, UGLY), UGLY)


@given(name=SHELLS, data=st.data())
@settings(max_examples=200, deadline=None)
def test_every_rule_quotes_any_name(rules, name, data):
    rule = data.draw(st.sampled_from(sorted(rules)))
    assert_words(command_of(rules[rule], name), name)


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_hands_the_names_over(rules, tmp_path, shell):
    """To what stands where Python would; and it runs nothing else."""
    stand_in = tmp_path / "bin" / "python"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    stand_in.chmod(0o755)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {"PATH": f"{stand_in.parent}:{os.environ['PATH']}"}
    for (profile, _), rule in rules.items():
        if profile == "default":
            command = command_of(rule, UGLY)
            said = subprocess.run([shell, "-c", command], cwd=empty, env=environment, capture_output=True, check=True)
            words = shlex.split(command)
            assert said.stdout.decode().split("\0")[:-1] == words[words.index("python") + 1 : -2]
    assert [path.name for path in empty.iterdir()] == [UGLY]


@pytest.fixture
def ugly_study(tmp_path, made_up) -> Path:
    """Give a study whose spectra lie in a folder, and have a catalogue, with the ugliest names."""
    folder = tmp_path / UGLY
    shutil.copytree(made_up / "sdss_spec", folder)
    catalogue = (folder / "catalogue.csv").rename(folder / f"{UGLY}.csv")
    config = yaml.safe_load((STUDIES / "smoke.yaml").read_text())
    config["data"] = {"source": "sdss", "spectra": str(folder), "catalogue": str(catalogue)}
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(config))
    return study


def test_names_in_a_study_are_words_of_the_command_that_reads_spectra(ugly_study, tmp_path):
    words = shlex.split(command_of(read_rules(ugly_study, tmp_path)["prepare_spectra"], "a"))
    data = json.loads(words[words.index("--data") + 1])
    assert data["spectra"] == str(tmp_path / UGLY)
    assert Path(data["catalogue"]).name == f"{UGLY}.csv"


@pytest.mark.slow
def test_spectra_with_the_ugliest_names_are_read(ugly_study, tmp_path, snakemake):
    result = snakemake(tmp_path, "--cores", 1, "--configfile", ugly_study, "--until", "prepare_spectra")
    assert result.returncode == 0, result.stdout
    assert len(load_column(tmp_path / "results" / "smoke" / "data" / "spectra.h5", "z")) > 30
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("name", ["a b", "$(touch pwned)", "`a`", "{e}", "a;b", "a\nb", "a'b", 'a"b', "../a", "-n", ""])
@pytest.mark.parametrize("of", ["study", "optimizer"])
def test_such_a_name_of_a_study_or_an_optimizer_is_refused(of, name):
    """They become names of files: letters, digits and a few signs. The message has the name and is one line long."""
    config = yaml.safe_load((STUDIES / "smoke.yaml").read_text())
    if of == "study":
        config["study"]["name"] = name
    else:
        config["optimizers"] = {name: config["optimizers"]["adam"]}
    with pytest.raises(StudyError) as refused:
        Study.from_config(config)
    assert len(str(refused.value).splitlines()) == 1
    assert (name in str(refused.value)) or (repr(name)[1:-1] in str(refused.value))
