"""Rates against prices: points and intervals are those of the table, names stand by their points."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis.stats.rates import poisson_interval
from quasarcurves.figures import cures
from quasarcurves.quasarnet.analysis.description import DESCRIPTION

MANY = [
    "adam", "amsgrad", "adam_matched", "adam_cosine", "adam_step_decay", "adam_beta2_0.9", "adam_beta2_0.99",
    "adam_eps1e-8", "adam_eps1e-4", "adam_eps1e-2", "adam_clipnorm", "stable_adamw", "adamw", "nadam", "lion", "sgd",
    "adam_drop", "adam_warmup",
]  # fmt: skip


RATE, SHARE = "sustained_per_1000_steps", "difference_completeness"
PRICES = ("price_train", "price_test", SHARE)


def table(fractions=(0.8, 0.2), optimizers=MANY, spikeless=0.6, reference="adam", seed=0):
    """Plausible cures: most have no spike, at the price of a somewhat higher training loss."""
    rng, rows = np.random.default_rng(seed), []
    for fraction in fractions:
        for optimizer in optimizers:
            n = 20 if optimizer == reference else rng.poisson(20) * (rng.random() > spikeless)
            row = {"fraction": fraction, "optimizer": optimizer, "reference": reference, RATE: n / 50}
            row |= dict(zip((f"{RATE}_low", f"{RATE}_high"), poisson_interval(int(n), 50), strict=True))
            for name, spread, width in (("price_train", 0.5, 1.2), ("price_test", 0.05, 1.03)):
                ratio = 1.0 if optimizer == reference else rng.lognormal(0.3 * spread, spread)
                row |= {name: ratio, f"{name}_low": ratio / width, f"{name}_high": ratio * width}
            lost = 0.0 if optimizer == reference else rng.normal(-0.005, 0.01)
            row |= {SHARE: lost, f"{SHARE}_low": lost - 0.01, f"{SHARE}_high": lost + 0.01}
            rows.append(row)
    return pd.DataFrame(rows)


def points(axes):
    """Values of the symbols of a panel by the place of their line."""
    found = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"]
    return {int(y): (x, face) for (x, y), face in zip(found, faces(axes), strict=True)}


def faces(axes):
    return [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"]


def bars(axes):
    lines = [line.get_xydata() for line in axes.lines if line.get_marker() == "None" and line.get_linestyle() == "-"]
    return {int(line[0, 1]): tuple(line[:, 0]) for line in lines}


def names(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_points_and_intervals_are_those_of_the_table(legible):
    rows = table([0.8], MANY[:5])
    figure = cures.draw(rows, DESCRIPTION)
    of = rows.set_index("optimizer").loc[names(figure)]
    assert names(figure)[0] == "adam"
    for column, axes in zip((RATE, *PRICES), figure.axes, strict=True):
        np.testing.assert_allclose([points(axes)[i][0] for i in range(5)], of[column])
        ends = of[[f"{column}_low", f"{column}_high"]].to_numpy()
        np.testing.assert_allclose([bars(axes)[i] for i in range(5)], ends)
    legible(figure)


def test_rates_of_zero_are_open_upper_limits_and_said(legible):
    figure = cures.draw(table([0.8], MANY[:6], spikeless=1), DESCRIPTION)
    assert faces(figure.axes[0]) == ["black"] + ["white"] * 5
    np.testing.assert_allclose(bars(figure.axes[0])[1], [0, 3.689 / 50], rtol=1e-3)
    words = legible(figure)
    assert "Without sustained spikes: 5 of 5 optimizers beside adam" in words
    assert "no spike: bar to the upper limit of the rate" in words


def test_an_endless_interval_does_not_set_the_scale():
    rows = table([0.8], MANY[:5])
    rows["price_train_high"] = 1e6
    assert cures.draw(rows, DESCRIPTION).axes[1].get_xlim()[1] < 50


@pytest.mark.slow
@pytest.mark.parametrize("replicates", ["one", "many"])
@pytest.mark.parametrize("optimizers", [2, 17])
@pytest.mark.parametrize("sizes", [1, 8])
def test_any_shape_is_legible_and_no_larger_than_needed(legible, sizes, optimizers, replicates):
    rows = table([0.8 / 2**i for i in range(sizes)], MANY[:optimizers])
    if replicates == "one":
        rows[[f"{name}_{end}" for name in PRICES[:2] for end in ("low", "high")]] = np.nan
    figure = cures.draw(rows.assign(n_train=(1280 * rows["fraction"]).round()), DESCRIPTION)
    assert figure.get_figheight() < 1.2 + 0.18 * sizes * (optimizers + 3)
    assert "1,024 training spectra" in legible(figure)


def test_what_is_not_finite_is_said(legible):
    rows = table([0.8], MANY[:4])
    rows.loc[rows["optimizer"] == "amsgrad", "price_train"] = np.inf
    rows[["price_test", "price_test_low", "price_test_high"]] = np.nan
    figure = cures.draw(rows, DESCRIPTION)
    assert len(points(figure.axes[1])) == 3
    assert legible(figure).count("not known") == 1 + 3


def test_upper_limits_set_the_scale_where_no_rate_is_above_0(legible):
    rates = "sustained_per_1000_steps"
    found = table(fractions=(0.8,), optimizers=("adam", "amsgrad")).assign(
        **{rates: 0.0, f"{rates}_low": 0.0, f"{rates}_high": 614.8}
    )
    figure = cures.draw(found, DESCRIPTION)
    left, right = figure.axes[0].get_xlim()
    assert 614.8 < right < 700
    assert -50 < left < 0
    legible(figure)


def test_runs_too_short_to_be_searched_are_not_called_spikeless(legible):
    found = table(fractions=(0.8,), optimizers=("adam", "amsgrad")).assign(
        **{f"{RATE}{end}": np.nan for end in ("", "_low", "_high")}
    )
    words = legible(cures.draw(found, DESCRIPTION))
    assert words.count("not searched") == 2
    assert "No run is long enough to be searched for spikes" in words
    assert "Without sustained spikes" not in words


@pytest.mark.parametrize("rows", [table().iloc[:0], table(optimizers=["adam"])])
def test_nothing_to_compare_is_said(legible, rows):
    assert "no two optimizers to compare" in legible(cures.draw(rows, DESCRIPTION))


def test_the_first_reference_is_drawn_at_no_price(legible):
    rows = pd.concat([table([0.8], MANY[:3]), table([0.8], MANY[:3], reference="amsgrad")])
    rows.loc[rows["optimizer"] == rows["reference"], [*PRICES, "price_train_low"]] = np.nan
    figure = cures.draw(rows, DESCRIPTION)
    assert figure.axes[1].get_xlabel() == "final training loss\nover that of adam"
    assert [points(axes)[0][0] for axes in figure.axes[1:]] == [1, 1, 0]
    assert figure.axes[3].get_xlabel() == "completeness\nless that of adam"
    legible(figure)


def test_the_table_is_read_by_its_own_names(tmp_path):
    rows = table([0.8], MANY[:3])
    rows.to_csv(tmp_path / "cures.csv", index=False)
    pd.testing.assert_frame_equal(cures.load(tmp_path / "cures.csv")[rows.columns], rows)
    rows.drop(columns=f"{RATE}_low").to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(ValueError, match=rf"bad.csv: expected the columns .*, {RATE}_low not found"):
        cures.load(tmp_path / "bad.csv")
