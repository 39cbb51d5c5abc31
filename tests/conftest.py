"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[1] / ".." / "shared" / "reference"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread tests over processes such that what is costly to set up is set up once: by file, or as a mark says."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the reference spectra: QUASARCURVES_REFERENCE, else ../shared/reference."""
    folder = Path(os.environ.get("QUASARCURVES_REFERENCE", _DEFAULT)).resolve()
    if not (folder / "README.md").is_file():
        pytest.fail(f"no reference spectra in {folder}: set QUASARCURVES_REFERENCE to their folder", pytrace=False)
    return folder
