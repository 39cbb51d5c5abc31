"""The table at the end of a study."""

import copy
import io
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rich.console import Console

from quasarcurves import cli
from quasarcurves.cli import studies, summary
from quasarcurves.page import banner
from quasarcurves.study import Study
from support import made_up_results


@pytest.fixture
def results(tmp_path):
    """Two optimizers, two replicates."""
    run = {"n_train": 1024, "loss_last": 0.01, "val_loss_lowest": 0.5, "highest_ratio": 9.0}
    rows = [
        {
            "fraction": 0.8,
            "replicate": replicate,
            "optimizer": name,
            **run,
            "diverged": replicate == 1 and name == "adam",
        }
        for replicate in (0, 1)
        for name in ("adam", "sgd")
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path


def shown(results, width=100):
    output = io.StringIO()
    summary.show(results, Console(file=output, width=width))
    return output.getvalue()


def row(text, optimizer):
    return next(line for line in text.splitlines() if f" {optimizer} " in line)


def test_crossing_points_are_those_of_final_models(results):
    rows = [
        (0.8, name, model, n_detect, sample, value)
        for name, value in (("adam", 0.954), ("sgd", None))
        for model, n_detect, sample, value in (
            ("final", 1, "all", value), ("best", 1, "all", 0.1), ("final", 2, "all", 0.2), ("final", 1, "bal", 0.3),
        )
    ]  # fmt: skip
    columns = ["fraction", "optimizer", "model", "n_detect", "sample", "crossing"]
    pd.DataFrame(rows, columns=columns).to_csv(results / "test_summary.csv", index=False)
    text = shown(results)
    assert "95.4 %" in row(text, "adam")
    assert "%" not in row(text, "sgd")


def test_runs_and_those_that_diverged_are_counted(results):
    text = shown(results)
    assert row(text, "adam").split()[2:4] == ["2", "1"]
    assert row(text, "sgd").split()[2:4] == ["2", "0"]


def test_converged_runs_are_counted(results):
    assert row(shown(results), "adam").split()[5] == "-"
    rows = [
        (0.8, r, name, verdict) for name, verdict in (("adam", "still falling"), ("sgd", "converged")) for r in (0, 1)
    ]
    pd.DataFrame(rows, columns=["fraction", "replicate", "optimizer", "convergence"]).to_csv(
        results / "convergence.csv", index=False
    )
    text = shown(results)
    assert "0 of 2" in row(text, "adam")
    assert "2 of 2" in row(text, "sgd")


def reply(optimizer, sentence):
    return {"optimizer": optimizer, "sentence": sentence}


def test_it_leads_with_the_answer(results):
    (results / "answer.md").write_text("# Answer\n\nThe headline, 0.5 of it.\n\n**Why does the loss spike?** More.\n")
    replies = {
        "why": reply("adam", "It has 3 spikes, 0.15 (0.1 to 0.2) per 1,000 steps; more. And more."),
        "cures": [reply(name, f"{name} does not. Really.") for name in ("a", "b", "c", "d", "e")],
        "converged": [reply("adam", "adam: no."), reply("adam", "by another metric.")],
        "enough_data": [reply("adam", "[cannot] be said: 2 sizes.")],
    }
    (results / "answer.json").write_text(json.dumps(replies))
    (results / "index.html").touch()
    lines = [line.rstrip() for line in shown(results).splitlines()]
    assert lines[0] == "The headline, 0.5 of it."
    assert lines[2:4] == ["Why does the loss spike?", "  It has 3 spikes, 0.15 (0.1 to 0.2) per 1,000 steps."]
    cures = lines.index("Does anything cure it?")
    assert lines[cures + 1 : cures + 5] == [
        "  a does not.", "  b does not.", "  c does not.", "  and 2 further optimizers: answer.json"
    ]  # fmt: skip
    assert lines[lines.index("Has each model converged?") + 1 :][:2] == ["  adam: no.", ""]
    assert "  [cannot] be said: 2 sizes." in lines
    assert lines[-2].startswith("Page:")  # there are no figures here
    assert lines[-1].startswith("Answers:")


def test_an_answer_that_is_not_current_says_so_first(results):
    page = "# Answer\n\nThe headline.\n\n**Why does the loss spike?** More.\n"
    (results / "answer.md").write_text(banner.put(page, "train f0.8_r0/adam is outdated."))
    replies = {"why": reply("adam", "It."), "cures": [], "converged": [], "enough_data": []}
    (results / "answer.json").write_text(json.dumps(replies))
    lines = [line.strip() for line in shown(results).splitlines()]
    assert lines[:2] == ["These results are not current. train f0.8_r0/adam is outdated.", "The headline."]


CONFIG = {
    "study": {"name": "planted"},
    "data": {"source": "simulated", "n_spectra": 400},
    "subsets": {"fractions": [0.8]},
    "training": {"epochs": 60},
    "optimizers": {"adam": {"class": "Adam"}},
}
HEADS = {
    "spike_statistics": "fraction,replicate,optimizer,scale,spikes",
    "test_summary": "fraction,optimizer,model,n_detect,sample,crossing",
    "convergence": "fraction,replicate,optimizer,convergence",
}


@pytest.fixture
def made(results, monkeypatch):
    """All results of a study of 60 epochs, its tables with a head alone, in the folder that the test is in."""
    monkeypatch.chdir(results)
    study = Study.from_config(CONFIG)
    made_up_results.make(study)
    (results / "runs.csv").rename(study.results / "runs.csv")
    for name, head in HEADS.items():
        (study.results / f"{name}.csv").write_text(head + "\n")
    (study.results / "answer.json").write_text('{"why": [], "cures": [], "converged": [], "enough_data": []}')
    return study


def write_study(epochs):
    config = copy.deepcopy(CONFIG)
    config["training"]["epochs"] = epochs
    Path("config.yaml").write_text(yaml.safe_dump(config))


@pytest.mark.parametrize("given", ["results/planted", "config.yaml"])
@pytest.mark.parametrize("answered", [True, False])
def test_results_of_a_study_that_was_changed_since_say_so_before_their_numbers(made, capsys, given, answered):
    if not answered:
        (made.results / "answer.md").unlink()
    write_study(80)
    assert cli.main(["summary", given]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(
        "These results are not current. train f0.8_r0/adam is outdated (training.epochs is 80, was 60)"
    )
    assert said.count("not current.") == 1
    if answered:
        assert "not current" in (made.results / "answer.md").read_text()
        write_study(60)
        cli.main(["summary", given])
        assert "not current" not in capsys.readouterr().out


def test_a_folder_of_another_study_than_that_of_the_folder_is_shown_as_it_is(made, capsys):
    write_study(80)
    made.results.rename("elsewhere")
    assert cli.main(["summary", "elsewhere"]) == 0
    assert "not current" not in capsys.readouterr().out


def test_a_folder_without_results_is_refused(made, capsys):
    assert cli.main(["summary", "nowhere"]) == 1
    assert capsys.readouterr().err == "error: nowhere: expected the results of a study, found no runs.csv there\n"


def test_a_kept_model_of_a_training_that_is_to_be_done_again_needs_what_trains(made, monkeypatch):
    monkeypatch.setattr(studies, "find_spec", lambda name: None)
    studies._require_backend(made)
    config = copy.deepcopy(CONFIG)
    config["training"]["epochs"] = 80
    with pytest.raises(ModuleNotFoundError, match="this needs TensorFlow"):
        studies._require_backend(Study.from_config(config))


def test_columns_are_explained_and_none_invites_to_stop_by_loss(results):
    text = " ".join(shown(results).split())
    for column in ("Spikes:", "Converged:", "Last loss:", "Crossing:"):
        assert column in text
    assert "val" not in text


def test_a_study_without_evaluation_has_none(results):
    assert "%" not in row(shown(results), "adam")


def test_spikes_are_the_sustained_ones_of_steps_over_all_replicates(results):
    assert " - " in row(shown(results), "sgd")
    rows = [
        (0.8, replicate, name, scale, spikes)
        for name, scale, spikes in (("adam", "step", 3), ("adam", "epoch", 50), ("sgd", "step", 0))
        for replicate in (0, 1)
    ]
    columns = ["fraction", "replicate", "optimizer", "scale", "spikes"]
    pd.DataFrame(rows, columns=columns).to_csv(results / "spike_statistics.csv", index=False)
    text = shown(results)
    assert row(text, "adam").split()[4] == "6"
    assert row(text, "sgd").split()[4] == "0"


def test_everything_fits_a_narrow_terminal(results):
    assert "…" not in shown(results, 80)
