"""The verdict in words says what the tables say, number by number."""

import re

import numpy as np
import pytest

from quasarcurves.analysis import cures, tables, verdict

SAME = (1.0, 1.0, 1.0, 1.0)
EFFECTS = {
    "adam": SAME,
    "amsgrad": (0.0, 1.5, 0.8, 0.3),
    "adam_matched": (0.05, 1.5, 0.8, 0.3),
    "lion": (1.0, 1.3, 1.2, 2.0),
}
MATCHES = {"adam_matched": "amsgrad"}
NUMBER = r"(?:-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?|unknown|unbounded)"
INTERVAL = rf"({NUMBER}) \((?:({NUMBER}) to ({NUMBER})|no interval)\)"


@pytest.fixture(scope="module")
def make(study, convergence_of):
    def tables_of(effects=EFFECTS, matches=MATCHES, change=None, **options):
        runs = study(np.random.default_rng(1), effects, **options)
        runs = change(runs) if change else runs
        return convergence_of(runs), cures.compare_all(runs, "adam", matches)

    return tables_of


@pytest.fixture(scope="module")
def planted(make):
    return make(fractions=(0.8, 0.2), tall=10)


def paragraph(text, optimizer, fraction):
    section = re.search(rf"^## {optimizer}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)[1]
    return next(part for part in section.split("\n\n") if f"**Fraction {fraction:g}**" in part)


def numbers(row, name):
    """The value and its bounds as they must stand in the text."""
    return tuple(verdict.number(row[f"{name}{end}"]) for end in ("", "_low", "_high"))


def stated(pattern, text):
    return re.search(pattern.replace("INTERVAL", INTERVAL).replace("NUMBER", f"({NUMBER})"), text).groups()


def test_every_number_of_an_optimizer_is_that_of_the_tables(planted):
    convergence, table = planted
    text = verdict.compose(convergence, table)
    for row in table[table["reference"] == "adam"].to_dict("records"):
        part = paragraph(text, row["optimizer"], row["fraction"])
        assert stated(r"\(NUMBER spectra, (\d+) runs\)", part) == (f"{row['n_train']:,.0f}", "5")
        if row["spikes_tall"]:
            assert stated("INTERVAL tall spikes per 1,000", part) == numbers(row, "tall_per_1000_steps")
        else:
            assert stated("fewer than NUMBER per 1,000", part) == (verdict.number(row["tall_per_1000_steps_high"]),)
        assert stated("INTERVAL sustained spikes per 1,000", part) == numbers(row, "sustained_per_1000_steps")
        assert stated("which take NUMBER %", part) == (verdict.number(100 * row["share_in_spike"]),)
        found = stated("Test loss: NUMBER at the end, NUMBER at", part)
        assert found == (verdict.number(row["test_loss_final"]), verdict.number(row["test_loss_best"]))
        if row["optimizer"] != "adam":
            assert stated("INTERVAL times as many as adam", part) == numbers(row, "rate_ratio_tall")
            assert stated("training loss INTERVAL times that of adam", part) == numbers(row, "price_train")
            assert stated("test loss INTERVAL times that of adam", part) == numbers(row, "price_test")
        runs = convergence.query("optimizer == @row['optimizer'] and fraction == @row['fraction']")
        for name, count in runs["convergence"].value_counts().items():
            assert f"{name} ({count} run" in part
        assert stated("worse model in NUMBER % of cases", part) == ("8.33",)


def test_no_number_comes_from_elsewhere(planted):
    """All but those of the tables are thresholds, counts of runs, fractions and the words `1,000 steps`."""
    convergence, table = planted
    text = verdict.compose(convergence, table)
    values = table.select_dtypes("number").to_numpy().ravel()
    known = {verdict.number(scale * value) for value in values for scale in (1, 100) if not np.isnan(value)}
    known |= {f"{value:,.0f}" for value in table["n_train"]} | {"1,000", "8.33", "95", "3", "0.5", "1.1", "5"}
    counts = {str(count) for count in range(6)}
    assert set(re.findall(rf"(?<![\w.]){NUMBER}(?!\w)", text)) <= known | counts


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("tall_per_1000_steps", 0.777), ("sustained_per_1000_steps_high", 77.7), ("rate_ratio_tall_high", 0.0777),
        ("price_train", 7.77), ("price_test_low", 0.0777), ("height_step", 777.0), ("share_in_spike", 0.777),
    ],
)  # fmt: skip
def test_another_table_gives_another_text(planted, column, value):
    convergence, table = planted
    other = table.copy()
    other.loc[(table["optimizer"] == "lion") & (table["reference"] == "adam"), column] = value
    before, after = (verdict.compose(convergence, one) for one in (table, other))
    assert verdict.number(100 * value if column == "share_in_spike" else value) in paragraph(after, "lion", 0.8)
    assert paragraph(after, "adam", 0.8) == paragraph(before, "adam", 0.8)


def test_the_verdicts_are_those_of_the_table(planted):
    convergence, table = planted
    rows = table.set_index(["fraction", "optimizer", "reference"])
    assert rows.loc[(0.8, "amsgrad", "adam"), "removes_spikes_adjusted"] == "yes"
    text = verdict.compose(convergence, table)
    assert "It removes them" in paragraph(text, "amsgrad", 0.8)
    assert "It does not remove them" in paragraph(text, "lion", 0.8)
    assert re.search(r"training loss 1\.\d+ \(.*?\) times that of adam \(higher\)", paragraph(text, "amsgrad", 0.8))
    assert re.search(r"test loss 0\.\d+ \(.*?\) times that of adam \(lower\)", paragraph(text, "amsgrad", 0.8))


