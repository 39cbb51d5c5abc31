"""The pages on where a study can run: their commands do what the pages say. That of SLURM is tested on a cluster."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bucket import serve
from snakemake.cli import get_argument_parser

ROOT = Path(__file__).parents[2]
PAGES = {
    name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("workstation", "kubernetes", "aws-batch", "conda")
}


def commands(page: str) -> list[str]:
    """Give the commands of a page, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)
    return [line.split("    #")[0].rstrip() for block in blocks for line in block.splitlines()]


def shell(command: str, folder: Path) -> str:
    """Run a command in a folder; give what it says."""
    result = subprocess.run(
        command, shell=True, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}"
    return result.stdout


def make_clone(folder: Path) -> None:
    """Make a folder look like a clone that is set up; its environment is the one that the tests run in."""
    for name in ("Snakefile", "workflow", "profiles", "requirements", "pyproject.toml"):
        (folder / name).symlink_to(ROOT / name)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name, module in {"snakemake": "snakemake", "quasarcurves": "quasarcurves.cli", "python": ""}.items():
        start = f"-m {module}" if module else ""
        (binaries / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {start} "$@"\n')
        (binaries / name).chmod(0o755)
    for lock in ("cpu", "gpu", "jax", "cloud"):
        shutil.copy(ROOT / "requirements" / f"{lock}.txt", folder / ".venv" / f"installed-{lock}.txt")
    shutil.copy(ROOT / "pyproject.toml", folder / ".venv" / "installed-pyproject.toml")


@pytest.fixture(scope="module")
def said(tmp_path_factory, finished) -> dict[str, list[str]]:
    """Run the commands of the page on one machine; give what each said, in order. The study itself has run before."""
    folder = tmp_path_factory.mktemp("workstation") / "clone"
    shutil.copytree(finished, folder)
    make_clone(folder)
    output = {}
    for command in commands("workstation"):
        output.setdefault(command, []).append(shell(command, folder))
    assert (folder / "report.zip").stat().st_size > 100_000
    return output


@pytest.mark.slow
def test_workstation_set_up_and_run(said):
    assert said["sh requirements/install.sh cpu"] == [""]
    assert said["sh requirements/install.sh gpu"] == said["sh requirements/install.sh jax"] == [""]
    (run,) = (text for command, (text, *_) in said.items() if command.endswith("--cores 2"))
    assert "results/smoke/figures" in run
    (summary,) = said[".venv/bin/quasarcurves summary results/smoke"]
    assert "amsgrad" in summary


@pytest.mark.slow
def test_workstation_change_reruns_what_depends_on_it(said):
    before, after = said[".venv/bin/snakemake -n --quiet rules --configfile mine.yaml"]
    assert "Nothing to be done" in before
    assert re.search(r"^train +4$", after, re.MULTILINE)
    assert not re.search(r"^prepare_spectra ", after, re.MULTILINE)
    (why,) = said[".venv/bin/quasarcurves why f0.2_r0/adam --configfile mine.yaml"]
    assert re.search(r"^setting training\.epochs +60 +NOW 80$", why, re.MULTILINE), why
    (verify,) = said[".venv/bin/quasarcurves verify --configfile mine.yaml"]
    assert "every file is as it was made" in verify


@pytest.mark.slow
@pytest.mark.parametrize(("trains", "settings"), [("train", {}), ("train_pack", {"backend": "jax", "pack": True})])
def test_workstation_gpu_is_shared(tmp_path, trains, settings):
    """By single trainings, and by packs, each with the command that the page has for them."""
    ours = [command for command in commands("workstation") if "--resources" in command]
    (command,) = (command for command in ours if ("train_pack" in command) == bool(settings))
    make_clone(tmp_path)
    study = yaml.safe_load((tmp_path / "workflow" / "studies" / "smoke.yaml").read_text())
    study["training"] |= settings
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(study))
    text = shell(command.replace(" -- ", " -n -- "), tmp_path)
    for rule, has_gpu in {trains: True, "evaluate": False, "find_spikes": False}.items():
        asked = re.search(rf"^rule {rule}:\n(?:    .*\n)*?    resources: (.*)$", text, re.MULTILINE)[1]
        assert ("gpu=1" in asked) == has_gpu, f"{rule}: {asked}"


def test_there_are_pages_for_all():
    assert all(len(commands(page)) >= 3 for page in PAGES)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["kubernetes", "aws-batch"])
def test_study_of_the_page_is_planned(tmp_path, monkeypatch, page):
    """With the profile as it is: in the stand-in a bucket may have a name in capitals."""
    make_clone(tmp_path)
    (tmp_path / "buckets" / "BUCKET").mkdir(parents=True)
    plan, run = (command for command in commands(page) if command.startswith(".venv/bin/snakemake"))
    assert plan.replace("-n --quiet rules ", "") == run
    with serve(tmp_path / "buckets") as address:
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY": "key", "SECRET_KEY": "secret"}.items():
            monkeypatch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
        text = shell(plan, tmp_path)
    assert re.search(r"^train +4$", text, re.MULTILINE), text
    assert "sh requirements/install.sh cloud" in commands(page)
    assert shell("sh requirements/install.sh cloud", tmp_path) == ""


@pytest.mark.parametrize("page", PAGES)
def test_options_of_snakemake_exist(page):
    options = {text for action in get_argument_parser()._actions for text in action.option_strings}
    for command in commands(page):
        if command.startswith(".venv/bin/snakemake"):
            used = {word.split("=")[0] for word in shlex.split(command) if word.startswith("-")}
            assert used <= options, command


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_and_headings_exist(page):
    written_elsewhere = {"slurm.md", "container.md"}
    for link in re.findall(r"\]\((?!https://)([^)]+)\)", PAGES[page]):
        name, _, heading = link.partition("#")
        target = ROOT / "docs" / name if name else ROOT / "docs" / f"{page}.md"
        if name in written_elsewhere and not target.exists():
            continue
        assert target.exists(), link
        titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in {re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-") for title in titles}
