"""Study: what is refused and how it is said, what does not matter in its writing, and what it gives to the steps."""

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from quasarcurves.quasarnet.declared import with_sources
from quasarcurves.spectra import sources
from quasarcurves.study import Run, Study
from quasarcurves.study.schema import StudyError
from quasarcurves.study.study import SCHEMA
from quasarcurves.training import optimizer_specs

ROOT = Path(__file__).parents[3]

BASE = {
    "study": {"name": "test", "seed": 3, "replicates": 2},
    "data": {"source": "simulated", "n_spectra": 400},
    "subsets": {"test_fraction": 0.15, "validation_fraction": 0.05, "fractions": [0.4, 0.1], "scheme": "nested"},
    "network": {"filters": 8, "lines": ["LYA", "CIV(1548)"], "bal_lines": []},
    "training": {"epochs": 5, "batch_size": 32},
    "optimizers": {
        "adam": {"class": "Adam", "learning_rate": 0.001},
        "decayed": {"class": "SGD", "learning_rate": 0.1, "schedule": {"class": "CosineDecay", "alpha": 0.25}},
    },
}

TRUTH = {"THING_ID": "K", "Z_VI": "D", "CLASS_PERSON": "I", "Z_CONF_PERSON": "I", "BAL_FLAG_VI": "D", "BI_CIV": "D"}


def changed(**changes):
    """The base configuration with other values at places written as `block__key`."""
    config = deepcopy(BASE)
    for place, value in changes.items():
        *blocks, key = place.split("__")
        target = config
        for block in blocks:
            target = target[block]
        target[key] = value
    return config


def refusal(config):
    with pytest.raises(StudyError) as caught:
        Study.from_config(config)
    return str(caught.value)


