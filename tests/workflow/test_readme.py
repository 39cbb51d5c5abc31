"""What README and the pages on studies and models say is true: commands exist, snippets are valid studies."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from quasarcurves.study import Study

ROOT = Path(__file__).parents[2]
PAGES = ("study", "studies", "spectra", "files", "changing", "classify", "models", "desi")
TEXT = "\n".join([(ROOT / "README.md").read_text(), *((ROOT / "docs" / f"{page}.md").read_text() for page in PAGES)])
SNIPPETS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def data_folder(tmp_path, monkeypatch, made_up):
    """Make a folder with the files that the snippets name."""
    (tmp_path / "data.fits").symlink_to(made_up / "boss_like" / "data.fits")
    (tmp_path / "truth.fits").symlink_to(made_up / "boss_like" / "truth.fits")
    (tmp_path / "sdss_spec").symlink_to(made_up / "sdss_spec")
    shutil.copy(made_up / "desi" / "test_coadd.fits", tmp_path / "coadd-1.fits")
    shutil.copy(made_up / "desi" / "test_weights.h5", tmp_path / "weights.h5")
    for name in ("redrock.fits", "zcat.fits"):
        (tmp_path / name).write_bytes(_redshift_catalogue())
    monkeypatch.chdir(tmp_path)


def _redshift_catalogue() -> bytes:
    import io

    from astropy.table import Table

    buffer = io.BytesIO()
    table = Table({"TARGETID": range(20), "Z": [1.0] * 20, "SPECTYPE": ["QSO"] * 20})
    table.write(buffer, format="fits")
    return buffer.getvalue()


def test_there_is_a_snippet_for_every_source():
    sources = {yaml.safe_load(text).get("data", {}).get("source") for text in SNIPPETS} - {None}
    assert sources == {"simulated", "quasarnet_fits", "sdss", "desi"}


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("text", SNIPPETS)
def test_snippet_is_a_valid_study(text):
    smoke = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
    study = Study.from_config({**smoke, **yaml.safe_load(text)})
    from quasarcurves.spectra import sources

    assert len(next(sources.read_chunks(study.data, 64))) > 0


COMMANDS = re.findall(
    r"^\.venv/bin/quasarcurves ((?:predict|export|import|compare|next-labels) [^#\n]*)", TEXT, re.MULTILINE
)


@pytest.fixture(scope="module")
def study_with_networks(tmp_path_factory):
    """Make a folder with the default study and a network in the place of one of its runs, in each replicate."""
    folder = tmp_path_factory.mktemp("study")
    shutil.copy(ROOT / "config.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _save_networks(Study.load("config.yaml"))
    return folder


def _save_networks(study):
    run = study.runs[0]
    assert run.name == "f0.4_r0/adam"
    from quasarcurves.quasarnet import network
    from quasarcurves.quasarnet.model_files import about_run, save_keras

    for each in study.runs:
        path = study.results / "runs" / each.name / "model.keras"
        if each.optimizer == run.optimizer and each.fraction == run.fraction:
            save_keras(network.build(filters=3), path, about_run(study.run_settings(each), "final"))
    scaling = {"slope": 1.0, "offset": 0.0, "n": 60, "quasars": 30}
    (study.results / "calibration.json").write_text(json.dumps({run.name: {"final": {"1": scaling}}}))


@pytest.fixture
def study_folder(data_folder, study_with_networks, tmp_path):
    """Add them to the folder with the files."""
    shutil.copytree(study_with_networks, tmp_path, dirs_exist_ok=True)


def test_there_is_an_example_of_every_command_on_models():
    assert {command.split()[0] for command in COMMANDS} == {
        "predict", "export", "import", "compare", "next-labels",
    }  # fmt: skip


@pytest.mark.xdist_group("finished smoke study")
@pytest.mark.usefixtures("study_folder")
@pytest.mark.parametrize(
    "command",
    # with redshifts they draw pages of figures
    [pytest.param(each, marks=pytest.mark.slow if "--catalogue" in each else ()) for each in COMMANDS],
)
def test_commands_on_models_run(command, tmp_path):
    from quasarcurves import cli

    # as a shell would
    words = [
        name for word in command.split() for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    if words[0] == "export":  # what it writes is there, for the other commands
        Path("weights.h5").unlink()
    assert cli.main(words) == 0
    made = {
        "predict": "qn.fits", "export": "weights.h5", "import": "model.keras", "compare": "comparison/changes.csv",
        "next-labels": "next.csv",
    }[words[0]]  # fmt: skip
    assert (tmp_path / made).stat().st_size > 0


def test_commands_of_make_exist():
    text = TEXT + (ROOT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)(?:$|`)", text, re.MULTILINE))
    assert {"study", "test", "setup", "docs", "lint", "test-slow", "lock"} <= targets
    for target in targets:
        result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"make {target}: {result.stderr}"


def test_readme_is_short_and_has_both_commands():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    assert "```sh\nmake study\n```" in readme
    assert "```sh\nmake test\n```" in readme
