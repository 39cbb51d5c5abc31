"""A study of one class alone is told so before it is trained: quasars cannot be told from others."""

import numpy as np
import pytest

from quasarcurves.quasarnet import declared
from quasarcurves.spectra import Spectra
from quasarcurves.spectra.table import GALAXY, QSO_HIGH, QSO_LOW, STAR
from quasarcurves.study import Study, limits


def study():
    config = {
        "study": {"name": "s"},
        "data": {"source": "simulated", "n_spectra": 1280},
        "subsets": {"fractions": [0.5]},
        "training": {"epochs": 100},
        "optimizers": {"adam": {"class": "Adam"}},
    }
    return Study.from_config(config)


@pytest.mark.parametrize(("labels", "words"), [([QSO_HIGH] * 4, "all of them are quasars"),
                                               ([STAR, GALAXY], "all of them are no quasars"),
                                               ([STAR, QSO_LOW], "")])  # fmt: skip
@pytest.mark.parametrize("prepared", [True, False])
def test_one_class_is_told_before_and_after_spectra_are_prepared(tmp_path, monkeypatch, labels, words, prepared):
    monkeypatch.chdir(tmp_path)
    spectra = spectra_of(labels)
    of = study()
    monkeypatch.setattr(declared.sources, "read_chunks", lambda data: iter([spectra]))
    if prepared:
        spectra.save(of.results / "data" / "spectra.h5")
    assert declared.only_class(of.prepared, of.data) == words


def test_no_more_of_a_source_is_read_than_is_needed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    many = spectra_of([QSO_HIGH] * 4096)
    monkeypatch.setattr(declared.sources, "read_chunks", lambda data: iter([many, many, pytest.fail]))
    assert declared.only_class(study().prepared, study().data) == "the first 8,192 spectra are quasars"


def spectra_of(labels):
    n = len(labels)
    return Spectra(np.zeros((n, 443)), np.ones(n), labels, np.zeros(n), np.arange(n), np.ones(n))


def test_a_damaged_file_of_spectra_is_left_to_the_steps_that_read_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = study().results / "data" / "spectra.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no HDF5")
    assert declared.only_class(study().prepared, study().data) == ""


def test_the_study_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "quasars from others" not in limits.warning(study(), 1280)
    monkeypatch.setattr(declared.sources, "read_chunks", lambda data: iter([spectra_of([STAR] * 4)]))
    assert "quasars from others, as all of them are no quasars" in limits.warning(study(), 1280)
