"""Study: what is refused and how it is said, what does not matter in its writing, and what it gives to the steps."""

import json
import subprocess
import sys
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
from support.studies import BASE, assert_one_message, changed, refusal

ROOT = Path(__file__).parents[3]

TRUTH = {"THING_ID": "K", "Z_VI": "D", "CLASS_PERSON": "I", "Z_CONF_PERSON": "I", "BAL_FLAG_VI": "D", "BI_CIV": "D"}


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


def test_a_run_has_a_replay_job_per_group_of_forks():
    study = Study.from_config(changed(diagnosis={"replays": {"optimizers": ["adam"], "jobs": 3}}))
    paths = study.paths("f{fraction}_r{replicate}/{optimizer}/{group}", "forks")
    assert paths[:4] == [f"results/test/f0.4_r0/adam/{group}" for group in range(3)] + ["results/test/f0.4_r1/adam/0"]


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
