"""The page says in a sentence what replays found, and nothing where there were none."""

from dataclasses import replace

from tests.support import planted_replays
from tests.support.made_up_answers import make_study

from quasarcurves.analysis.answer import compose
from quasarcurves.analysis.answer import replays as said
from quasarcurves.analysis.replays import findings, interventions

ARMS = {"step_x0.5": 0.02, "v_x4": 0.02, "m_0": 1.0}


def studied(**options):
    outcomes = planted_replays.make(**options)
    tables = {"interventions": interventions.compare(outcomes), "replay_findings": findings.judge(outcomes)}
    return replace(make_study(0), **tables)


def test_nothing_is_said_without_replays():
    study = make_study(0)
    assert said.sentence(study) == ""
    assert "replays" not in compose.as_page(study, compose.answers(study))


def test_the_arm_that_lowers_most_and_the_rules_are_named():
    study = studied(runs=5, hazard=2.0, arms=ARMS)
    text = said.sentence(study)
    assert text.startswith("adam, 1,024 spectra: with other orders of batches ")
    assert "lowers that most, to 0.0" in text
    assert "the step's size permits it: yes" in text
    assert "not settled: noise drives it" in text
    page = compose.as_page(study, compose.answers(study))
    assert f"**What do replays show?** {text}" in page
    assert len(page.splitlines()) <= compose.MOST_LINES


def test_the_cheapest_arm_that_takes_the_hazard_under_a_tenth_is_named_with_its_price():
    prices = {"as_it_is": 1.0, "step_x0.5": 0.8, "v_x4": 0.95, "m_0": 0.5}
    text = said.sentence(studied(runs=5, hazard=4.0, arms=ARMS, replays=16, prices=prices))
    assert "the cheapest that takes it under a tenth is step_x0.5, which ends at 0.79" in text
    weaker = said.sentence(studied(runs=5, hazard=4.0, arms={"step_x0.5": 0.3}, replays=16))
    assert "none is shown to take it under a tenth" in weaker


def test_what_only_lowers_the_loss_is_told_from_what_lowers_rises_over_the_own_level():
    options = {"runs": 5, "hazard": 3.0, "arms": {"norm_256": 1.0, "v_x4": 0.02}, "grid": 16}
    text = said.sentence(studied(**options, low=["norm_256"]))
    assert "that rises over a replay's own level are fewer is not shown for norm_256 (" in text
    assert "own level" not in said.sentence(studied(**options | {"arms": ARMS}))


def test_no_spike_is_said():
    assert said.sentence(studied(process="none")) == "adam, 1,024 spectra: of 96 replays as it is none spiked."
