"""Versions of training spectra: what is planted moves as said, and each epoch draws one of each spectrum."""

import copy
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from quasarcurves.quasarnet.augmentation import varied
from quasarcurves.quasarnet.examples import load_examples, load_varied
from quasarcurves.quasarnet.settings import Augment, NetworkSettings
from quasarcurves.quasarnet.task import QuasarNet
from quasarcurves.spectra.grid import LOGARITHMIC
from quasarcurves.spectra.prepare import prepare
from quasarcurves.spectra.subsets import Subset
from quasarcurves.steps.build import build_trainer
from quasarcurves.study import Run, Study
from quasarcurves.study.schema import StudyError

ROOT = Path(__file__).parents[3]
LYA = 1215.67
AUGMENT = {"copies": 3, "noise": 0.4, "mask": 0.1, "shift": 4}


@pytest.fixture
def config():
    config = yaml.safe_load((ROOT / "workflow/studies/smoke.yaml").read_text())
    config["data"]["n_spectra"] = 60
    config["network"] = {"filters": 4, "augment": dict(AUGMENT)}
    config["optimizers"]["amsgrad"]["as_read"] = True
    return config


@pytest.fixture(scope="module")
def spectra(tmp_path_factory):
    path = tmp_path_factory.mktemp("spectra") / "spectra.h5"
    prepare({"source": "simulated", "n_spectra": 60, "seed": 5}, path)
    return path


def of_network(**augment) -> NetworkSettings:
    lines = {"lines": ["LYA", "CIV(1548)"], "bal_lines": ["CIV(1548)"]}
    return NetworkSettings.from_json({"filters": 4, "layers": 4, "boxes": 13, **lines, "augment": augment})


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(2.2, 6.0), st.integers(1, 40))
def test_a_line_moves_with_its_redshift(seed, z, shift):
    flux = np.zeros((50, LOGARITHMIC.n), np.float32)
    z = np.full(50, z)
    place = LOGARITHMIC.bin_index(LYA * (1 + z))
    flux[np.arange(50), place] = 1
    changed, moved = varied(flux, z, Augment(2, shift=shift), LOGARITHMIC.step, np.random.default_rng(seed))
    there = LOGARITHMIC.bin_index(LYA * (1 + moved) * (1 + 1e-9))
    seen = (there >= 0) & (there < LOGARITHMIC.n)
    # the redshift lies anywhere in its bin, so a rounding may put it into the next one
    assert np.all(np.abs(changed[seen].argmax(axis=1) - there[seen]) <= 1)
    assert np.all(np.abs(there - place) <= shift + 1)
    assert not changed[~seen].any()
    assert len(np.unique(there)) > 1


def test_noise_is_of_a_level_of_its_own_and_keeps_the_size_of_the_flux():
    flux = np.random.default_rng(0).normal(size=(400, 443)).astype(np.float32)
    flux[:, :40] = 0
    changed, z = varied(flux, np.ones(400), Augment(2, noise=2.0), 1e-3, np.random.default_rng(1))
    assert not changed[:, :40].any()
    np.testing.assert_allclose((changed[:, 40:] ** 2).mean(), 1, atol=0.02)
    # of flux that keeps a share c, noise has the standard deviation sqrt(1/c^2 - 1): even from 0 to 2
    share = (changed * flux)[:, 40:].mean(axis=1) / (flux[:, 40:] ** 2).mean(axis=1)
    level = np.sqrt(np.maximum(1 / share**2 - 1, 0))
    np.testing.assert_allclose(np.quantile(level, [0.25, 0.5, 0.75]), [0.5, 1, 1.5], atol=0.2)
    np.testing.assert_array_equal(z, 1)