def assert_one_message(message, *parts):
    assert "\n" not in message
    assert len(message) < 400
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"trainin": {}}, ["unknown key 'trainin'", "did you mean 'training'?"]),
        ({"training__epoch": 5}, ["training:", "unknown key 'epoch'", "did you mean 'epochs'?"]),
        ({"network__filter": 5}, ["network:", "unknown key 'filter'", "did you mean 'filters'?"]),
        ({"subsets__fraction": [0.1]}, ["subsets:", "'fraction'", "did you mean 'fractions'?"]),
        ({"data__n_spectr": 5}, ["data:", "unknown key 'n_spectr'", "did you mean 'n_spectra'?"]),
        ({"learning_curve": {"targets": {"crossing": 1.2}}}, ["learning_curve.targets.crossing", "1.2", "below 1"]),
        ({"learning_curve": {"cost_per_spectrum": 1}}, ["learning_curve: the key 'penalty' is missing"]),
        ({"learning_curve": {"penalty": 1}}, ["learning_curve: the key 'cost_per_spectrum' is missing"]),
        ({"learning_curve": {"rounds": 2}}, ["learning_curve: the key 'cost_per_spectrum' is missing"]),
        (
            {"learning_curve": {"cost_per_spectrum": 0, "penalty": 1}},
            ["learning_curve.cost_per_spectrum is 0, expected above 0"],
        ),
        (
            {"learning_curve": {"cost_per_spectrum": 1, "penalty": 1, "rounds": 0}},
            ["learning_curve.rounds is 0, expected at least 1"],
        ),
        ({"learning_curve": {"targets": {"los": 1}}}, ["learning_curve.targets:", "'los'", "expected one of"]),
        ({"training__epochs": "many"}, ["training.epochs", "'many'", "expected integer"]),
        ({"training__epochs": 1.5}, ["training.epochs", "1.5", "expected integer"]),
        ({"training__batch_size": True}, ["training.batch_size", "True", "expected integer"]),
        ({"training__last_batch": "keeep"}, ["training.last_batch", "'keeep'", "did you mean 'keep'?"]),
        ({"network__filters": None}, ["network.filters", "None", "expected integer"]),
        ({"data__source": "simulatd"}, ["data.source", "'simulatd'", "did you mean 'simulated'?"]),
        ({"study": None}, ["study", "None", "expected object"]),
        ({"subsets__fractions": 0.4}, ["subsets.fractions", "0.4", "expected array"]),
        ({"subsets__fractions": ["half"]}, ["subsets.fractions.0", "'half'", "expected number"]),
        ({"subsets__fractions": [0.4, 0]}, ["subsets.fractions.1", "is 0", "expected above 0"]),
        ({"subsets__fractions": [-0.1]}, ["subsets.fractions.0", "-0.1", "expected above 0"]),
        ({"subsets__fractions": [1.5]}, ["subsets.fractions.0", "1.5", "expected at most 1"]),
        ({"subsets__fractions": []}, ["subsets.fractions", "empty"]),
        ({"subsets__fractions": [0.4, 0.1, 0.4]}, ["subsets.fractions", "0.4", "twice"]),
        ({"subsets__fractions": [0.4, "4e-1"]}, ["subsets.fractions", "0.4", "twice"]),
        ({"subsets__fractions": [0.85]}, ["subsets.fractions", "0.85", "test_fraction 0.15", "0.05", "leave 0.8 "]),
        ({"subsets__test_fraction": 0}, ["subsets.test_fraction", "is 0", "expected above 0"]),
        ({"network__lines": ["LYB"]}, ["network.lines.0", "'LYB'", "did you mean 'LYA'?"]),
        ({"network__bal_lines": ["xx"]}, ["network.bal_lines.0", "'xx'", "Halpha", "MgII(2796)"]),
        ({"optimizers": {}}, ["optimizers", "empty"]),
        ({"optimizers": {"a b": {"class": "Adam"}}}, ["optimizers", "'a b'", "letters"]),
        ({"optimizers__adam": {"learning_rate": 1}}, ["optimizers.adam", "'class'", "missing"]),
        ({"optimizers__adam__class": "Adamm"}, ["optimizers.adam", "'Adamm'", "did you mean 'Adam'?"]),
        ({"optimizers__adam__class": "Optimizer"}, ["optimizers.adam", "'Optimizer'", "expected one of", "SGD"]),
        ({"optimizers__adam__amsgrd": True}, ["optimizers.adam", "Adam", "'amsgrd'", "did you mean 'amsgrad'?"]),
        ({"optimizers__adam__name": "x"}, ["optimizers.adam", "Adam", "Adam's name is not supported"]),
        ({"optimizers__adam__learning_rate": "fast"}, ["optimizers.adam.learning_rate", "'fast'", "number"]),
        ({"optimizers__adam__learning_rate": 0}, ["optimizers.adam.learning_rate", "is 0", "above 0"]),
        ({"optimizers__adam__learning_rate": -1}, ["optimizers.adam.learning_rate", "-1", "above 0"]),
        ({"optimizers__adam__beta_2": 1}, ["optimizers.adam.beta_2", "is 1", "below 1"]),
        ({"optimizers__adam__amsgrad": "yes"}, ["optimizers.adam.amsgrad", "'yes'", "true or false"]),
        ({"optimizers__adam__schedule": "CosineDecay"}, ["optimizers.adam.schedule", "'CosineDecay'", "object"]),
        (
            {"optimizers__decayed__schedule__class": "CosineDecai"},
            ["optimizers.decayed.schedule", "'CosineDecai'", "did you mean 'CosineDecay'?"],
        ),
        (
            {"optimizers__decayed__schedule__alfa": 1},
            ["optimizers.decayed.schedule", "CosineDecay", "'alfa'", "did you mean 'alpha'?"],
        ),
        (
            {"optimizers__decayed__schedule": {"class": "ExponentialDecay"}},
            ["optimizers.decayed.schedule", "ExponentialDecay", "'decay_rate'"],
        ),
        (
            {"optimizers__decayed": {"class": "SGD", "schedule": {"class": "CosineDecay"}}},
            ["optimizers.decayed.schedule", "CosineDecay", "'initial_learning_rate'"],
        ),
        ({"optimizers__decayed__schedule": {"alpha": 0.1}}, ["optimizers.decayed.schedule", "'class'"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_fault_is_refused_with_key_finding_and_expectation(changes, parts):
    assert_one_message(refusal(changed(**changes)), *parts)


@pytest.mark.parametrize("share", [0, 1e-4])
def test_the_best_by_a_crossing_point_takes_a_validation_set(share):
    config = changed(subsets__validation_fraction=share, training__best="crossing")
    assert_one_message(refusal(config), "training.best", "'crossing'", f"{share:g}", "validation set")
    Study.from_config(changed(subsets__validation_fraction=share))
    study = Study.from_config(changed(training__best="crossing"))
    assert study.run_params(study.runs[0])["training"]["best"] == "crossing"


def test_a_study_without_a_data_source_is_told_only_that():
    config = changed()
    del config["data"]["source"]
    assert_one_message(refusal(config), "data", "'source'", "missing")


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizers__adam__clipnorm": "strong"},
        {"optimizers__adam__global_clipnorm": -1},
        {"optimizers__adam__weight_decay": "some"},
        {"optimizers__decayed__schedule__decay_steps": "many"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_wrong_value_of_an_argument_without_a_default_is_refused(changes):
    (place, found), *_ = changes.items()
    assert_one_message(refusal(changed(**changes)), place.replace("__", "."), repr(found), "number")


def test_two_kinds_of_clipping_at_once_are_refused():
    config = changed(optimizers__adam__clipnorm=1, optimizers__adam__global_clipnorm=1)
    assert_one_message(refusal(config), "optimizers.adam", "clipnorm", "global_clipnorm")


@pytest.mark.parametrize(
    ("place", "name"),
    [("subsets__fractions", "subsets.fractions.0"), ("optimizers__adam__learning_rate", "adam.learning_rate")],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused(place, name, value):
    written = [value] if place.endswith("fractions") else value
    assert_one_message(refusal(changed(**{place: written})), name, str(value))


def test_independent_replicates_fit_or_are_refused():
    fitting = changed(subsets__scheme="independent", study__replicates=2)
    assert len(Study.from_config(fitting).runs) == 8
    message = refusal(changed(subsets__scheme="independent", study__replicates=3))
    assert_one_message(message, "subsets.fractions", "3 independent replicates of 0.4", "leave 0.8 ")
    assert len(Study.from_config(changed(subsets__scheme="nested", study__replicates=3)).runs) == 12


def test_all_that_is_left_by_test_and_validation_may_be_trained_on():
    assert Study.from_config(changed(subsets__fractions=[0.8])).fractions == [0.8]


def test_several_faults_are_all_named():
    lines = refusal(changed(training={"epochs": 0, "batchsize": 3})).splitlines()
    assert len(lines) == 2
    assert any("'batchsize'" in line and "'batch_size'" in line for line in lines)
    assert any("training.epochs is 0" in line for line in lines)


def write_pair(folder, leave_out=()):
    """QuasarNET's pair of files with two spectra, and the `data` block that names them."""
    ids = fits.BinTableHDU.from_columns([fits.Column("TARGETID", "K", array=np.array([1, 2]))])
    image = fits.PrimaryHDU(np.ones((2, 886), np.float32))
    fits.HDUList([image, ids]).writeto(folder / "data.fits")
    columns = [fits.Column(name, kind, array=np.ones(2)) for name, kind in TRUTH.items() if name not in leave_out]
    table = fits.BinTableHDU.from_columns(columns)
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "truth.fits")
    paths = {"spectra": [str(folder / "data.fits")], "truth": [str(folder / "truth.fits")]}
    return {"source": "quasarnet_fits", **paths}


def test_data_files_are_accepted_and_listed(tmp_path):
    study = Study.from_config(changed(data=write_pair(tmp_path)))
    assert study.data_files() == [tmp_path / "data.fits", tmp_path / "truth.fits"]
    assert Study.from_config(BASE).data_files() == []


@pytest.mark.parametrize("key", ["spectra", "truth"])
def test_a_missing_data_file_is_named(tmp_path, key):
    data = write_pair(tmp_path) | {key: [str(tmp_path / "absent.fits")]}
    assert_one_message(refusal(changed(data=data)), f"data.{key}", str(tmp_path / "absent.fits"), "no such file")


@pytest.mark.parametrize("column", ["THING_ID", "Z_VI", "CLASS_PERSON", "Z_CONF_PERSON"])
def test_a_truth_file_without_a_needed_column_is_named(tmp_path, column):
    message = refusal(changed(data=write_pair(tmp_path, leave_out=[column])))
    others = [name for name in TRUTH if name != column]
    assert_one_message(message, str(tmp_path / "truth.fits"), f"column {column} is missing", *others)


def test_columns_that_are_not_needed_may_be_missing(tmp_path):
    Study.from_config(changed(data=write_pair(tmp_path, leave_out=["BAL_FLAG_VI", "BI_CIV"])))


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(list(value))}
    return value


def everything_of(study):
    """All that rules are given of a study, as text."""
    params = [study.run_params(run) for run in study.runs]
    params += [study.subset_params(run.fraction, run.replicate) for run in study.runs]
    return json.dumps([study.config, study.data, params, [run.name for run in study.runs]])


def test_how_a_study_is_written_does_not_matter():
    study = Study.from_config(BASE)
    rewritten = reversed_keys(
        changed(
            study__seed=3.0,
            data__n_spectra="4e2",
            subsets__fractions=["4e-1", 0.10],
            subsets__validation_fraction="5e-2",
            training__batch_size="3.2e1",
            optimizers__adam__learning_rate="1e-3",
            optimizers__decayed__schedule__alpha="25e-2",
        )
    )
    other = Study.from_config(rewritten)
    assert other == study
    assert everything_of(other) == everything_of(study)


def test_a_default_written_out_does_not_matter():
    explicit = changed(network__layers=4, training__last_batch="keep", network__dropout=0.0)
    assert everything_of(Study.from_config(explicit)) == everything_of(Study.from_config(BASE))


def test_another_value_gives_another_study():
    assert Study.from_config(changed(training__epochs=6)) != Study.from_config(BASE)


def test_an_exponent_that_yaml_reads_as_text_is_a_number(tmp_path):
    text = yaml.safe_dump(BASE).replace("learning_rate: 0.001", "learning_rate: 1e-3")
    assert yaml.safe_load(text)["optimizers"]["adam"]["learning_rate"] == "1e-3"
    (tmp_path / "study.yaml").write_text(text)
    study = Study.load(tmp_path / "study.yaml")
    assert study == Study.from_config(BASE)
    assert study.config["optimizers"]["adam"]["learning_rate"] == 0.001


def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    with pytest.raises(StudyError, match=r"list\.yaml: expected a mapping.*found list"):
        Study.load(tmp_path / "list.yaml")


def test_runs_are_every_combination_once_in_order():
    study = Study.from_config(changed(subsets__fractions=[0.1, 0.4]))
    assert study.runs == [
        Run(fraction, replicate, optimizer)
        for fraction in (0.4, 0.1)
        for replicate in (0, 1)
        for optimizer in ("adam", "decayed")
    ]
    assert study.runs[0].name == "f0.4_r0/adam"


def test_params_of_a_run_are_its_own():
    study = Study.from_config(BASE)
    params = study.run_params(Run(0.1, 1, "decayed"))
    assert (params["seed"], params["fraction"], params["replicate"], params["optimizer"]) == (3, 0.1, 1, "decayed")
    assert params["optimizer_spec"] == BASE["optimizers"]["decayed"]
    assert params["network"]["filters"] == 8
    assert params["training"]["epochs"] == 5
    assert study.subset_params(0.1, 1) == {
        "fraction": 0.1,
        "replicate": 1,
        "seed": 3,
        "test_fraction": 0.15,
        "validation_fraction": 0.05,
        "scheme": "nested",
    }


def test_the_simulation_is_seeded_by_the_study_unless_it_has_its_own_seed():
    assert Study.from_config(BASE).data["seed"] == 3
    assert Study.from_config(changed(data__seed=8)).data["seed"] == 8


@pytest.mark.parametrize("name", sorted(optimizer_specs.optimizer_classes()))
def test_every_optimizer_of_keras_is_accepted_and_built(name):
    import keras

    from quasarcurves.training import optimizers
    from quasarcurves.training.optimizers.stable_adamw import StableAdamW

    study = Study.from_config(changed(optimizers={"it": {"class": name, "learning_rate": "2e-3"}}))
    optimizer = optimizers.build(study.config["optimizers"]["it"], total_steps=10)
    assert type(optimizer) is (StableAdamW if name == "StableAdamW" else getattr(keras.optimizers, name))
    assert float(optimizer.learning_rate) == pytest.approx(2e-3)


def test_every_optimizer_class_of_keras_is_known():
    import keras

    public = {
        name
        for name, value in vars(keras.optimizers).items()
        if isinstance(value, type) and issubclass(value, keras.optimizers.Optimizer)
    }
    wrappers = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}
    assert set(optimizer_specs.optimizer_classes()) == public - wrappers | {"StableAdamW"}


STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_ready_studies_load(path, made_up):
    config = yaml.safe_load(path.read_text())
    if "task" not in config and config["data"]["source"] != "simulated":
        # their data are not here: all else must be sound
        config["data"] = {"source": "simulated", "n_spectra": 1000}
    if "start" in config.get("network", {}):
        config["network"]["start"] = str(made_up / "desi" / "test_weights.h5")
    study = Study.from_config(config)
    assert study.runs
    if yaml.safe_load(path.read_text()) == config:
        assert study == Study.load(path)


def test_a_study_is_read_without_tensorflow():
    program = (
        "import sys\n"
        "import quasarcurves.cli\n"
        "from quasarcurves.study import Study\n"
        "Study.load('config.yaml')\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def optimizers_of(**optimizers):
    return {"optimizers": {"amsgrad": {"class": "Adam", "learning_rate": 0.001, "amsgrad": True}, **optimizers}}


@pytest.mark.parametrize(
    ("held", "parts"),
    [
        ({"class": "Adam", "match": "amsgrd"}, ["held.match", "'amsgrd'", "did you mean 'amsgrad'?"]),
        ({"class": "AdamW", "match": "amsgrad"}, ["held", "match is for class Adam"]),
        ({"class": "Adam", "amsgrad": True, "match": "amsgrad"}, ["held", "without amsgrad"]),
        ({"class": "Adam", "match": "held"}, ["held.match", "'held' is itself held to another optimizer"]),
        ({"class": "Adam", "match": "sgd"}, ["held.match", "SGD has no effective step", "RMSprop"]),
        ({"class": "Adam", "match": "amsgrad", "training": {"batch_size": 16}}, ["held.match", "other settings"]),
    ],
)
def test_what_an_effective_step_cannot_be_held_to_is_refused(held, parts):
    assert_one_message(refusal(changed(**optimizers_of(held=held, sgd={"class": "SGD"}))), *parts)


def test_a_matched_run_knows_what_it_is_held_to():
    held = {"class": "Adam", "match": "amsgrad"}
    study = Study.from_config(changed(**optimizers_of(held=held)))
    run = Run(0.4, 1, "held")
    assert study.matched_run(run) == Run(0.4, 1, "amsgrad")
    assert study.matched_run(Run(0.4, 1, "amsgrad")) is None
    params = study.run_params(run)
    assert params["optimizer_spec"] == held
    # whatever makes the other's record another one changes this run as well
    assert params["matched_spec"] == {"class": "Adam", "learning_rate": 0.001, "amsgrad": True}
    assert "matched_spec" not in study.run_params(Run(0.4, 1, "amsgrad"))


def test_an_optimizer_may_be_trained_in_its_own_way():
    own = {"class": "Adam", "training": {"batch_size": 16, "last_batch": "drop", "steps": 700}}
    study = Study.from_config(changed(**optimizers_of(own=own)))
    assert study.run_params(Run(0.4, 0, "own"))["training"] == {
        "steps": 700,
        "batch_size": 16,
        "last_batch": "drop",
        "validate_every": 10,
        "backend": "tensorflow",
        "precision": "float32",
        "pack": False,
    }
    assert study.run_params(Run(0.4, 0, "own"))["optimizer_spec"] == {"class": "Adam"}
    assert study.run_params(Run(0.4, 0, "amsgrad"))["training"]["epochs"] == 5
    assert_one_message(
        refusal(changed(**optimizers_of(own={"class": "Adam", "training": {"batchsize": 16}}))),
        "optimizers.own.training",
        "'batchsize'",
        "did you mean 'batch_size'?",
    )


def test_an_optimizer_may_be_trained_on_some_fractions_alone():
    own = {"class": "Adam", "fractions": ["4e-1"]}
    study = Study.from_config(changed(**optimizers_of(own=own), subsets__fractions=[0.1, 0.4]))
    runs = [(run.fraction, run.replicate) for run in study.runs if run.optimizer == "own"]
    assert runs == [(0.4, 0), (0.4, 1)]
    assert study.fractions_of("amsgrad") == [0.4, 0.1]
    assert len(study.runs) == 2 + 4 * (len(study.optimizers) - 1)
    # which fractions there are changes no run
    assert study.run_params(Run(0.4, 0, "own"))["optimizer_spec"] == {"class": "Adam"}


@pytest.mark.parametrize(
    ("own", "parts"),
    [
        ({"fractions": [0.3]}, ["own.fractions", "0.3 is none of subsets.fractions", "0.4, 0.1"]),
        ({"fractions": []}, ["own.fractions"]),
        ({"match": "amsgrad"}, ["own.fractions", "0.1 is none of the fractions of amsgrad", "expected some of 0.4"]),
    ],
)
def test_fractions_that_an_optimizer_cannot_have_are_refused(own, parts):
    changes = optimizers_of(own={"class": "Adam", **own})
    changes["optimizers__amsgrad__fractions"] = [0.4]
    assert_one_message(refusal(changed(**changes, subsets__fractions=[0.1, 0.4])), *parts)


def test_own_epochs_come_before_the_steps_of_the_study():
    config = changed(**optimizers_of(own={"class": "Adam", "training": {"epochs": 3}}))
    config["training"] = {"steps": 100}
    study = Study.from_config(config)
    assert study.run_params(Run(0.4, 0, "own"))["training"]["epochs"] == 3
    assert study.run_params(Run(0.4, 0, "amsgrad"))["training"]["steps"] == 100


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"training__steps": 100}, "training"),
        (optimizers_of(own={"class": "Adam", "training": {"epochs": 3, "steps": 7}}), "optimizers.own.training"),
    ],
)
def test_two_lengths_of_one_training_are_refused(changes, where):
    assert refusal(changed(**changes)) == f"{where}: epochs and steps are both given, expected one of them"


