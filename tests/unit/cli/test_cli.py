"""The command line: its help, and its commands on models, each as a user calls it."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import yaml
from astropy.table import Table

from quasarcurves import cli
from quasarcurves.cli.commands import ENTRIES, GROUPS
from quasarcurves.quasarnet import network
from quasarcurves.quasarnet.model_files import about_run, save_keras
from quasarcurves.quasarnet.trained_network import Trained
from quasarcurves.study import Run, Study
from support.spectra_files import write_csv

ROOT = Path(__file__).parents[3]
RUN = Run(0.8, 0, "adam")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, made_up):
    """A folder with a study, the models of one of its runs, and spectra."""
    folder = tmp_path_factory.mktemp("cli")
    config = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
    config["network"] = {"filters": 3, "lines": ["MgII(2796)", "LYA"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    study = Study.load(folder / "config.yaml")
    for seed, (which, file) in enumerate({"final": "model.keras", "best": "best.keras"}.items()):
        keras.utils.set_random_seed(seed)
        path = folder / study.results / "runs" / RUN.name / file
        save_keras(network.build(filters=3, n_lines=3), path, about_run(study.run_settings(RUN), which))
    shutil.copy(made_up / "desi" / "test_coadd.fits", folder / "coadd-1.fits")
    shutil.copy(made_up / "desi" / "test_weights.h5", folder)
    return folder


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Call the command line in that folder: exit status, output, errors."""
    monkeypatch.chdir(folder)

    def run(*arguments):
        status = cli.main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return run


def test_help_lists_every_command_in_its_group_with_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for title, entries in GROUPS.items():
        block = text.split(f"{title}:\n")[1].split("\n\n")[0]
        assert [line.split()[0] for line in block.splitlines()] == [entry.name for entry in entries]
    assert "Examples:" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", ENTRIES)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: quasarcurves {name} ")
    assert max(map(len, text.splitlines())) <= 120


def test_the_overview_imports_no_package_that_is_slow_to_import():
    program = (
        "import sys\nbefore = set(sys.modules)\nfrom quasarcurves import cli\ncli.main([])\n"
        "names = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)\n"
        "print(sorted(names))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "['quasarcurves']"


def test_help_starts_without_tensorflow():
    program = (
        "import sys\nfrom quasarcurves import cli\n"
        "for arguments in (['--help'], ['predict', '--help']):\n"
        "    try:\n        cli.main(arguments)\n    except SystemExit:\n        pass\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_unknown_arguments_are_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict", "a.fits", "--model", "m.h5", "--out", "o.fits", "--treshold", "1"])
    assert stop.value.code == 2
    assert "unknown arguments: --treshold 1" in capsys.readouterr().err


def test_predict_with_a_run_of_the_study(call, folder):
    status, out, errors = call("predict", "--model", RUN.name, "coadd-1.fits", "--out", "qn.fits")
    assert status == 0, errors
    trained = Trained.load(folder / "results" / "smoke" / "runs" / RUN.name / "model.keras")
    table = Table.read(folder / "qn.fits", hdu=1)
    assert (table.meta["MODEL"], table.meta["MODELID"]) == ("smoke/f0.8_r0/adam final", trained.id)
    assert [name for name in table.colnames if name.startswith("C_")] == ["C_MgII", "C_LYA", "C_BAL_CIV"]
    assert len(table) == 25
    assert out.startswith("qn.fits: 25 spectra, ")
    assert "1 without signal" in out
    # the bar
    assert "25 spectra" in errors
    assert "100%" in errors


def test_probabilities_of_a_run_are_those_of_its_study_and_go_with_an_export(call, folder):
    """Before the study has measured its calibration, that is said."""
    arguments = ("predict", "--calibrated", "coadd-1.fits", "--overwrite")
    status, _, errors = call(*arguments, "--model", RUN.name, "--out", "run.fits")
    assert status == 1 and "calibration.json: no such file; the study makes it" in errors
    file = folder / "results" / "smoke" / "calibration.json"
    scaling = {"slope": 0.5, "offset": 1.0, "n": 60, "quasars": 30}
    file.write_text(json.dumps({RUN.name: {"final": {"1": scaling, "2": None}, "best": {"1": None, "2": None}}}))
    try:
        assert call(*arguments, "--model", RUN.name, "--out", "run.fits")[0] == 0
        assert call("export", RUN.name, "--quasarnp", "scaled.h5", "--overwrite")[0] == 0
        assert call(*arguments, "--model", "scaled.h5", "--out", "file.fits")[0] == 0
        status, _, errors = call(*arguments, "--model", RUN.name, "--n-detect", "2", "--out", "two.fits")
        assert status == 1 and "not calibrated for 2 lines (for 1)" in errors
    finally:
        file.unlink()
    tables = [Table.read(folder / name, hdu=1) for name in ("run.fits", "file.fits")]
    assert tables[0].meta["CALSLOPE"] == 0.5
    np.testing.assert_array_equal(tables[0]["P_QSO"], tables[1]["P_QSO"])


def test_predict_with_the_best_model_of_a_run(call, folder):
    assert call("predict", "--model", RUN.name, "--weights", "best", "coadd-1.fits", "--out", "best.fits")[0] == 0
    assert Table.read(folder / "best.fits", hdu=1).meta["MODEL"] == "smoke/f0.8_r0/adam best"


