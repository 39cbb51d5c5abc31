"""The exponents of benchmarks/growth.py are those of costs whose growth is known, and what it measures is there."""

import importlib.util
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from quasarcurves.study.steps import STEPS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def growth():
    spec = importlib.util.spec_from_file_location("growth", ROOT / "benchmarks" / "growth.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
def test_exponents_are_those_of_the_cost_beyond_the_start(growth, power):
    sizes = [1, 300, 1000, 3000, 10_000]
    rows = [{"size": size, "cpu_s": 2 + 1e-3 * size**power, "peak_mb": 150.0} for size in sizes]
    (*_, last) = growth.with_exponents(rows)
    assert last["cpu_exponent"] == pytest.approx(power, abs=0.01)
    assert last["cpu_exponent_end"] == pytest.approx(power, abs=0.01)
    assert last["cpu_exponent_se"] < 0.01
    # memory that does not grow has no exponent
    assert np.isnan([last["mb_exponent"], last["mb_exponent_se"], last["mb_exponent_end"]]).all()


def test_slope_and_error_are_those_of_a_regression(growth):
    rng = np.random.default_rng(0)
    x, y = np.arange(6.0), rng.random(6)
    expected = stats.linregress(x, y)
    assert growth.slope(list(zip(x, y, strict=True))) == pytest.approx((expected.slope, expected.stderr))
    assert np.isnan(growth.slope([(0.0, 1.0)])).all()


def test_costs_hidden_in_the_start_do_not_count(growth):
    # the two in the middle are noise: the slope is that of the last two
    rows = [
        {"size": s, "cpu_s": c, "peak_mb": 1.0}
        for s, c in ((1, 10), (10, 11.9), (100, 10.1), (1001, 20), (10_001, 110))
    ]
    assert growth.with_exponents(rows)[0]["cpu_exponent"] == pytest.approx(1.0, abs=0.01)


def test_a_layout_has_as_many_runs_as_asked_for(growth):
    for runs in (1, 8, 24, 240, 400, 480):
        made = growth.layout(runs)
        assert len(made) == len({tuple(run.values()) for run in made}) == runs


def test_the_stages_are_all_steps_but_those(growth):
    stages = {stage for group in growth.GROUPS.values() for stage in group.stages}
    again = {"replay", "magnify_spikes"}  # they go through trainings again
    again |= {"choose_worst_examples", "plot_worst_examples"}  # what they take is up to a task file
    assert STEPS.keys() - stages == {"train_pack", *again}
    study = set(growth.GROUPS["study"].stages)
    assert STEPS.keys() - study == {"prepare_spectra", "draw_subset", "train", "train_pack", "evaluate", *again}


@pytest.mark.parametrize("name", ["find_spikes", "compute_metrics", "show_tables", "plot_cures", "plot_curvature"])
def test_a_stage_is_called_with_all_that_its_script_takes(growth, name):
    words = growth.command(name, {"runs": 8}, ".")
    given = {word.removeprefix("--") for word in words if word.startswith("--")}
    step = STEPS[name]
    if step.figure:
        source = inspect.signature(importlib.import_module(step.module).plot)
        takes = {"words" if name == "description" else name for name in source.parameters}
        assert given == {*takes, "figures", "receipt"}
    else:
        source = inspect.signature(getattr(importlib.import_module(f"scripts.{name}"), name))
        assert given == {*source.parameters, "receipt"}


@pytest.fixture(scope="module")
def kept():
    return pd.read_csv(ROOT / "benchmarks" / "growth.csv")


def test_the_groups_of_the_table_kept_are_whole(growth, kept):
    for name, rows in kept.groupby("group"):
        group = growth.GROUPS[name]
        cases = {(stage, size) for stage in group.stages for size in group.sizes}
        assert set(zip(rows["stage"], rows["size"], strict=True)) == cases
        assert (rows["varied"] == group.varied).all()


def test_no_step_that_should_be_linear_grows_faster(kept):
    for name in ("cpu_exponent", "mb_exponent"):
        known = kept[kept[name].notna() & (kept["varied"] != "filters")]
        assert len(known)
        assert (known[name] - 2 * known[f"{name}_se"].fillna(0) <= 1.1).all()


def test_figures_of_the_largest_studies_are_drawn_in_time_and_memory(kept):
    largest = kept[kept["stage"].str.startswith("plot_") & kept["group"].isin(["study", "steps", "runs"])]
    assert {240, 10_000_000} <= set(largest["size"])
    assert (largest["cpu_s"] < 30).all()
    assert (largest["peak_mb"] < 1000).all()