def test_curvature_is_in_the_parameters_only_where_it_is_measured():
    run = Run(0.4, 0, "adam")
    config = changed(diagnosis={"probe_size": 16})
    assert Study.from_config(config).run_params(run) == Study.from_config(BASE).run_params(run)
    config["diagnosis"] |= {"curvature_every": 50, "snapshots": 0}
    assert Study.from_config(config).run_params(run)["diagnosis"] == {
        "curvature_every": 50,
        "probe_size": 16,
        "batches": 16,
    }


def test_snapshots_are_in_the_parameters_only_where_they_are_taken():
    run = Run(0.4, 0, "adam")
    without = Study.from_config(changed(diagnosis={"snapshots": 0}))
    assert everything_of(without) == everything_of(Study.from_config(BASE))
    assert "snapshots" not in json.dumps(without.run_params(run))
    assert not without.takes_snapshots
    study = Study.from_config(changed(diagnosis={"snapshots": 3}))
    assert study.takes_snapshots
    params = study.run_params(run)
    # what is counted as a tall spike in runs.csv
    assert params.pop("snapshots") == {"keep": 3, "window": 51, "settled": 50, "course": 1.1, "high": 3.0}
    assert params == without.run_params(run)
    assert study.evaluation_params(run) == without.evaluation_params(run)
    assert_one_message(refusal(changed(diagnosis={"snapshots": -1})), "diagnosis.snapshots is -1", "at least 0")


