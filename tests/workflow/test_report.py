"""Snakemake's report of the finished smoke study: every figure once, labelled by what it shows, and every table."""

import html
import json
import re
import zipfile
from pathlib import Path

import matplotlib.image
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("finished smoke study")]

FIGURES = {
    ("loss against epoch, by training-set size", "adam", "all"): "loss_by_fraction_adam.png",
    ("loss against epoch, by training-set size", "amsgrad", "all"): "loss_by_fraction_amsgrad.png",
    ("loss against epoch, by optimizer", "all", "all"): "loss_by_optimizer.png",
    ("training and validation loss together", "adam", "all"): "train_validation_adam.png",
    ("training and validation loss together", "amsgrad", "all"): "train_validation_amsgrad.png",
    ("spikes found", "adam", "all"): "detected_spikes_adam.png",
    ("spikes found", "amsgrad", "all"): "detected_spikes_amsgrad.png",
    ("rate, height and duration of spikes", "all", "all"): "spike_statistics.png",
    ("what moves around a spike", "adam", "all"): "aligned_adam.png",
    ("what moves around a spike", "amsgrad", "all"): "aligned_amsgrad.png",
    ("rate of spikes against final loss", "all", "all"): "cures.png",
    ("purity, completeness and dv on the test set", "adam", "all"): "purity_completeness_adam.png",
    ("purity, completeness and dv on the test set", "amsgrad", "all"): "purity_completeness_amsgrad.png",
    ("do confidences mean probabilities", "adam", "all"): "calibration_adam.png",
    ("do confidences mean probabilities", "amsgrad", "all"): "calibration_amsgrad.png",
    ("where the errors are", "adam", "all"): "errors_adam.png",
    ("where the errors are", "amsgrad", "all"): "errors_amsgrad.png",
    ("the worst spectra of the test set", "adam", "all"): "gallery_adam.png",
    ("the worst spectra of the test set", "amsgrad", "all"): "gallery_amsgrad.png",
    ("test errors against training-set size", "all", "all"): "learning_curve.png",
}
TABLES = {
    "answer.md", "runs.csv", "spikes.csv", "spike_statistics.csv", "spike_trends.csv", "hypotheses.csv",
    "predictors.csv", "cures.csv", "cures_overall.csv", "stopping.csv", "convergence.csv", "test_losses.csv",
    "test_summary.csv", "test_metrics.csv", "learning_curve.csv", "confusion.csv", "error_counts.csv", "examples.csv",
    "calibration.csv", "errors_by_redshift.csv", "redshift_wiggles.csv", "false_positives.csv",
}  # fmt: skip


def script(page: str, name: str) -> object:
    """Give one of the data sets that the page carries."""
    return json.loads(re.search(rf'<script id="{name}">\s*var \w+ = (.*?);\s*</script>', page, re.DOTALL)[1])


@pytest.fixture(scope="module")
def report(finished, snakemake, tmp_path_factory):
    """Make the report and unpack it; give its folder."""
    folder = tmp_path_factory.mktemp("report")
    study = Path(__file__).parents[2] / "workflow" / "studies" / "smoke.yaml"
    result = snakemake(finished, "--configfile", study, "--report", folder / "report.zip")
    assert result.returncode == 0, result.stdout
    with zipfile.ZipFile(folder / "report.zip") as archive:
        archive.extractall(folder)
    return folder / "report"


@pytest.fixture(scope="module")
def page(report):
    return (report / "report.html").read_text()


def test_figures_are_listed_by_what_they_show_optimizer_and_fraction(page):
    results = script(page, "results").values()
    found = {tuple(entry["labels"].values()): entry["name"] for entry in results if "figure" in entry["labels"]}
    assert found == FIGURES
    assert {key for entry in results for key in entry["labels"]} == {"figure", "optimizer", "fraction", "table"}
    assert all(isinstance(value, str) for entry in results for value in entry["labels"].values())
    assert {entry["mime_type"] for entry in results} == {"image/png", "text/html"}


def test_every_file_is_in_the_report_and_is_what_the_study_made(page, report, finished):
    for path, entry in script(page, "results").items():
        content = (report / entry["data_uri"]).read_bytes()
        assert content == (finished / path).read_bytes()
        if entry["mime_type"] == "image/png":
            assert matplotlib.image.imread(report / entry["data_uri"]).std() > 0.02


def test_tables_can_be_looked_at(page, report, finished):
    entries = {e["labels"]["table"]: e for e in script(page, "results").values() if "table" in e["labels"]}
    assert set(entries) == TABLES
    shown = (report / entries["runs.csv"]["data_uri"]).read_text()
    rows = (finished / "results" / "smoke" / "runs.csv").read_text().splitlines()
    assert shown.count("<tr") == len(rows)
    assert all(f"<th>{column}</th>" in shown for column in rows[0].split(","))


def test_every_result_has_a_caption_and_a_category(page):
    for entry in script(page, "results").values():
        assert len(re.sub("<.*?>", "", entry["caption"]).split()) > 15, entry["name"]
    assert sorted(script(page, "categories")) == [
        "0. The answer",
        "1. Why does the loss spike?",
        "2. Does anything cure it?",
        "3. Has each model converged?",
        "4. How much data is enough?",
        "6. Tables",
    ]
    assert "adam" in script(page, "results")["results/smoke/figures/detected_spikes_adam.png"]["caption"]


def test_the_report_begins_with_the_study(page):
    description = script(page, "workflow-desc")
    assert "smoke" in description
    assert "replicate" in description


def test_the_report_opens_on_the_answer_which_is_no_raw_markdown(page, report, finished):
    description = " ".join(re.sub("<.*?>", "", script(page, "workflow-desc")).split())
    headline = (finished / "results" / "smoke" / "answer.md").read_text().splitlines()[2]
    assert " ".join(headline.split()) in html.unescape(description)
    (entry,) = (e for e in script(page, "results").values() if e["labels"].get("table") == "answer.md")
    shown = (report / entry["data_uri"]).read_text()
    assert "<table>" in shown
    assert "**" not in shown