def test_predict_draws_the_errors_that_a_catalogue_knows(call, folder, monkeypatch):
    monkeypatch.setattr("quasarcurves.figures.style.save", lambda figure, paths: [path.touch() for path in paths])
    rows = [(i, 2.5 if i % 2 else 0.0, "QSO" if i % 2 else "STAR") for i in range(20)]
    write_csv(folder / "zcat.csv", ["TARGETID", "Z", "SPECTYPE"], rows)
    status, out, errors = call(
        "predict", "--model", RUN.name, "coadd-1.fits", "--out", "known.fits", "--catalogue", "zcat.csv"
    )
    assert status == 0, errors
    assert "19 of them are in the catalogue and have a signal" in out
    assert "quasars missed" in out
    assert (folder / "known_gallery" / "overview.png").is_file()


def test_predict_with_a_file_and_a_spectrum_of_sdss(call, survey, tmp_path):
    """A quasar at the redshift that the catalogue has."""
    spectrum, weights = survey / "sdss_spec" / "spec-3655-55240-0026.fits.gz", survey / "desi" / "test_weights.h5"
    with (survey / "sdss_spec" / "catalogue.csv").open() as file:
        z = next(float(row["z"]) for row in csv.DictReader(file) if row["file"] == spectrum.name)
    assert z > 2
    options = ["--threshold", 0.8, "--n-detect", 2, "--out", tmp_path / "qn.fits"]
    status, _, errors = call("predict", "--model", weights, spectrum, *options)
    assert status == 0, errors
    table = Table.read(tmp_path / "qn.fits", hdu=1)
    assert table["TARGETID"].tolist() == [3655_55240_0026]
    assert table["IS_QSO"].tolist() == [True]
    assert abs(table["ZBEST"][0] - z) < 0.02 * (1 + z)
    assert (table.meta["THRESH"], table.meta["NDETECT"], table.meta["SOURCE"]) == (0.8, 2, "sdss")


def test_export_and_import_bring_a_run_there_and_back(call, folder, tmp_path):
    status, out, errors = call("export", RUN.name, "--quasarnp", tmp_path / "weights.h5")
    assert status == 0
    run = folder / "results" / "smoke" / "runs" / RUN.name
    original = Trained.load(run / "model.keras")
    assert original.id in out
    assert "QuasarNP and desispec take a network to have other lines" in errors
    with h5py.File(tmp_path / "weights.h5") as file:
        assert "fc_box_2" in file["model_weights"]
    assert call("import", tmp_path / "weights.h5", tmp_path / "again.keras")[0] == 0
    again = Trained.load(tmp_path / "again.keras")
    assert (again.id, again.name, list(again.lines)) == (original.id, original.name, ["MgII(2796)", "LYA"])
    call("export", RUN.name, "--model", "best", "--quasarnp", tmp_path / "best.h5")
    assert Trained.load(tmp_path / "best.h5").id == Trained.load(run / "best.keras").id != original.id


def test_import_of_a_network_of_keras_2(call, tmp_path, survey):
    weights = survey / "desi" / "test_weights.h5"
    status, _, errors = call("import", weights, tmp_path / "desi.keras")
    assert (status, errors) == (0, "")
    x = np.load(survey / "desi" / "coadd_x.npy")
    first, again = (Trained.load(path).apply(x) for path in (weights, tmp_path / "desi.keras"))
    np.testing.assert_array_equal(again.z_line, first.z_line)
    status, _, errors = call("export", tmp_path / "desi.keras", "--quasarnp", tmp_path / "again.h5")
    assert (status, errors) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["predict", "--model", "f0.2_r0/adam", "coadd-1.fits", "--out", "o.fits"],
            "error: f0.2_r0/adam: no file, and no results/smoke/runs/f0.2_r0/adam/model.keras; "
            "there are models of f0.8_r0/adam",
        ),
        (
            ["predict", "--model", "weights.h5", "--configfile", "no.yaml", "coadd-1.fits", "--out", "o.fits"],
            "error: weights.h5: no such file, and no study no.yaml that it could be a run of",
        ),
        (
            ["predict", "--model", "config.yaml", "coadd-1.fits", "--out", "o.fits"],
            "error: config.yaml: neither a Keras file (.keras) nor one of QuasarNP (.h5)",
        ),
        (
            ["predict", "--model", "test_weights.h5", "none-*.fits", "--out", "o.fits"],
            "error: data.spectra: no file matches none-*.fits",
        ),
        (
            ["predict", "--model", "test_weights.h5", "coadd-1.fits", "--source", "sdss", "--out", "o.fits"],
            "error: coadd-1.fits: its second HDU is no table, expected one with FLUX, LOGLAM, IVAR, AND_MASK",
        ),
        (
            ["predict", "--model", "test_weights.h5", "coadd-1.fits", "--threshold", "1.5", "--out", "o.fits"],
            "error: --threshold 1.5 --n-detect 1: expected 0 to 1, and 1 or more",
        ),
        (
            ["export", RUN.name, "--quasarnp", "a.keras"],
            "error: a.keras: expected a name that ends in .h5 or .hdf5",
        ),
        (["gallery", RUN.name], "error: results/smoke/runs/f0.8_r0/adam/predictions.h5: no such file; there are"),
        (["gallery", RUN.name, "--n", "0"], "error: --n 0: expected 1 to 100"),
        (["import", "test_weights.h5", "a.h5"], "error: a.h5: expected a name that ends in .keras"),
        (
            ["import", "coadd-1.fits", "a.keras"],
            "error: coadd-1.fits: neither a Keras file (.keras) nor one of QuasarNP",
        ),
    ],
)
def test_mistakes_end_in_one_line(call, folder, arguments, message):
    status, out, errors = call(*arguments)
    assert (status, out) == (1, "")
    assert errors.strip().startswith(message)
    assert len(errors.strip().splitlines()) == 1
    assert not (folder / "o.fits").exists()
