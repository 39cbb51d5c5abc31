"""What jobs are expected to need: the arithmetic by hand, and that requests grow as the work does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from quasarcurves.quasarnet.cost import cost_of, flops_per_spectrum
from quasarcurves.quasarnet.settings import Augment, NetworkSettings
from quasarcurves.spectra.table import Spectra
from quasarcurves.study import Study, resources
from quasarcurves.study.steps import LIGHT, STEPS, Need, Sizes
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import CurvatureSettings, TrainingSettings
from support import made_up_survey

ROOT = Path(__file__).parents[3]
MEASURED, EVALUATED, GROWTH = (
    pd.read_csv(ROOT / "benchmarks" / f"{name}.csv") for name in ("training_use", "inference", "growth")
)
OF_STEPS = GROWTH[(GROWTH["group"] == "steps") & GROWTH["stage"].isin(["find_spikes", "diagnose_spikes"])]
RULES = STEPS.keys()
RUN_RULES = {"train", "evaluate", "train_pack", "replay", "magnify_spikes"}

LINES = ["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"]
PUBLISHED = NetworkSettings(filters=100, layers=4, boxes=13, lines=tuple(LINES), bal_lines=("CIV(1548)",))
TRAINING = TrainingSettings(epochs=200, batch_size=256, validate_every=10)
RUN = RunSettings("a study", 1, 0.8, 0, "adam", {"class": "Adam"}, PUBLISHED.to_json(), TRAINING)
SMALL = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())
SIZES = Sizes(
    spectra=1280, tested=192, source_bytes=10**6, runs=8, replicates=1, groups=8, steps=72_000, epochs=4800,
    longest_steps=19_200, longest_epochs=600,
)  # fmt: skip


def need(n_train=60_000, n_validation=3000, checkpoint_every=25, threads=1, **changes):
    """Give the need of a training, the published one unless told otherwise."""
    network, training, others = (
        {key: value for key, value in changes.items() if key in vars(settings)}
        for settings in (PUBLISHED, TRAINING, RUN)
    )
    run, built = replace(RUN, training=replace(TRAINING, **training), **others), replace(PUBLISHED, **network)
    return resources.training_need(run, cost_of(built), n_train, n_validation, checkpoint_every, threads)


def test_arithmetic_of_the_published_network():
    # bins left by the four convolutions: 217, 104, 48, 20
    products = 217 * 10 * 100 + (104 + 48 + 20) * 10 * 100**2 + 20 * 100 * 100 + 100 * 26 * 7
    assert flops_per_spectrum(PUBLISHED) == pytest.approx(6 * products)
    assert flops_per_spectrum(PUBLISHED) == pytest.approx(106e6, rel=0.01)


def test_arithmetic_of_six_layers_with_padding():
    small = replace(PUBLISHED, filters=8, layers=6)
    # 222, 111, 56, 28, 14, 7
    products = 222 * 10 * 8 + (111 + 56 + 28 + 14 + 7) * 10 * 8**2 + 7 * 8 * 8 + 8 * 26 * 7
    assert flops_per_spectrum(small) == pytest.approx(6 * products)


def test_frozen_layers_take_a_third_of_what_they_do_trained():
    """Four frozen convolutions are gone through forward alone; the common layer and the heads are trained."""
    frozen = replace(PUBLISHED, frozen=4)
    convolutions = 217 * 10 * 100 + (104 + 48 + 20) * 10 * 100**2
    rest = 20 * 100 * 100 + 100 * 26 * 7
    assert flops_per_spectrum(frozen) == pytest.approx(2 * convolutions + 6 * rest)
    # all but the first are convolved with 8 products in place of 20, from numbers evaluated for tiles of 4 outputs
    fewer = 217 * 10 * 100 + (104 + 48 + 20) * 10 * 100**2 * 8 / 20
    evaluated = (26 + 12 + 5) * 8 * 2 * 100
    # 38,900 numbers after the convolutions
    trained, kept = (cost_of(network) for network in (PUBLISHED, frozen))
    beside = 4.3e-9 * 38_900 + 4e-9 * evaluated
    assert trained.seconds == pytest.approx(6 * (fewer + rest) / 9e10 + beside)
    assert kept.seconds == pytest.approx((2 * fewer + 6 * rest) / 9e10 + beside / 3)
    assert trained.workspace_bytes == kept.workspace_bytes == 4 * evaluated
    assert trained.forward_seconds == kept.forward_seconds == pytest.approx(trained.seconds / 3)
    # the common layer too
    assert flops_per_spectrum(replace(PUBLISHED, frozen=5)) == pytest.approx(
        2 * (convolutions + 20 * 100 * 100) + 6 * 100 * 26 * 7
    )


def test_few_channels_are_convolved_directly():
    few, many = (cost_of(replace(PUBLISHED, filters=filters)) for filters in (47, 48))
    products = 217 * 10 * 47 + (104 + 48 + 20) * 10 * 47**2 + 20 * 47**2 + 47 * 26 * 7
    assert few.seconds == pytest.approx(6 * products / 9e10 + 4.3e-9 * 389 * 47)
    assert few.workspace_bytes == 0 < many.workspace_bytes
    assert many.seconds < few.seconds


def test_a_training_holds_versions_of_its_spectra_but_not_of_those_to_validate_on():
    alone, varied = (need(n_train=10_000, augment=augment).mb for augment in (None, Augment(copies=4)))
    # four versions of 443 numbers of four bytes, each 2.85 times, in place of one
    assert varied - alone == pytest.approx((2.85 * 4 - 1.02) * 10_000 * 443 * 4 / 1e6)
    more = need(n_train=10_000, n_validation=4000, augment=Augment(copies=4)).mb
    assert more - varied == pytest.approx(1.02 * 1000 * 443 * 4 / 1e6)


@pytest.mark.parametrize(
    ("settings", "length"),
    [
        ({"epochs": 60, "batch_size": 32}, (33, 60)),
        ({"epochs": 60, "batch_size": 32, "last_batch": "drop"}, (32, 60)),
        # 100 steps are reached in the fourth epoch of 32
        ({"steps": 100, "batch_size": 32, "last_batch": "drop"}, (32, 4)),
        # no step at all, which is refused when the training is built
        ({"epochs": 1, "batch_size": 4096, "last_batch": "drop"}, (0, 1)),
    ],
)
def test_length_of_a_training(settings, length):
    training = TrainingSettings(**settings)
    assert (training.steps_per_epoch(1030), training.n_epochs(1030)) == length
    assert training.n_steps(1030) == length[0] * length[1]


def test_request_by_hand():
    # 1.4 * 1000 + 380 + 0.04 * 100; 240 s + 0.005 s * 100 + 2.5 * 600 s = 1740.5 s
    assert resources.request("train", Need(1000, 600), 100) == {"mem_mb": 1784, "runtime": 30}
    # libraries of a GPU: 1784 + 3000, in whole GB above two of them
    assert resources.GPU_MB == 3000
    assert resources.request("train", Need(1000, 600), 100, gpu=True) == {"mem_mb": 5 * 1024, "runtime": 30}
    # nothing beside a light step: 1.4 * 100; 240 s + 2.5 * 4 s
    assert resources.request("write_answer", Need(100, 4), 100) == {"mem_mb": 140, "runtime": 5}


@pytest.mark.parametrize("rule", ["train", "write_answer"])
def test_each_attempt_asks_for_twice_as_much(rule):
    requests = [resources.request(rule, Need(77.7, 1234.5), 8, attempt) for attempt in (1, 2, 3)]
    for name in ("mem_mb", "runtime"):
        first, second, third = (request[name] for request in requests)
        # whole numbers, rounded up
        assert 2 * first - 1 <= second <= 2 * first
        assert 2 * second - 1 <= third <= 2 * second


def test_memory_above_two_gigabytes_is_in_whole_ones():
    requests = [resources.request("write_answer", Need(mb, 1), 8)["mem_mb"] for mb in (1462.8, 1463, 2194, 2195)]
    assert requests == [2048, 3 * 1024, 3 * 1024, 4 * 1024]


def test_memory_of_a_training_holds_its_spectra_and_batches():
    n = 563_000
    spectra_mb = n * 443 * 4 / 1e6
    # once, and the record of the steps
    assert spectra_mb < need(n).mb - need(0, 0, batch_size=256).mb < 1.4 * spectra_mb
    # activations of the four convolutions, forwards and backwards, and what three of them evaluate
    batch_mb, evaluated_mb = 256 * (217 + 104 + 48 + 20) * 100 * 4 / 1e6, 256 * (26 + 12 + 5) * 8 * 200 * 4 / 1e6
    expected = 2 * (3 * batch_mb + 2 * evaluated_mb)
    assert need(batch_size=1024).mb - need(batch_size=512).mb == pytest.approx(expected, rel=0.2)
    assert need(filters=200).mb > need().mb + 3 * batch_mb
    # a validation set is gone through 1024 spectra at a time, forwards only
    many = need(batch_size=8, n_validation=4096).mb - need(batch_size=8, n_validation=0).mb
    assert 4 * batch_mb < many - 4096 * 443 * 4 / 1e6 < 8 * batch_mb


def test_memory_of_a_training_holds_its_record():
    # ten numbers of four bytes per step, and their copy in the state
    steps = 400 * 235
    assert need(epochs=600).mb - need().mb > 2 * 40 * steps / 1e6


def test_time_of_a_training_grows_with_the_work():
    base = need().seconds
    assert 1.8 * base < need(120_000).seconds < 2.2 * base
    assert 1.8 * base < need(epochs=400).seconds < 2.2 * base
    # four times the products, twice the numbers that are evaluated and normalised
    assert 2 * base < need(filters=200).seconds < 4 * base
    assert need(validate_every=1).seconds > base
    assert need(checkpoint_every=1).seconds > base
    # no core does more than 1e11 operations per second in products this small, 8 for 20 in three convolutions
    products = 217 * 10 * 100 + (104 + 48 + 20) * 10 * 100**2 * 8 / 20 + 20 * 100 * 100
    assert base >= 60_000 * 200 * 6 * products / 1e11


def test_more_threads_are_faster_but_not_by_their_number():
    one, four = need().seconds, need(threads=4).seconds
    assert one / 4 < four < 0.6 * one
    small = {"filters": 4, "batch_size": 8}
    assert need(threads=4, **small).seconds > 0.7 * need(**small).seconds


def test_optimizers_cost_what_they_do():
    names = ("SGD", "Adam", "StableAdamW")
    sgd, adam, stable = (need(filters=8, batch_size=32, optimizer_spec={"class": name}).seconds for name in names)
    assert sgd < 0.9 * adam < adam < 0.9 * stable


def test_curvature_costs_gradients_of_its_probe_and_of_its_batches():
    without, often = need(), need(diagnosis=CurvatureSettings(10, 256, 1))
    # every ten steps some 35 gradients as large as a step, and 4 of each batch
    assert often.seconds / without.seconds == pytest.approx(1 + 3.9, rel=0.2)
    assert often.mb > without.mb + 30
    more = need(diagnosis=CurvatureSettings(10, 256, 11))
    assert (more.seconds - often.seconds) / without.seconds == pytest.approx(4, rel=0.2)
    rarely = need(diagnosis=CurvatureSettings(1000, 256))
    assert without.seconds < rarely.seconds < 1.1 * without.seconds


def test_memory_of_an_evaluation_is_bounded():
    small, large, huge = (resources.evaluation_need(cost_of(PUBLISHED), 200_000, n, 2) for n in (200, 2048, 20_000))
    assert small.mb < large.mb == huge.mb
    # of a spectrum that is not tested only its numbers are read
    assert huge.mb < resources.evaluation_need(cost_of(PUBLISHED), 400_000, 20_000, 2).mb < huge.mb + 10
    # twice the models, twice the work
    twice = resources.evaluation_need(cost_of(PUBLISHED), 200_000, 20_000, 4)
    assert twice.seconds - huge.seconds > 0.5 * huge.seconds
    assert twice.mb == huge.mb


def test_every_rule_has_an_estimate():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    study = Study.from_config({**config, "diagnosis": {"replays": {}}})
    for rule in RULES - {"train_pack", "replay"}:
        request = study.resources(rule, 1280, study.runs[0] if rule in RUN_RULES else None)
        assert 50 < request["mem_mb"] < 2500, rule
        assert 5 <= request["runtime"] < 60, rule
    assert LIGHT < RULES


@pytest.mark.parametrize("row", MEASURED.to_dict("records"), ids=lambda row: f"{row['filters']}x{row['batch']}")
def test_trainings_that_were_measured(row):
    """Memory is estimated within 15 %; for an hour of the same steps 1.2 to 4 times as long is asked for."""
    spec = {"class": row["optimizer"].split("_")[0]}
    changes = {name: row[name] for name in ("filters", "layers", "dropout", "frozen")}
    changes["augment"] = Augment(row["copies"]) if row["copies"] > 1 else None
    changes |= {"batch_size": row["batch"], "optimizer_spec": spec, "n_validation": row["validation"]}
    if row["curvature_every"]:
        changes["diagnosis"] = CurvatureSettings(row["curvature_every"], row["probe"])
    short = need(row["n_train"], epochs=row["epochs"], **changes)
    assert short.mb == pytest.approx(row["peak_mb"], rel=0.15)
    # the curvature is measured between steps: their time does not hold it
    changes.pop("diagnosis", None)
    steps = round(3.6e6 / row["step_ms"])
    epochs = steps // TrainingSettings(epochs=1, batch_size=row["batch"]).steps_per_epoch(row["n_train"])
    how = {"validate_every": epochs, "checkpoint_every": epochs}
    long = need(row["n_train"], epochs=epochs, **changes, **how)
    assert 1.2 < resources.TIME_SAFETY * long.seconds / 3600 < 4


@pytest.mark.parametrize("row", EVALUATED.to_dict("records"), ids=lambda row: f"{row['spectra']}x{row['filters']}")
def test_evaluations_that_were_measured(row):
    n = row["spectra"]
    estimate = resources.evaluation_need(cost_of(replace(PUBLISHED, filters=row["filters"])), n, n, 1)
    assert estimate.mb == pytest.approx(row["peak_mb"], rel=0.15)


@pytest.mark.parametrize("row", OF_STEPS.to_dict("records"), ids=lambda row: f"{row['stage']} {row['size']}")
def test_steps_over_long_runs_that_were_measured(row):
    run = replace(SIZES, runs=1, groups=1, steps=row["size"], longest_steps=row["size"], epochs=500, longest_epochs=500)
    assert STEPS[row["stage"]].need(run).mb == pytest.approx(row["peak_mb"], rel=0.15)


@pytest.mark.parametrize("rule", sorted(RULES - RUN_RULES))
def test_no_step_needs_less_for_more_work(rule):
    base = STEPS[rule].need(SIZES)
    for name, value in vars(SIZES).items():
        more = STEPS[rule].need(replace(SIZES, **{name: 10 * value}))
        assert more.mb >= base.mb
        assert more.seconds >= base.seconds
    everything = STEPS[rule].need(Sizes(**{name: 100 * value for name, value in vars(SIZES).items()}))
    assert everything.seconds > base.seconds or rule == "write_answer"


def test_the_number_of_spectra_is_estimated_from_the_size_of_their_file(tmp_path, made_up):
    pair = {
        name: [str(made_up / "boss_like" / f"{file}.fits")] for name, file in (("spectra", "data"), ("truth", "truth"))
    }
    study = Study.from_config(SMALL | {"data": {"source": "quasarnet_fits", **pair}})
    # before they are prepared, from the files they come from
    assert study.n_examples(tmp_path / "spectra.h5") == pytest.approx(made_up_survey.ROWS, rel=0.05)
    n = 3000
    columns = {name: np.zeros(n) for name in ("z", "label", "bal", "target_id", "snr")}
    Spectra(np.zeros((n, 443)), **columns).save(tmp_path / "spectra.h5")
    assert study.n_examples(tmp_path / "spectra.h5") == pytest.approx(n, rel=0.03)


@pytest.mark.parametrize("path", sorted((ROOT / "workflow" / "studies").glob("*.yaml")), ids=lambda path: path.stem)
def test_studies_ask_for_what_a_cluster_has(path, made_up):
    config = yaml.safe_load(path.read_text())
    # the files of real spectra are not here
    if "task" not in config:
        # versions of spectra are for small sets
        n = 7_920 if "augment" in config["network"] else 627_000
        config["data"] = {"source": "simulated", "n_spectra": config["data"].get("n_spectra", n)}
    if "start" in config.get("network", {}):
        config["network"]["start"] = str(made_up / "desi" / "test_weights.h5")
    study = Study.from_config(config)
    for run in study.runs:
        request = study.resources("train", study.n_examples(Path("not/made/yet.h5")), run)
        assert 1000 < request["mem_mb"] < 10_000
        assert 5 <= request["runtime"] < 7 * 24 * 60