def test_a_backend_that_is_not_installed_is_refused_when_the_study_is_read(monkeypatch):
    monkeypatch.setattr("quasarcurves.study.study.find_spec", lambda name: None if name == "jax" else name)
    Study.from_config(BASE)
    parts = ["training.backend is 'jax'", "not installed", "install.sh jax"]
    assert_one_message(refusal(changed(training__backend="jax")), *parts)


def test_a_pack_holds_all_that_train_as_the_study_says():
    own, held = {"class": "Adam", "training": {"epochs": 3}}, {"class": "Adam", "match": "amsgrad"}
    config = changed(
        training__backend="jax", training__pack=True, **optimizers_of(adam={"class": "Adam"}, own=own, held=held)
    )
    config["study"]["replicates"] = 2
    study = Study.from_config(config)
    assert study.packed == ["adam", "amsgrad"]
    assert study.pack(0.4) == [Run(0.4, replicate, name) for name in study.packed for replicate in range(2)]
    packed = {name: study.run_params(Run(0.4, 0, name))["training"]["pack"] for name in study.optimizers}
    assert packed == {"adam": True, "amsgrad": True, "held": False, "own": False}


def test_nothing_is_packed_unless_the_study_says_so():
    study = Study.from_config(changed(training__backend="jax"))
    assert study.packed == study.pack(0.4) == []