def test_a_verdict_that_does_not_outlive_the_adjustment_is_said_to_stand_alone(planted):
    convergence, table = planted
    table = table.assign(removes_spikes="yes", removes_spikes_adjusted="cannot say")
    text = paragraph(verdict.compose(convergence, table), "lion", 0.8)
    assert re.search(r"Whether it removes them cannot be said \(.*, alone: yes\)", text)


@pytest.mark.parametrize(
    ("matched", "words"),
    [
        (EFFECTS["amsgrad"], f"{cures.EQUIVALENT}; a smaller step explains it"),
        ((3.0, 1.0, 0.8, 0.3), "differs in sustained spikes, final training loss; a smaller step alone"),
    ],
)
def test_amsgrad_against_a_matched_step(make, matched, words):
    text = verdict.compose(*make({**EFFECTS, "adam_matched": matched}, tall=10))
    section = text.split("## Does AMSGrad do more than take smaller steps?")[1].split("## ")[0]
    assert words in section
    assert "not answer" not in section


def test_steps_that_are_not_equal_do_not_answer(make):
    text = verdict.compose(*make({**EFFECTS, "adam_matched": (0.0, 1.5, 0.8, 0.6)}))
    assert "late effective step 2 (2 to 2). The effective steps are not equal" in text


def test_without_a_matched_step_the_question_stays_open(make):
    text = verdict.compose(*make({"adam": SAME, "amsgrad": SAME}, {}))
    assert "it cannot tell what AMSGrad does from what a smaller step does" in text
    assert "smaller steps?" not in verdict.compose(*make({"adam": SAME, "sgd": SAME}, {}))


def open_questions(convergence, table):
    return list(verdict.unsettled(convergence, table))


def test_what_is_not_settled_follows_the_rules(planted):
    convergence, table = planted
    settled = convergence.assign(convergence="converged", stop_chance_val_low=0.06, test_loss_final=1.0)
    known = table.assign(
        removes_spikes_adjusted="no", price_train_verdict_adjusted="same", price_test_verdict_adjusted="same",
        equivalence="differs", differs_in="price_train",
    )  # fmt: skip
    assert open_questions(settled, known) == []
    assert "Nothing of the above." in verdict.compose(settled, known)
    lion = known["optimizer"] == "lion"
    for column, value, words in (
        ("removes_spikes_adjusted", "cannot say", "tall spikes of adam are removed by"),
        ("price_train_verdict_adjusted", "not settled", "costs in final training loss, against adam"),
        ("price_test_verdict_adjusted", "not settled", "costs in final test loss, against adam"),
    ):
        (found,) = open_questions(settled, known.assign(**{column: known[column].mask(lion, value)}))
        assert words in found
        assert found.endswith("fraction 0.8, lion; fraction 0.2, lion.")
    (found,) = open_questions(settled, known.assign(equivalence="not settled"))
    assert found.startswith("Whether AMSGrad does more")
    assert "adam_matched" in found
    for column, value, words in (
        ("convergence", "cannot say", "has converged: fraction 0.8, adam (5 runs)"),
        ("stop_chance_val_low", 0.01, "more than 5 % of cases: fraction 0.8, adam (5 runs)"),
        ("test_loss_final", np.nan, "Test losses that are not known: fraction 0.8, adam (5 runs)"),
        ("diverged", True, "would have ended that diverged: fraction 0.8, adam (5 runs)"),
    ):
        changed = settled[column].mask(settled["optimizer"] == "adam", value)
        (found,) = open_questions(settled.assign(**{column: changed}), known)
        assert words in found


def test_one_replicate_is_said_to_be_one(make):
    text = verdict.compose(*make({"adam": SAME, "amsgrad": EFFECTS["amsgrad"]}, {}, replicates=1))
    part = paragraph(text, "amsgrad", 0.8)
    assert "1 run)" in part
    assert "Whether it removes them cannot be said" in part
    assert re.search(r"training loss 1\.\d+ \(no interval\) times that of adam \(not settled\)", part)
    assert "How far replicates differ, as there is only one: fraction 0.8, adam, amsgrad." in text


def test_one_optimizer_alone(make):
    text = verdict.compose(*make({"adam": SAME}, {}))
    assert "tall spikes per 1,000 steps" in paragraph(text, "adam", 0.8)
    assert "The price" not in text


def test_diverged_runs_are_named(make, tmp_path):
    def diverge(runs):
        bad = (runs["optimizer"] == "lion") & (runs["replicate"] == 3)
        return runs.assign(diverged=bad, loss_final=runs["loss_final"].mask(bad, np.inf))

    for name, table in zip(("convergence", "cures"), make(change=diverge), strict=True):
        tables.write(table, tmp_path / f"{name}.csv")
    verdict.write(tmp_path / "convergence.csv", tmp_path / "cures.csv", tmp_path / "verdict.md")
    text = (tmp_path / "verdict.md").read_text()
    assert "Diverged: 1 run (replicate 3), left out of comparisons of losses." in paragraph(text, "lion", 0.8)
    assert "How runs would have ended that diverged: fraction 0.8, lion." in text
    assert text.count("Diverged") == 1


def test_empty_tables_are_refused(planted):
    convergence, table = planted
    with pytest.raises(ValueError, match="cures: expected a row per run or comparison, found none"):
        verdict.compose(convergence, table.head(0))