def test_a_gap_is_one_and_no_wider_than_said():
    changed, _ = varied(
        np.ones((500, 443), np.float32), np.ones(500), Augment(2, mask=0.2), 1e-3, np.random.default_rng(2)
    )
    zero = changed == 0
    assert zero.mean(axis=1).max() <= 0.2 + 1 / 443
    assert zero.mean() == pytest.approx(0.1, abs=0.01)
    edges = np.abs(np.diff(np.pad(zero, [(0, 0), (1, 1)]).astype(int), axis=1)).sum(axis=1)
    assert set(edges) <= {0, 2}
    # anywhere: at both ends of the spectrum as well
    assert np.ptp(zero.mean(axis=0)[30:-30]) < 0.12


def test_the_first_version_is_what_was_read_and_targets_move_with_spectra(spectra):
    rows = np.arange(40)
    read = load_examples(spectra, rows, of_network(**AUGMENT))
    found = load_varied(spectra, rows, of_network(**AUGMENT), seed=1)
    for one, all_ in zip(read, found, strict=True):
        assert len(all_) == 120
        np.testing.assert_array_equal(one, all_[:40])
    assert not np.array_equal(found[0][40:80], found[0][80:])
    again = load_varied(spectra, rows, of_network(**AUGMENT), seed=1)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
    # box and offset tell where a line is, in boxes of 443/13 bins: a shift moves it by whole bins
    box, offset, weight = (array[:, 0].reshape(3, 40) for array in found[1:])
    seen = np.all((weight > 0) & (box >= 0), axis=0)
    place = (box + offset) * LOGARITHMIC.n / 13
    moved = (place[1:] - place[0])[:, seen]
    assert np.abs(moved).max() <= 4.01
    np.testing.assert_allclose(moved, moved.round(), atol=2e-3)
    assert len(np.unique(moved.round())) > 4


def test_each_epoch_draws_one_version_of_each_spectrum(config, spectra):
    study = Study.from_config(config)
    rows = Subset(np.arange(5, 45, dtype=np.uint32), np.arange(5, dtype=np.uint32), np.arange(45, 60, dtype=np.uint32))
    trainer = build_trainer(spectra, rows, study.run_settings(Run(0.8, 0, "adam")))
    assert len(trainer.data[0]) == 3 * 40
    epochs = np.array([trainer.plan.order(epoch) for epoch in range(300)])
    for epoch in epochs[:5]:
        np.testing.assert_array_equal(np.sort(epoch % 40), np.arange(40))
    np.testing.assert_allclose(np.bincount(epochs.ravel() // 40) / epochs.size, 1 / 3, atol=0.01)
    np.testing.assert_array_equal(trainer.plan.order(7), epochs[7])


def test_without_it_runs_are_those_of_a_study_without(config, spectra):
    plain = copy.deepcopy(config)
    del plain["network"]["augment"], plain["optimizers"]["amsgrad"]["as_read"]
    run = Run(0.8, 0, "amsgrad")
    one, other = Study.from_config(config), Study.from_config(plain)
    assert one.run_params(run) == other.run_params(run)
    assert one.training_modules(run) == other.training_modules(run)
    assert one.training_modules(Run(0.8, 0, "adam")) != other.training_modules(Run(0.8, 0, "adam"))
    assert QuasarNet(NetworkSettings.from_json(one.network_of("amsgrad"))).versions == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["network"].update(grid="linear"), "network.augment.shift: expected the logarithmic grid"),
        (lambda c: c["network"].pop("augment"), "optimizers.amsgrad.as_read: expected network.augment"),
        (lambda c: c.update(diagnosis={"replays": {}}), "network.augment: expected no diagnosis.replays"),
        (lambda c: c["network"].update(augment={"copies": 2}), "network.augment"),
        (lambda c: c["network"]["augment"].update(copies=1), "network.augment.copies"),
        (lambda c: c["network"]["augment"].update(shift=1.5), "network.augment.shift"),
    ],
)
def test_what_makes_no_sense_is_refused(config, change, words):
    change(config)
    with pytest.raises((StudyError, ValueError), match=words):
        Study.from_config(config)
