"""What does not show with few spectra: memory and reading that grow with a survey's size, at a tenth of one."""

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

N, N_FEW = 60_000, 6_000
FLUX_BYTES = 4 * 443


@pytest.fixture(scope="module")
def survey():
    """The benchmark, whose steps are measured here as well."""
    path = Path(__file__).parents[2] / "benchmarks" / "survey.py"
    spec = spec_from_file_location("survey", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def prepared(survey, tmp_path_factory):
    """A folder with prepared spectra, and the peak memory of preparing them; of few and many spectra."""
    found = []
    for n in (N_FEW, N):
        folder = tmp_path_factory.mktemp(str(n))
        survey.write_pair(folder, n)
        found.append((folder, 1e6 * survey.measured("prepare", folder)["peak_mb"]))
        (folder / "data.fits").unlink()
    yield found
    for folder, _ in found:
        (folder / "spectra.h5").unlink()


def test_memory_of_preparing_grows_with_the_columns_alone(prepared):
    (_, few), (_, many) = prepared
    # all that is read of the truth and written beside the flux are some 150 bytes per spectrum
    assert many - few < 0.3 * (N - N_FEW) * FLUX_BYTES


CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import survey
from quasarcurves.steps.build import build_trainer
from quasarcurves.spectra.subsets import Subset
from quasarcurves.spectra.table import load_column

n, none = len(load_column("spectra.h5", "z")), np.empty(0, np.uint32)
rng = np.random.default_rng(1)

def build(share):
    # in the order of the file, as subsets are
    rows = np.sort(rng.choice(n, int(share * n), replace=False)).astype(np.uint32)
    return len(rows), build_trainer("spectra.h5", Subset(rows, none, none), survey.RUN)

def measure(share):
    memory, read = survey.resident_mb("VmRSS"), survey.reading()["rchar"]
    rows, trainer = build(share)
    return rows, survey.reading()["rchar"] - read, survey.resident_mb("VmHWM") - memory

# what is imported and made only once does not count
build(0.001)
print(json.dumps([measure(0.01), measure(0.9)]))
"""


@pytest.fixture(scope="module")
def trainings(survey, prepared):
    """Of trainings of a hundredth and of most of the spectra: megabytes of their spectra, read, and held at most."""
    command = [sys.executable, "-c", CHILD, str(Path(survey.__file__).parent)]
    done = subprocess.run(command, cwd=prepared[1][0], check=True, capture_output=True, text=True)
    return [(rows * FLUX_BYTES / 1e6, *others) for rows, *others in json.loads(done.stdout.splitlines()[-1])]


def test_most_of_the_spectra_are_held_once(trainings):
    subset, requested, held = trainings[1]
    assert subset > 90
    assert 1 < requested / subset < 1.1
    assert 1 < held / subset < 1.3


def test_a_hundredth_of_the_spectra_is_all_that_is_read(trainings):
    subset, requested, held = trainings[0]
    assert 1 < requested / subset < 2
    # nothing is held of the others, which are 106 MB
    assert held < 20
