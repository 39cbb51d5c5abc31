"""What the answers claim, read back and held against the tables."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from quasarcurves.analysis import answer
from quasarcurves.analysis.answer import compose
from quasarcurves.analysis.answer.replies import bounds
from quasarcurves.analysis.causes.hypotheses import AMSGRAD_RULE
from quasarcurves.analysis.stats.rates import Counts, rate
from quasarcurves.analysis.wording import number
from quasarcurves.quasarnet.analysis.description import DESCRIPTION
from support.made_up_answers import make_study

STUDIES = st.builds(
    make_study,
    seed=st.integers(0, 10**6),
    optimizers=st.integers(1, 8),
    sizes=st.integers(1, 9),
    replicates=st.integers(1, 4),
    epochs=st.sampled_from([1, 5, 50, 51, 600]),
    validated=st.booleans(),
    diverging=st.sampled_from([0.0, 0.1, 1.0]),
    spiking=st.sampled_from([0.0, 0.5, 5.0]),
)
SOME = settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.generate])
QUESTIONS = ("why", "cures", "converged", "enough_data")


def composed(study):
    replies = compose.answers(study)
    return compose.as_page(study, replies), json.loads(json.dumps(compose.as_json(replies), allow_nan=False))


def searched(study, name):
    """Spikes and steps of an optimizer, counted from the rows themselves."""
    rows = study.spike_statistics.query("scale == 'step' and optimizer == @name and steps >= 101")
    return rows["spikes"].sum(), rows["steps"].sum()


def rate_between_replicates(study, name=None):
    """Rate per 1,000 steps of an optimizer or all, with the interval over its replicates, and how the text calls it."""
    rows = study.spike_statistics.query("scale == 'step' and steps >= 101")
    sums = rows[rows["optimizer"] == name] if name else rows
    sums = sums.groupby("replicate")[["spikes", "steps"]].sum().to_numpy(float)
    of = "within this one replicate" if len(sums) == 1 else f"by {len(sums)} replicates"
    return rate(Counts(sums[:, 0], sums[:, 1] / 1000)), of


@SOME
@given(STUDIES)
def test_the_page_is_short_whole_and_well_written(study):
    page, data = composed(study)
    assert len(page.splitlines()) <= 60
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b|f0\.\d+_r\d|\{|\}", page)
    assert not re.search(r"  |\.\.|\. \.|: \.|\(\)|, ,|;;|:\*\* \.", page)
    assert not re.search(
        r"(?<![\d.,])1 (?:runs|steps|sizes|spikes|sustained spikes|optimizers|replicates|minutes)\b", page
    )
    assert not re.search(
        r"(?<![\d.,])(?:0|[2-9]|\d\d+) (?:run|step|size|sustained spike|optimizer|minute)\b(?! )", page
    )
    for title in compose.QUESTIONS.values():
        assert re.search(rf"^\*\*{re.escape(title)}\*\* .+\.", page, re.MULTILINE)
    assert re.search(r"^\*\*Do this:\*\* .+\.$", page, re.MULTILINE)
    assert re.search(r"^\*\*What would settle it:\*\* .+\.$", page, re.MULTILINE)
    for reply in [data["why"], *data["cures"], *data["converged"], *data["enough_data"]]:
        assert reply["sentence"].endswith(".")
        words = ("yes", "no", "cannot say", *(["fewer"] if reply in data["cures"] else []))
        assert reply["answer"] in words or reply["answer"] == reply["estimate"]


@SOME
@given(STUDIES)
def test_why_is_what_the_counts_and_verdicts_say(study):
    _, data = composed(study)
    why, found = data["why"], {name: searched(study, name) for name in study.optimizers}
    spikes, steps = (sum(each[i] for each in found.values()) for i in (0, 1))
    unsearched = int((study.runs["epochs"] <= 50).sum())
    assert ("No epoch of any run was searched" in why["sentence"]) == (bool(steps) and unsearched == len(study.runs))
    if not steps:
        assert why["answer"] == "cannot say"
        assert "No step was searched" in why["sentence"]
        assert (why["estimate"], why["low"], why["high"]) == (None, None, None)
        return
    if not spikes:
        assert why["answer"] == "no"
        assert f"no sustained spike in {steps:,} step" in why["sentence"]
        (_, _, high), of = rate_between_replicates(study)
        assert why["high"] == high >= 3688 / steps  # -log(0.025) events at most, if runs do not differ
        assert f"fewer than {number(high)} per 1,000 steps {of}" in why["sentence"]
        assert "follow" not in why["sentence"]
        return
    name = why["optimizer"]
    assert found[name][0] == max(n for n, _ in found.values())
    assert re.search(rf"{name} has {found[name][0]:,} sustained spikes? in {found[name][1]:,} steps", why["sentence"])
    assert why["estimate"] == pytest.approx(1000 * found[name][0] / found[name][1])
    (_, low, high), of = rate_between_replicates(study, name)
    assert (why["low"], why["high"]) == (low, high)
    assert f"{number(why['estimate'])} {bounds(low, high)} per 1,000 steps {of}" in why["sentence"]
    assert_told_what_spikes_follow(study.spike_trends.query("optimizer == @name and scale == 'step'"), why["sentence"])
    supported = study.hypotheses.query("optimizer == @name and verdict == 'supported'")
    held = study.cures_overall.query(
        "optimizer == 'adam_matched' and reference == @name and "
        "(removes_spikes == 'yes' or (removes_spikes == 'cannot say' and lowers_spikes == 'yes'))"
    )
    assert ("The size of the step permits them: adam_matched" in why["sentence"]) == (len(held) > 0)
    assert (why["answer"] == "yes") == (len(supported) > 0 or len(held) > 0)
    assert all(cause in why["sentence"] for cause in supported["hypothesis"][:3])
    onsets = study.spikes.query("optimizer == @name and scale == 'step'")["onset"]
    longest = study.spike_statistics.query("optimizer == @name and scale == 'step'").groupby("n_train")
    quiet = longest["spikes"].sum().eq(0) & longest["steps"].max().le(onsets.min())
    assert ("means nothing" in why["sentence"]) == quiet.any()


def assert_told_what_spikes_follow(trends, text):
    assert text.count("ey follow") == len(trends)
    for trend in trends.to_dict("records"):
        p = {unit: number(trend[f"{unit}_p"]) for unit in ("steps", "epochs")}
        told = {
            "steps": f"They follow steps: a rate fixed per epoch is refused (p = {p['epochs']}), ",
            "epochs": f"They follow epochs: a rate fixed per step is refused (p = {p['steps']}), ",
            "neither": f"They follow neither steps nor epochs: both are refused (p = {p['steps']} and {p['epochs']}).",
            "undecided": f"Whether they follow steps or epochs cannot be told: {trend['reason']}.",
        }
        assert told[trend["verdict"]] in text


def test_a_rate_of_replicates_that_differ_is_less_certain_than_that_of_one():
    study = make_study(3, optimizers=1, sizes=1, replicates=3, epochs=600, diverging=0.0)
    study.spike_statistics.loc[study.spike_statistics["scale"] == "step", "spikes"] = [12, 3, 0]
    several = composed(study)[1]["why"]
    alone = replace(study, spike_statistics=study.spike_statistics.assign(replicate=0))
    within = composed(alone)[1]["why"]
    assert several["estimate"] == within["estimate"]
    assert several["low"] < within["low"]
    assert several["high"] > within["high"]
    assert "by 3 replicates" in several["sentence"]
    assert "within this one replicate" in within["sentence"]


def test_a_step_held_at_that_of_another_shows_the_cause():
    study = make_study(3, optimizers=3, sizes=1, replicates=3, spiking=20.0, diverging=0.0)
    overall = study.cures_overall
    overall.loc[overall["optimizer"] == "adam_matched", ["removes_spikes", "rate_ratio", "spikes_sustained"]] = (
        "yes", 0.1, 0,
    )  # fmt: skip
    study.spike_statistics.loc[study.spike_statistics["optimizer"] != "adam", "spikes"] = 0
    _, data = composed(study)
    assert data["why"]["answer"] == "yes"
    assert "adam_matched, whose step is held at that of amsgrad, has 0 against" in data["why"]["sentence"]


def test_that_amsgrad_keeps_its_rule_is_no_cause():
    study = make_study(3, optimizers=1, sizes=1, replicates=3, spiking=20.0, diverging=0.0)
    one = study.hypotheses.head(1)
    name = one["optimizer"].item()
    kept = one.assign(hypothesis=AMSGRAD_RULE, verdict="supported")
    open_one = one.assign(hypothesis="effective step grows", verdict="not settled")
    _, data = composed(replace(study, hypotheses=pd.concat([kept, open_one])))
    assert (data["why"]["answer"], data["why"]["optimizer"]) == ("cannot say", name)
    assert "Of 1 published cause none is supported" in data["why"]["sentence"]
    _, data = composed(replace(study, hypotheses=open_one.assign(verdict="supported")))
    assert data["why"]["answer"] == "yes"


@SOME
@given(STUDIES)
def test_cures_are_those_of_the_table(study):
    _, data = composed(study)
    rows = study.cures_overall.to_dict("records")
    assert [reply["optimizer"] for reply in data["cures"]] == ([row["optimizer"] for row in rows] or [None])
    for row, reply in zip(rows, data["cures"], strict=False):
        has_steps = all(searched(study, row[role])[1] for role in ("optimizer", "reference"))
        settled = has_steps and row["spikes_reference"]
        fewer = row["removes_spikes"] == "cannot say" and row["lowers_spikes"] == "yes"
        assert reply["answer"] == ("cannot say" if not settled else "fewer" if fewer else row["removes_spikes"])
        assert ("Whether it leaves less than half of them cannot be said." in reply["sentence"]) == bool(
            settled and fewer
        )
        assert ("no step was searched" in reply["sentence"]) == (not has_steps)
        if not settled:
            continue
        against = f"{row['spikes_sustained']:,.0f} against {row['spikes_reference']:,.0f} sustained spike"
        assert against in reply["sentence"]
        for end, name in (("", "estimate"), ("_low", "low"), ("_high", "high")):
            assert reply[name] == (
                pytest.approx(row[f"rate_ratio{end}"]) if np.isfinite(row[f"rate_ratio{end}"]) else None
            )
        difference = row["difference_completeness"]
        if np.isfinite(difference):
            assert f"completeness changes by {number(difference)}" in reply["sentence"]
        else:
            assert "completeness" not in reply["sentence"]


@SOME
@given(STUDIES)
def test_convergence_is_counted(study):
    _, data = composed(study)
    for reply in data["converged"]:
        rows = study.convergence[study.convergence["optimizer"] == reply["optimizer"]]
        counts, n = rows["convergence"].value_counts(), len(rows)
        expected = "yes" if counts.get("converged") == n else "no"
        if expected == "no" and set(counts.index) <= {"converged", "cannot say"}:
            expected = "cannot say"
        assert reply["answer"] == expected
        words = reply["sentence"].split(";")[0].split(". ")[0]
        assert f"of {n} run{'s' * (n > 1)} the training loss " in words
        assert sorted(map(int, re.findall(r" in (\d+)", words))) == sorted(counts)
        known = rows["change_train"].dropna().sort_values()
        assert reply["estimate"] == (known.iloc[(len(known) - 1) // 2] if len(known) else None)
        validated = study.runs["val_loss_lowest"].notna().any()
        assert ("No run has a validation loss" in reply["sentence"]) == (not validated)
        worse, late = (int(rows[f"stop_late_{what}"].sum()) for what in ("worse", "epochs"))
        loss = "validation" if validated else "training"
        told = f"Of {late:,} late epoch{'s' * (late > 1)}, {worse:,} would be bad to stop at, with a {loss} loss"
        assert (told in reply["sentence"]) == ("late epoch" in reply["sentence"]) == (late > 0)
        stops = study.stopping.query("metric == 'completeness' and optimizer == @reply['optimizer']")["verdict"]
        worse, better = (stops == "best is worse").sum(), (stops == "best is better").sum()
        assert ("Use the last model:" in reply["sentence"]) == (worse > len(stops) / 2)
        assert ("Use the model that validation" in reply["sentence"]) == (better > len(stops) / 2)
        if worse + better:
            assert f"worse completeness in {worse} and better completeness in {better} of {n} run" in reply["sentence"]


@SOME
@given(STUDIES)
def test_enough_data_is_what_the_curves_say(study):
    _, data = composed(study)
    rows = {(row["optimizer"], row["metric"]): row for row in study.learning_curve.to_dict("records")}
    assert len(data["enough_data"]) == len(rows)
    for reply in data["enough_data"]:
        row = rows[reply["optimizer"], reply["metric"]]
        gain = row["gain_per_doubling"]
        if np.isfinite(row["n_required"]):
            assert reply["answer"] == reply["estimate"] == row["n_required"]
            assert f"{row['n_required']:,.0f} spectra" in reply["sentence"]
            target = re.search(r"of ([\d.]+);", reply["sentence"])[1]
            assert target == number(row["target_given"])
        else:
            assert reply["answer"] == ("no" if np.isfinite(gain) and row["gain_per_doubling_low"] > 0 else "cannot say")
            assert (f"still takes {number(100 * gain)} %" in reply["sentence"]) == (reply["answer"] == "no")
            assert "cannot be said" in reply["sentence"]
        said = "Some runs still train" in reply["sentence"]
        assert said == (row["still_training"] and (np.isfinite(row["n_required"]) or np.isfinite(gain)))


def test_tables_hold_the_counts_of_each_size():
    study = make_study(3, sizes=3, epochs=600)
    page, _ = composed(study)
    for name in study.optimizers:
        part = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for n, runs in study.runs[study.runs["optimizer"] == name].groupby("n_train"):
            cells = re.search(rf"^\| {n:,} \|(.*)\|$", part, re.MULTILINE)[1].split(" | ")
            rows = study.spike_statistics.query(
                "scale == 'step' and optimizer == @name and n_train == @n and steps >= 101"
            )
            assert cells[0].strip() == str(len(runs))
            assert cells[2] == (str(rows["spikes"].sum()) if len(rows) else "not searched")


def test_many_optimizers_are_counted_where_there_is_no_room():
    page, data = composed(make_study(1, optimizers=8, sizes=9))
    assert len(data["converged"]) == 8
    assert "Of 4 further optimizers: " in page
    assert re.search(r"No room is left here for \d optimizers", page)


def test_nobody_knows_how_long_it_takes_without_seconds():
    study = make_study(2)
    study.runs["seconds"] = np.nan
    assert "minute" not in composed(study)[0].replace("Minutes are of", "")


def test_minutes_are_those_of_the_runs():
    study = make_study(0, optimizers=1, sizes=3, replicates=1, diverging=0)
    study.runs["seconds"] = [300.0, 200.0, 100.0]
    needs = next(reply["needs"] for reply in composed(study)[1]["enough_data"] if reply["metric"] == "crossing")
    assert needs == "2 more and smaller sizes for adam: about 3 minutes"


def test_files_are_written(tmp_path):
    study = make_study(4)
    known = {name: table for name, table in vars(study).items() if isinstance(table, pd.DataFrame)}
    paths = [tmp_path / f"{name}.csv" for name in known]
    for table, path in zip(known.values(), paths, strict=True):
        table.to_csv(path, index=False)
    answer.write(*paths, tmp_path / "answer.md", tmp_path / "answer.json", description=DESCRIPTION)
    data = json.loads((tmp_path / "answer.json").read_text())
    assert tuple(data) == QUESTIONS
    assert (tmp_path / "answer.md").read_text().startswith("# Answer\n")
    pd.DataFrame(columns=study.runs.columns).to_csv(paths[0], index=False)
    with pytest.raises(ValueError, match=r"runs.csv: expected a row per run, found none"):
        answer.write(*paths, tmp_path / "answer.md", tmp_path / "answer.json", description=DESCRIPTION)
