"""`quasarcurves diagnose` as its users see it: the answer first, notes on what was guessed, mistakes in one line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import quasarcurves
from quasarcurves import cli
from quasarcurves.analysis.checkup import advice

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "tests/unit/analysis/curves/examples"
RNG = np.random.default_rng(7)
EPOCHS = np.arange(120)


def loss(spikes=(), sigma=0.03):
    values = 2 / (1 + EPOCHS / 6) * np.exp(sigma * np.random.default_rng(7).standard_normal(len(EPOCHS)))
    for place in spikes:
        values[place : place + 2] *= 5
    return values


def say(capsys, *arguments):
    assert cli.main(["diagnose", *map(str, arguments)]) == 0
    return re.sub(r"\s+", " ", capsys.readouterr().out)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "90")


def write(name, values, val_loss=None):
    columns = {"loss": list(values)} | ({} if val_loss is None else {"val_loss": list(val_loss)})
    Path(name).write_text(json.dumps(columns))


def test_the_answer_comes_first(capsys):
    assert cli.main(["diagnose", str(EXAMPLES / "keras_csvlogger.csv")]) == 0
    out = capsys.readouterr().out
    assert (
        out.splitlines()[0]
        == "keras_csvlogger: 1 tall rise; still falling; no overfitting seen; ends at a usual point."
    )
    assert max(map(len, out.splitlines())) <= 90
    text = re.sub(r"\s+", " ", out)
    assert "1 rise above twice the course, highest at epoch 42; height 6.17 times the course." in text
    assert "do not worry about a model that is trained on after spikes" in text
    assert "whether a rise in one value was one hard batch or lasted" in text


def test_a_loss_without_spikes_has_none_and_no_advice_on_them(capsys):
    write("a.json", loss())
    text = say(capsys, "a.json")
    assert text.startswith("a: no spike; still falling; no validation loss; ends at a usual point.")
    assert "worry" not in text
    assert "if it is one step's, say so by --per step" in text


def test_overfitting_is_said_with_where_it_begins(capsys):
    write("a.json", loss(), (1 + 1 / (1 + EPOCHS)) * (1 + 0.02 * np.maximum(EPOCHS - 40, 0)))
    text = say(capsys, "a.json")
    assert text.startswith("a: no spike; still falling; overfits;")
    assert "compare the last model with that of the lowest validation loss" in text
    assert "train longer" not in text


def test_three_sizes_say_what_more_data_brings(capsys):
    for n in (256, 1024, 4096):
        write(f"run_n{n}.json", loss(), np.full(120, 2 * n**-0.5) * np.exp(0.01 * RNG.standard_normal(120)))
    text = say(capsys, *(f"run_n{n}.json" for n in (256, 1024, 4096)), "--batch-size", "64")
    assert "From 256 to 4,096 examples each doubling has taken 29" in text
    assert "spectra are" not in text
    assert "steps per epoch 64" in text


def test_more_sizes_say_what_lies_ahead():
    sizes = [64 * 2**i for i in range(7)]
    curves = {str(n): {"loss": loss().tolist(), "val_loss": [2 * n**-0.4 + 0.02] * 120} for n in sizes}
    reply = quasarcurves.diagnose(curves, examples=sizes).together["data"]
    assert reply.answer == "yes"
    assert "doubling the largest set takes" in reply.sentence
    assert "7 of 7 curves still fall" in reply.sentence


def test_spikes_that_follow_steps_are_told_where_steps_per_epoch_differ():
    curves, steps = {}, [5, 8, 12, 20, 30, 40]
    for per_epoch in steps:
        values = 2 / (1 + np.arange(3000) / 300) * np.exp(0.05 * np.random.default_rng(per_epoch).standard_normal(3000))
        for place in range(600, 3000, 300):
            values[place : place + 60] *= 6
        curves[str(per_epoch)] = values
    found = quasarcurves.diagnose(curves, per="step", steps_per_epoch=steps)
    assert found.together["locked"].answer == "steps"


def test_two_sizes_do_not_say_it(capsys):
    for name in ("a.json", "b.json"):
        write(name, loss())
    assert "2 training-set sizes: 3 are needed." in say(capsys, "a.json", "b.json", "--examples", "100,200")
    assert "Would more data help?" not in say(capsys, "a.json", "b.json")


def test_many_curves_get_a_line_each(capsys):
    for name in "abcdef":
        write(f"{name}.json", loss(spikes=[60]))
    text = say(capsys, *(f"{name}.json" for name in "abcdef"))
    assert text.count("1 tall rise") == 6
    assert "Does the loss spike?" not in text


def test_negative_losses_are_not_judged_unless_the_lowest_is_told(capsys):
    write("a.json", loss() - 1)
    assert "values are negative, and all that is told here are factors" in say(capsys, "a.json")
    assert say(capsys, "a.json", "--lowest", "-1").startswith("a: no spike; still falling")


@pytest.mark.parametrize("length", [1, 2, 10])
def test_a_short_curve_is_described_and_not_judged(capsys, length):
    write("a.json", loss()[:length])
    assert say(capsys, "a.json").startswith("a: too short to search for spikes; too few values to judge its end;")


def test_a_last_batch_that_is_hardly_filled_is_a_suspect(capsys):
    write("a.json", loss(spikes=[50, 90]))
    text = say(capsys, "a.json", "--examples", "1000", "--batch-size", "111")
    assert "1,000 examples in batches of 111 leave a last batch of 1: if it is trained on, it is a suspect" in text
    assert "drop the incomplete last batch" in text
    assert "last batch" not in say(capsys, "a.json", "--examples", "1000", "--batch-size", "100")


def test_mistakes_are_one_line(capsys):
    Path("a.csv").write_text("epoch,loss\n0,1\n1,x\n")
    for arguments, message in (
        (["a.csv"], "error: a.csv: row 3, column 'loss': expected a number, found 'x'"),
        (["no.csv"], "error: no.csv: there is no such file or folder"),
        (["a.csv", "--examples", "ten"], "error: --examples: expected numbers with commas between them, found 'ten'"),
        (["a.csv", "--out", "a.csv"], "error: a.csv: expected a name that ends in .html"),
    ):
        assert cli.main(["diagnose", *arguments]) == 1
        assert capsys.readouterr().err == f"{message}\n"


def test_the_function_says_the_same(capsys):
    values = loss(spikes=[60])
    write("loss.json", values)
    found = quasarcurves.diagnose(values)
    assert re.sub(r"\s+", " ", str(found)).strip() == say(capsys, "loss.json").strip()
    kept = json.loads(json.dumps(found.as_dict()))["curves"][0]
    assert kept["answers"]["spikes"]["answer"] == "yes"
    assert kept["spikes"][0]["peak"] in (60, 61)
    with pytest.raises(ValueError, match="per: expected 'epoch' or 'step', found 'day'"):
        quasarcurves.diagnose(values, per="day")
    with pytest.raises(AttributeError, match="diagnos"):
        _ = quasarcurves.diagnos


def test_evidence_is_that_of_the_page_on_what_was_found():
    page = re.sub(r"\s+", " ", (ROOT / "docs/findings.md").read_text())
    page = re.sub(r"\((\d\.\d+), (\d)", r"\1 (\2", page)  # what stands in brackets there
    for text in advice.EVIDENCE.values():
        for number in re.findall(r"\d+\.\d+(?: \(\d[\d.]* to \d[\d.]*\))?", text):
            assert number in page, number
    for words in ("0 against 29", "in 15 of 25 runs", "in 1 surely better", "An incomplete last batch makes spikes"):
        assert words in page


def test_nothing_that_trains_or_draws_is_imported():
    code = (
        "import sys, quasarcurves\n"
        f"quasarcurves.diagnose({str(EXAMPLES / 'keras_csvlogger.csv')!r})\n"
        "print(sorted({'tensorflow', 'keras', 'jax', 'matplotlib', 'plotly', 'snakemake'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (result.stdout, result.stderr) == ("[]\n", "")


PAGE = (ROOT / "docs/diagnose.md").read_text()


def test_the_code_of_the_page_on_it_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert sum(len(block.strip().splitlines()) for block in blocks[:2]) <= 10

    class Model:
        history = {"loss": loss(spikes=[60]).tolist(), "val_loss": loss().tolist()}  # noqa: RUF012

        def fit(self, *data, **options):
            return self

    names = {"model": Model(), "x": None, "y": None, "losses": loss(), "val_losses": loss()}
    for block in blocks:
        exec(block, names)
    assert capsys.readouterr().out.startswith("loss: 1 tall rise; still falling;")
    assert names["found"].curves[0].curve.known["steps_per_epoch"] == 32
    assert json.loads(Path("history.json").read_text()) == Model.history


def test_the_commands_of_the_page_on_it_run(capsys):
    write("history.json", loss())
    Path("log.csv").write_text("epoch,total,total_held_out\n" + "".join(f"{i},{2 / (i + 1)},1\n" for i in EPOCHS))
    for name in ("small", "middle", "large"):
        Path(f"{name}.csv").write_text("epoch,loss\n" + "".join(f"{i},{2 / (i + 1)}\n" for i in EPOCHS))
    commands = re.findall(r"^quasarcurves (.*)$", PAGE, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        assert cli.main(command.split()) == 0
        assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_has_read_enough_is_no_fault(tmp_path):
    """As `| head` is."""
    (tmp_path / "log.csv").write_text("epoch,loss\n" + "".join(f"{each},{1 / (each + 1)}\n" for each in range(50)))
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "quasarcurves.cli", "diagnose", "log.csv"]
    done = subprocess.run(command, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