def test_a_pack_needs_jax_and_has_a_largest_size():
    assert_one_message(refusal(changed(training__pack=True)), "training.pack", "'tensorflow'", "expected 'jax'")
    config = changed(training__pack=True, training__backend="jax")
    config["study"]["replicates"] = 101
    assert_one_message(refusal(config), "training.pack: 2 optimizers with 101 replicates", "202", "at most 200")


def test_runs_that_there_are_not_are_known_by_name():
    own = {"class": "Adam", "fractions": [0.4]}
    study = Study.from_config(changed(**optimizers_of(own=own), subsets__fractions=[0.1, 0.4]))
    assert study.absent == ["f0.1_r0/own", "f0.1_r1/own"]
    assert Study.from_config(BASE).absent == []


# Replays


def test_the_trainings_of_the_largest_fraction_are_replayed_unless_others_are_named():
    study = Study.from_config(changed(diagnosis={"replays": {}}))
    assert [run.name for run in study.replayed_runs] == [
        f"f0.4_r{replicate}/{name}" for replicate in (0, 1) for name in ("adam", "decayed")
    ]
    chosen = Study.from_config(changed(diagnosis={"replays": {"optimizers": ["adam"], "fractions": [0.1]}}))
    assert [run.name for run in chosen.replayed_runs] == ["f0.1_r0/adam", "f0.1_r1/adam"]
    none = Study.from_config(BASE)
    assert not none.replays and not none.replayed_runs and not none.paths("{group}", "forks")


