"""`snakemake --sdm apptainer`: the steps of a study run in the image, as one file, as on clusters without Docker."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from containers import IMAGE, ROOT, checked, run

from quasarcurves.training.history import History

pytestmark = pytest.mark.image

VARIABLE = "QUASARCURVES_IMAGE"


@pytest.fixture(scope="module")
def apptainer(image) -> Path:
    """Give the folder of the program: the machine's own, else Debian sid's, unpacked."""
    found = shutil.which("apptainer")
    if found:
        return Path(found).parent
    prefix = image.containers.folder.parent / "apptainer"
    result = run("sh", ROOT / "tests" / "image" / "apptainer.sh", prefix, timeout=600)
    if result.returncode:
        pytest.skip(f"no apptainer, and none to be had of Debian sid: {result.stdout.strip()[-300:]}")
    return prefix / "usr" / "bin"


@pytest.fixture(scope="module")
def environment(apptainer, tmp_path_factory) -> dict[str, str]:
    scratch = tmp_path_factory.mktemp("apptainer")
    folders = {"APPTAINER_CACHEDIR": str(scratch), "APPTAINER_TMPDIR": str(scratch)}
    return {**os.environ, **folders, "PATH": f"{apptainer}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def sif(image, environment, tmp_path_factory) -> Path:
    """Give the image as one file."""
    folder = tmp_path_factory.mktemp("sif")
    archive, path = folder / "quasarcurves.tar", folder / "quasarcurves.sif"
    saved = image.containers.podman("save", "--quiet", "--output", archive, IMAGE, timeout=1800)
    assert saved.returncode == 0, saved.stdout
    quick = ("--mksquashfs-args", "-comp zstd -Xcompression-level 1")
    checked("apptainer", "build", *quick, path, f"docker-archive:{archive}", env=environment, timeout=1800)
    archive.unlink()
    print(f"{path.stat().st_size / 1e6:.0f} MB as one file")
    return path


def snakemake(folder: Path, environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess:
    command = (sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "2")
    return run(*command, "--configfile", folder / "study.yaml", *arguments, cwd=folder, env=environment, timeout=1800)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Give a folder with a study of one training."""
    folder = tmp_path_factory.mktemp("study")
    config = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
    config["subsets"]["fractions"] = [0.2]
    del config["optimizers"]["amsgrad"]
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def trained(sif, environment, folder) -> str:
    """Train in the container; give Snakemake's output."""
    bind = f"--bind {ROOT}"  # the clone: here it does not lie in the folder that the study runs in
    result = snakemake(
        folder, {**environment, VARIABLE: str(sif)}, "--sdm", "apptainer", "--apptainer-args", bind, "--until", "train"
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_a_training_runs_in_the_image(trained, folder):
    assert "Activating singularity image" in trained or "Activating apptainer image" in trained
    history = History.load(folder / "results" / "smoke" / "runs" / "f0.2_r0" / "adam" / "history.h5")
    assert len(history.epochs["loss"]) == 60
    assert np.isfinite(history.steps["loss"]).all()


def test_its_python_is_that_of_the_image(sif, environment):
    result = run("apptainer", "exec", sif, "python", "-c", "import sys; print(sys.prefix)", env=environment)
    assert result.stdout.splitlines()[-1] == "/opt/venv"


def test_another_image_reruns_nothing(trained, folder, environment, tmp_path):
    other = {**environment, VARIABLE: str(tmp_path / "other.sif")}
    (tmp_path / "other.sif").write_text("")
    ask, sdm = ("-n", "--until", "train"), ("--sdm", "apptainer")
    for variables, arguments in ((other, sdm), (other, ()), (environment, ())):
        result = snakemake(folder, variables, *ask, *arguments)
        assert re.search(r"^total +0$", result.stdout, re.MULTILINE), result.stdout
    # that is due to the profile
    result = snakemake(folder, other, *ask, *sdm, "--rerun-triggers", "software-env")
    assert re.search(r"^train +1$", result.stdout, re.MULTILINE), result.stdout
