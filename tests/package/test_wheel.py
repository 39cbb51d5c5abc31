"""The wheel is whole, and a study runs from it in a folder far from the checkout."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from environments import tracked_files

pytestmark = [pytest.mark.slow, pytest.mark.package]

PARTS = (
    r"(Snakefile|config\.yaml|(config|envs|profiles)/.*|workflow/(Snakefile|(rules|scripts|schemas|report|studies)/.*))"
)
RUN = "f0.8_r0/adam"
HINT = 'error: this needs TensorFlow: pip install "quasarcurves[cpu]"\n'


def write_spectrum(path: Path) -> None:
    """Write a flat spectrum with noise, as SDSS has them."""
    loglam = np.arange(3.5505, 4.0171, 1e-4)
    flux = 1 + 0.3 * np.random.default_rng(1).standard_normal(loglam.size)
    columns = {"FLUX": flux, "LOGLAM": loglam, "IVAR": np.full_like(flux, 10), "AND_MASK": np.zeros(flux.size, int)}
    fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(Table(columns))]).writeto(path)


@pytest.fixture(scope="module")
def study(installed, tmp_path_factory):
    """A folder in which the smoke study of the installed package has run."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (smoke,) = installed.folder.glob("lib/python*/site-packages/quasarcurves_workflow/workflow/studies/smoke.yaml")
    (folder / "mine.yaml").write_text(smoke.read_text())
    result = installed.run("quasarcurves", "run", "mine.yaml", "--cores", "2", cwd=folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture
def call(installed, study):
    """Call the installed command line in that folder; its output, once it has succeeded."""

    def run(*arguments):
        result = installed.run("quasarcurves", *arguments, cwd=study)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


def test_the_wheel_holds_the_library_and_all_files_of_the_workflow(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = tracked_files()
    library = {name.removeprefix("workflow/") for name in tracked if name.startswith("workflow/quasarcurves/")}
    workflow = {f"quasarcurves_workflow/{name}" for name in tracked if re.fullmatch(PARTS, name)}
    assert len(library) > 100
    assert {"quasarcurves_workflow/workflow/schemas/config.schema.yaml", "quasarcurves_workflow/config.yaml"} < workflow
    assert {name for name in names if ".dist-info/" not in name} == library | workflow


def test_the_checkout_is_out_of_sight(installed, tmp_path):
    program = "import quasarcurves, sys, json; print(json.dumps([quasarcurves.__file__, *sys.path]))"
    result = installed.run("python", "-c", program, cwd=tmp_path)
    at, *path = json.loads(result.stdout)
    assert Path(at).is_relative_to(installed.folder)
    assert not any((Path(folder) / "scripts" / "train.py").exists() for folder in path)


def test_version(installed, wheel, tmp_path):
    result = installed.run("quasarcurves", "--version", cwd=tmp_path)
    assert result.stdout == f"quasarcurves {wheel.name.split('-')[1]}\n"


def test_a_new_study_is_ready_to_run(installed, tmp_path):
    assert installed.run("quasarcurves", "init", "my-study", cwd=tmp_path).returncode == 0
    result = installed.run("quasarcurves", "run", "my-study.yaml", "-n", "--", "--quiet", "rules", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"^train +4$", result.stdout, re.MULTILINE)
    assert installed.run("quasarcurves", "init", "my-study", cwd=tmp_path).returncode == 1


def test_the_study_has_run(study):
    assert (study / "results" / "smoke" / "runs.csv").exists()
    assert len(list((study / "results" / "smoke" / "runs").glob("*/*/model.keras"))) == 4


def test_nothing_is_left_to_do(call):
    assert "Nothing to be done" in call("run", "mine.yaml", "-n")


def test_predict_and_export(call, study):
    write_spectrum(study / "spec-1000-55000-0001.fits")
    out = call("predict", "--model", RUN, "--configfile", "mine.yaml", "spec-1000-55000-0001.fits", "--out", "qn.fits")
    assert out.startswith("qn.fits: 1 spectra, ")
    assert Table.read(study / "qn.fits", hdu=1)["TARGETID"].tolist() == [1000_55000_0001]
    assert "weights.h5" in call("export", RUN, "--configfile", "mine.yaml", "--quasarnp", "weights.h5")
    assert (study / "weights.h5").stat().st_size > 0


def test_why_verify_and_prune(call, study):
    why = call("why", RUN, "mine.yaml")
    assert "quasarcurves.training.loop" in why
    assert "NOW" not in why
    assert call("verify", "mine.yaml") == "every file is as it was made\n"
    extra = study / "results" / "smoke" / "runs" / "f0.5_r0" / "adam" / "model.keras"
    extra.parent.mkdir(parents=True)
    extra.write_text("of a run that the study does not have")
    assert "f0.5_r0" in call("orphans", "mine.yaml")
    assert "removed" in call("prune", "mine.yaml", "--yes")
    assert not extra.exists()


def test_without_tensorflow_one_line_says_what_to_install(without_tensorflow, study, tmp_path):
    def call(*arguments, cwd):
        return without_tensorflow.run("quasarcurves", *arguments, cwd=cwd)

    assert call("init", "my-study", cwd=tmp_path).returncode == 0
    assert call("run", "my-study.yaml", "-n", cwd=tmp_path).returncode == 0
    spectrum = "spec-1000-55000-0002.fits"
    write_spectrum(study / spectrum)
    needing = [
        (("run", "my-study.yaml"), tmp_path),
        (("predict", "--model", RUN, "--configfile", "mine.yaml", spectrum, "--out", "o.fits"), study),
        (("export", RUN, "--configfile", "mine.yaml", "--quasarnp", "o.h5"), study),
    ]  # fmt: skip
    for arguments, folder in needing:
        result = call(*arguments, cwd=folder)
        assert (result.returncode, result.stderr) == (1, HINT)
    for command in ("verify", "orphans"):
        assert call(command, "mine.yaml", cwd=study).returncode == 0


def test_a_job_says_it_too(without_tensorflow, tmp_path):
    """Whoever calls Snakemake by itself reads it in the log of the training."""
    program = "import quasarcurves.files as f; print(f.workflow_root())"
    root = Path(without_tensorflow.run("python", "-c", program, cwd=tmp_path).stdout.strip())
    result = without_tensorflow.run(
        "python", "-m", "scripts.train", "--help", cwd=tmp_path, PYTHONPATH=str(root / "workflow")
    )
    assert result.returncode != 0
    assert result.stderr.endswith(HINT.replace("error", "ModuleNotFoundError"))
