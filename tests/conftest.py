"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[1] / ".." / "shared" / "reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the reference spectra: QUASARCURVES_REFERENCE, else ../shared/reference."""
    folder = Path(os.environ.get("QUASARCURVES_REFERENCE", _DEFAULT)).resolve()
    if not (folder / "README.md").is_file():
        pytest.fail(f"no reference spectra in {folder}: set QUASARCURVES_REFERENCE to their folder", pytrace=False)
    return folder
