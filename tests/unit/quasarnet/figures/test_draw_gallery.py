"""The gallery of errors: legible, whatever there is to show, and what it says is what the tables hold."""

import numpy as np
import pandas as pd
import pytest

from quasarcurves.quasarnet.analysis import gallery as errors
from quasarcurves.quasarnet.analysis import test_set
from quasarcurves.quasarnet.figures import gallery
from quasarcurves.quasarnet.objective import LINES
from quasarcurves.spectra.grid import N_BINS

NAMES = {"lines": list(LINES), "bal_lines": ["CIV(1548)"]}
OF_RUN = {"fraction": 0.4, "replicate": 0, "optimizer": "adam", "model": "final"}


def made_up(n=80, quasars=True, diverged=False, number=gallery.IN_STUDY):
    """Give the tables of a model that says anything, and noise as flux."""
    rng = np.random.default_rng(1)
    label = rng.choice([0, 1, 2, 3, 4] if quasars else [0, 1], n).astype(np.uint8)
    z = np.choose(label, [np.zeros(n), np.full(n, 0.4), rng.uniform(0.3, 2, n), rng.uniform(2.1, 4, n), np.full(n, 1)])
    bal = np.where(label > 1, rng.choice([-1, 1], n), 0)
    tested = test_set.Tested(z, label, bal, rng.lognormal(1, 1, n), np.arange(n) + 39_627_788_403_084_375)
    confidence = np.where(rng.random((n, 6)) > 0.3, 0.0, 1) * (np.nan if diverged else 1)
    z_best = np.where(rng.random(n) > 0.3, z, rng.uniform(0, 5, n))
    predicted = test_set.Predicted(confidence, z_best, rng.random((n, 1)))
    found = errors.find_errors(tested, predicted)
    examples = errors.choose(tested, predicted, found, np.arange(n), NAMES, number)
    calls = errors.confusion(tested, predicted).query("n_detect == 1")
    flux = rng.standard_normal((len(examples), N_BINS)) + np.sin(np.arange(N_BINS) / 50)
    return examples, flux, calls, errors.error_counts(found), errors.redshift_counts(tested, predicted, found.called)


def test_the_figure_is_legible_and_says_what_the_tables_hold(legible):
    examples, flux, calls, counts, redshifts = made_up()
    examples = examples.assign(wrong_in=4, replicates=5, mistaken="MgII(2796) for CIV(1548)")
    words = legible_outside(legible, gallery.draw("f0.4_r0/adam", examples, flux, calls, counts, redshifts))
    for row in counts.itertuples():
        assert f"{gallery.TITLES[row.kind][0]}: {row.errors} of {row.among}" in words
    assert "MgII taken for CIV; wrong in 4 of 5 runs" in words
    first = examples.iloc[0]
    assert f"{first['target_id']}: quasar, z {first['z']:.3f}" in words


def legible_outside(legible, figure):
    """Check the text of a figure without the names of lines, which may stand on a line of the other redshift."""
    for axes in figure.axes + [axes for part in figure.subfigs for axes in part.axes]:
        for text in [text for text in axes.texts if text.get_color() in ("#0072B2", "#D55E00")]:
            text.remove()
    return legible(figure)


def test_lines_stand_at_their_redshifts():
    axes = gallery.style.new_figure(4, 3).subplots()
    example = {"class": "quasar z >= 2.1", "z": 2.5, "z_found": 1.0, "called": True, "target_id": 1, "snr": 1.0,
               "bal": 0, "c_LYA": 0.5, "c_CIV(1548)": 0.9}  # fmt: skip
    gallery.draw_spectrum(axes, example, np.random.default_rng(0).standard_normal(N_BINS))
    places = [round(line.get_xdata()[0]) for line in axes.lines[2:]]
    # Lyman alpha at z = 1 is below the grid, as is CIV
    assert places == [round(LINES["LYA"] * 3.5), round(LINES["CIV(1548)"] * 3.5)]
    assert [text.get_text() for text in axes.texts] == ["Ly\N{GREEK SMALL LETTER ALPHA}", "CIV"]


def test_bins_without_data_are_gaps_and_do_not_pull_the_smoothed_flux():
    full = np.random.default_rng(0).standard_normal(N_BINS) + 5
    holed = full.copy()
    holed[[7, *range(100, 130)]] = -3.0
    flux, smooth = gallery.with_gaps(holed)
    assert np.flatnonzero(np.isnan(flux)).tolist() == np.flatnonzero(np.isnan(smooth)).tolist() == [7, *range(100, 130)]
    assert np.nanmin(smooth) > 3
    np.testing.assert_array_equal(gallery.with_gaps(full)[0], full)
    np.testing.assert_array_equal(gallery.with_gaps(np.zeros(N_BINS))[1], np.zeros(N_BINS))


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ({"quasars": False}, "Missed quasars: there are no quasars"),
        ({"diverged": True}, "it diverged, nothing that it says of 80 spectra is a number"),
    ],
)
def test_empty_cases_are_said(legible, case, said):
    examples, flux, calls, counts, redshifts = made_up(**case)
    words = legible_outside(
        legible, gallery.draw(gallery.title_of("adam", calls), examples, flux, calls, counts, redshifts)
    )
    assert said in words


def test_no_error_of_a_kind_is_said(legible):
    examples, flux, calls, counts, redshifts = made_up()
    keep = (examples["kind"] != "bal").to_numpy()
    counts.loc[counts["kind"] == "bal", "errors"] = 0
    words = legible_outside(legible, gallery.draw("adam", examples[keep], flux[keep], calls, counts, redshifts))
    assert "Wrong on broad absorption: none of" in words
    assert "none of" in legible(gallery.draw_kind("adam", "bal", examples[keep], flux[keep], counts))


def test_a_page_of_one_kind(legible):
    examples, flux, _, counts, _ = made_up(number=5)
    words = legible_outside(legible, gallery.draw_kind("adam", "missed", examples, flux, counts))
    assert words.count("(not called)") == min(5, counts["errors"].iloc[0])


def test_plot_reads_the_rows_of_its_optimizer(tmp_path, monkeypatch):
    made = made_up()
    names = ("examples", "confusion", "error_counts", "redshift_counts")
    for name, table in zip(names, (made[0], *made[2:]), strict=True):
        other = table.assign(**OF_RUN | {"optimizer": "sgd", "fraction": 0.8})
        pd.concat([table.assign(**OF_RUN), other]).to_csv(tmp_path / f"{name}.csv", index=False)
    monkeypatch.setattr(gallery, "load_column", lambda path, name, rows: made[1][: len(rows)])
    paths = {name: tmp_path / f"{name}.csv" for name in names}
    figure = gallery.plot(**paths, spectra=tmp_path, optimizer="adam")
    assert "f0.4_r0/adam" in figure._suptitle.get_text()