def test_a_run_has_a_replay_job_per_group_of_forks():
    study = Study.from_config(changed(diagnosis={"replays": {"optimizers": ["adam"], "jobs": 3}}))
    paths = study.paths("f{fraction}_r{replicate}/{optimizer}/{group}", "forks")
    assert paths[:4] == [f"results/test/f0.4_r0/adam/{group}" for group in range(3)] + ["results/test/f0.4_r1/adam/0"]


def test_replays_are_compared_with_as_it_is_whatever_arms_are_named():
    study = Study.from_config(changed(diagnosis={"replays": {"arms": ["m_0", "as_it_is", "v_x4"]}}))
    assert study.replay_settings.arms == ("as_it_is", "m_0", "v_x4")
    assert study.replay_settings.from_json(study.replay_settings.to_json()) == study.replay_settings


@pytest.mark.parametrize(
    "replays, parts",
    [
        ({"optimizers": ["adm"]}, ["diagnosis.replays.optimizers", "adm", "adam, decayed"]),
        ({"fractions": [0.3]}, ["diagnosis.replays.fractions", "0.3", "0.4, 0.1"]),
        ({"arms": ["m_1"]}, ["diagnosis.replays.arms", "m_1", "m_0"]),
    ],
)
def test_replays_of_what_there_is_not_are_refused(replays, parts):
    assert_one_message(refusal(changed(diagnosis={"replays": replays})), *parts)


