"""Rates against prices: points and intervals are those of the table, names stand by their points."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.analysis.stats.rates import poisson_interval
from quasarcurves.figures import cures

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
    return np.array([line.get_xydata()[0] for line in axes.lines if line.get_marker() == "o"])


def bars(axes):
    return np.array([line.get_xydata().ravel() for line in axes.lines[:-1] if line.get_marker() == "None"])


def names(axes):
    """Names on axes with the data coordinates that they belong to."""
    return {text.get_text(): text.xy for text in axes.texts}


def test_points_and_intervals_are_those_of_the_table(legible):
    rows = table([0.8], MANY[:5])
    figure = cures.draw(rows)
    for ratio, axes in zip(PRICES, figure.axes, strict=True):
        np.testing.assert_allclose(points(axes), rows[[ratio, RATE]])
        upright = rows[[ratio, f"{RATE}_low", ratio, f"{RATE}_high"]].to_numpy()
        lying = rows[[f"{ratio}_low", RATE, f"{ratio}_high", RATE]].to_numpy()
        np.testing.assert_allclose(bars(axes), np.stack([upright, lying], axis=1).reshape(-1, 4))
        assert names(axes) == dict(zip(rows["optimizer"], rows[[ratio, RATE]].itertuples(index=False), strict=True))
    legible(figure)


def test_rates_of_zero_are_open_upper_limits(legible):
    rows = table([0.8], MANY[:6], spikeless=1)
    axes = cures.draw(rows).axes[0]
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"]
    assert faces == ["black"] + ["white"] * 5
    assert axes.get_yscale() == "symlog"
    assert axes.get_ylim()[0] < 0 < 3.689 / 50 < axes.get_ylim()[1]
    np.testing.assert_allclose(bars(axes)[2, [1, 3]], [0, 3.689 / 50], rtol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_eighteen_names_cover_nothing(legible, seed):
    figure = cures.draw(table([0.8], seed=seed))
    legible(figure)
    scale = figure.dpi / 72
    for axes in figure.axes:
        assert len(axes.texts) == 18
        centres = axes.transData.transform(points(axes))
        for text in axes.texts:
            box = text.get_tightbbox() if text.arrow_patch is None else super(type(text), text).get_window_extent()
            inside = (centres > [box.x0 - scale, box.y0 - scale]) & (centres < [box.x1 + scale, box.y1 + scale])
            assert not inside.all(axis=1).any(), text.get_text()
            assert axes.bbox.x0 <= box.x0 <= box.x1 <= axes.bbox.x1


def test_seven_sizes_are_seven_rows(legible):
    figure = cures.draw(table((0.8, 0.7, 0.4, 0.2, 0.1, 0.05, 0.025), MANY[:3]))
    assert [axes.get_ylabel().split(":")[0] for axes in figure.axes[::3]] == [
        f"fraction {fraction}" for fraction in (0.8, 0.7, 0.4, 0.2, 0.1, 0.05, 0.025)
    ]
    legible(figure)


def test_what_is_not_finite_is_named(legible):
    rows = table([0.8], MANY[:4])
    rows.loc[rows["optimizer"] == "amsgrad", "price_train"] = np.inf
    rows[["price_test", "price_test_low", "price_test_high"]] = np.nan
    figure = cures.draw(rows)
    assert len(points(figure.axes[0])) == 3
    words = legible(figure)
    assert "not finite: amsgrad" in words
    assert "no test loss to compare" in words


@pytest.mark.parametrize("rows", [table().iloc[:0], table(optimizers=["adam"])])
def test_nothing_to_compare_is_said(legible, rows):
    assert "no two optimizers to compare" in legible(cures.draw(rows))


def test_the_first_reference_is_drawn_at_no_price(legible):
    rows = pd.concat([table([0.8], MANY[:3]), table([0.8], MANY[:3], reference="amsgrad")])
    rows.loc[rows["optimizer"] == rows["reference"], [*PRICES, "price_train_low"]] = np.nan
    figure = cures.draw(rows)
    assert figure.axes[0].get_xlabel() == "final training loss / that of adam"
    assert [names(axes)["adam"][0] for axes in figure.axes] == [1, 1, 0]
    assert figure.axes[2].get_xlabel() == "completeness - that of adam"
    legible(figure)


def test_the_table_is_read_by_its_own_names(tmp_path):
    rows = table([0.8], MANY[:3])
    rows.to_csv(tmp_path / "cures.csv", index=False)
    pd.testing.assert_frame_equal(cures.load(tmp_path / "cures.csv")[rows.columns], rows)
    rows.drop(columns=f"{RATE}_low").to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(ValueError, match=rf"bad.csv: expected the columns .*, {RATE}_low not found"):
        cures.load(tmp_path / "bad.csv")
