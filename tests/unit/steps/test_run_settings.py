"""Settings of a run: what crosses a command line and is stored, and the key of training states made from it."""

import json
from copy import deepcopy

import pytest

from quasarcurves.steps.training import state_key
from quasarcurves.training.run_settings import RunSettings

PARAMS = {
    "study": "s",
    "seed": 3,
    "fraction": 0.5,
    "replicate": 1,
    "optimizer": "held",
    "optimizer_spec": {"class": "Adam", "match": "amsgrad"},
    "matched_spec": {"amsgrad": True, "class": "Adam"},
    "network": {
        "bal_lines": ["CIV(1548)"],
        "boxes": 13,
        "dropout": 0,
        "filters": 8,
        "layers": 4,
        "lines": ["LYA", "Hbeta"],
    },
    "training": {
        "steps": 700,
        "batch_size": 16,
        "last_batch": "drop",
        "validate_every": 10,
        "backend": "tensorflow",
        "precision": "float32",
        "pack": False,
    },
    "diagnosis": {"curvature_every": 50, "probe_size": 16, "batches": 8},
    "snapshots": {"keep": 3, "window": 51, "settled": 50, "course": 1.1, "high": 3.0},
}


def key(**changes):
    params = deepcopy(PARAMS) | changes
    return state_key(RunSettings.from_json(params), ["a", "b"], "code")


@pytest.mark.parametrize("without", [(), ("matched_spec",), ("diagnosis", "snapshots")])
def test_nothing_is_lost_as_json(without):
    params = {name: value for name, value in PARAMS.items() if name not in without}
    assert json.loads(json.dumps(RunSettings.from_json(params).to_json())) == params


def test_states_of_earlier_versions_have_the_same_key():
    """A new key makes every training start anew: where the curvature is measured, that was due with its batches."""
    assert key() == "8eb37f8b073806e7"
    schedule = {"class": "Adam", "learning_rate": 0.1, "schedule": {"class": "CosineDecay"}}
    assert key(optimizer_spec=schedule) == "4d6af13c5352f8fd"


def test_states_fit_whatever_the_length_unless_the_schedule_depends_on_it():
    longer = PARAMS["training"] | {"steps": 900}
    assert key(training=longer) == key()
    schedule = {"class": "Adam", "learning_rate": 0.1, "schedule": {"class": "CosineDecay"}}
    assert key(optimizer_spec=schedule, training=longer) != key(optimizer_spec=schedule)


@pytest.mark.parametrize(
    "changes", [{"seed": 4}, {"replicate": 2}, {"training": PARAMS["training"] | {"batch_size": 8}}]
)
def test_states_of_other_runs_do_not_fit(changes):
    assert key(**changes) != key()


def test_names_do_not_matter():
    assert key(study="other", fraction=0.25, optimizer="renamed") == key()


def test_files_that_hold_settings_stay_the_same_to_the_byte():
    """Keys stand in one order: predictions.h5 holds them as text, and tables hold its hash."""
    values = RunSettings.from_json(PARAMS).to_json()
    for block in ("network", "training"):
        assert json.dumps(values[block]) == json.dumps(PARAMS[block])