def test_replays_of_no_run_are_refused():
    config = changed(optimizers__decayed__fractions=[0.1], diagnosis={"replays": {"optimizers": ["decayed"]}})
    assert_one_message(refusal(config), "diagnosis.replays", "no run")


def test_a_job_s_need_grows_with_its_replays_and_falls_with_its_jobs():
    def minutes(**replays):
        study = Study.from_config(changed(training__epochs=2000, diagnosis={"replays": replays}))
        return study.resources("replay", 400, study.replayed_runs[0])["runtime"]

    assert minutes(replays=64) > minutes(replays=16) > minutes(replays=16, jobs=8)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"data__n_spectra": 1}, ("subsets.test_fraction", "of 1 spectra are none", "expected a test set")),
        ({"subsets__fractions": [0.4, 1e-4]}, ("subsets.fractions: 0.0001 of 400 spectra are none",)),
        (
            {"training": {"last_batch": "drop", "batch_size": 200}},
            ("training.last_batch is 'drop'", "have 200, expected", "at most the 160 of a training set"),
        ),
    ],
)
def test_sets_and_epochs_without_content_are_refused_where_sizes_are_known(changes, parts):
    simulated = {"data": {"source": "simulated", "n_spectra": changes.pop("data__n_spectra", 400)}}
    assert_one_message(refusal(changed(**changes) | simulated), *parts)


def integers(schema, name=""):
    """Yield the schemas of integers, by the name of their key."""
    if isinstance(schema, dict):
        if schema.get("type") == "integer":
            yield name, schema
        for key, value in schema.items():
            yield from integers(value, f"{name}.{key}")
    elif isinstance(schema, list):
        for value in schema:
            yield from integers(value, name)


def test_every_integer_has_both_its_limits():
    """A number without one fills the memory, or fails in what computes with it."""
    found = dict(integers(with_sources(yaml.safe_load(SCHEMA.read_text()), sources.schemas())))
    assert len(found) > 20
    unlimited = [name for name, each in found.items() if not {"minimum", "maximum"} <= each.keys()]
    assert unlimited == []
    assert all(each["maximum"] < 2**53 for each in found.values())


@pytest.mark.parametrize("value", [1e30, 1e308, 10**400, 10**5000, "1e30"], ids=["30", "308", "400", "5000", "text"])
@pytest.mark.parametrize("place", ["study__replicates", "training__epochs", "data__n_spectra", "network__filters"])
def test_numbers_without_measure_are_refused_by_name(place, value):
    assert_one_message(refusal(changed(**{place: value})), place.replace("__", "."), "expected at most")


def test_more_trainings_than_can_be_planned_are_counted():
    message = refusal(changed(study__replicates=10_000) | {"subsets": {"fractions": [i / 100 for i in range(1, 7)]}})
    assert_one_message(message, "study.replicates", "120,000 trainings", "at most 100,000")
