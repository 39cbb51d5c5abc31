"""The page that shows a study while it runs: who may ask, what is answered, and that it is on this machine alone."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection

import pytest
import yaml

from quasarcurves.cli import watch
from quasarcurves.study import Study
from quasarcurves.training.progress import Reporter
from support.snakemake_logs import MadeUpLog

CONFIG = """
study: {name: planted}
data: {source: simulated, n_spectra: 100}
subsets: {fractions: [0.8, 0.4]}
training: {epochs: 10, batch_size: 10}
optimizers: {adam: {class: Adam}, sgd: {class: SGD}}
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "_STATE_SECONDS", 0)
    return Study.from_config(yaml.safe_load(CONFIG))


@pytest.fixture
def address(study):
    server, address = watch.serve(study)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield address
    server.shutdown()
    thread.join()
    server.server_close()


def ask(address, path="", host=None):
    """Return status, kind and content of an answer, the path as it is: no client tidies it up."""
    _, _, place, token, _ = address.split("/")
    connection = HTTPConnection(place, timeout=10)
    connection.putrequest("GET", f"/{token}/{path}", skip_host=True)
    connection.putheader("Host", host or place)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.getheader("Content-Type"), answer.read().decode()
    connection.close()
    return found


def state(address):
    return json.loads(ask(address, "state.json")[2])


def test_the_page_asks_nobody_else(address):
    status, kind, page = ask(address)
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert not re.search(r"""https?:|["'(]//""", page.replace("http://www.w3.org/2000/svg", ""))


def test_without_the_token_everything_is_forbidden(address):
    place, token = address.rsplit("/", 2)[0], address.rsplit("/", 2)[1]
    for path in ("", "/", "/state.json", "/x/state.json", f"/{token}", f"/{token[:-1]}/", f"//{token[1:]}/state.json"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(place + path)
        assert error.value.code == 403, path
        error.value.close()
    assert len(token) > 20


def test_another_name_for_this_machine_is_forbidden(address):
    """As of a page elsewhere that has its own name point here."""
    port = address.split(":")[2].split("/")[0]
    assert ask(address, "state.json", f"localhost:{port}")[0] == 200
    assert ask(address, "state.json", f"evil.example:{port}")[0] == 403


def test_it_listens_on_this_machine_alone_and_each_call_has_a_token_of_its_own(study):
    first, address = watch.serve(study)
    second, other = watch.serve(study)
    assert first.server_address[0] == second.server_address[0] == "127.0.0.1"
    assert address.split("/")[3] != other.split("/")[3]
    with pytest.raises(OSError, match=f"--port {first.server_port}: "):
        watch.serve(study, first.server_port)
    first.server_close()
    second.server_close()


@pytest.mark.parametrize(
    "path",
    ["results/../../secret.csv", "results/%2e%2e/%2e%2e/secret.csv", "results/..%2f..%2fsecret.csv",
     "results//etc/hostname", "results/%2fetc%2fhostname", "results/linked.csv", "results/state.pkl", "results/",
     "results/figures", "secret.csv", "../secret.csv", "results/none.csv"],
)  # fmt: skip
def test_nothing_but_results_is_handed_out(study, address, tmp_path, path):
    (tmp_path / "secret.csv").write_text("secret")
    (study.results / "figures").mkdir(parents=True)
    (study.results / "state.pkl").write_text("secret")
    (study.results / "linked.csv").symlink_to(tmp_path / "secret.csv")
    status, _, content = ask(address, path)
    assert status == 404
    assert "secret" not in content


def test_results_are_handed_out_as_they_appear(study, address):
    assert ask(address, "results/index.html")[0] == 404
    assert (state(address)["page"], state(address)["figures"]) == (False, [])
    (study.results / "figures").mkdir(parents=True)
    (study.results / "index.html").write_text("<p>the page</p>")
    (study.results / "figures" / "cures.png").write_bytes(b"png")
    (study.results / "answer.md").write_text("# Answer\n\nThe headline.\n\n**Why?** So.\n")
    assert ask(address, "results/index.html") == (200, "text/html", "<p>the page</p>")
    assert ask(address, "results/figures/cures.png")[:2] == (200, "image/png")
    found = state(address)
    assert (found["page"], found["figures"], found["headline"]) == (True, ["cures.png"], "The headline.")


def test_losses_grow_and_stages_go_on(study, address):
    assert (state(address)["stages"], state(address)["trainings"], state(address)["time_left"]) == ([], [], "")
    run, log = study.runs[0], MadeUpLog(study.log)
    log.plan({"train": 4})
    number = log.start("train", time.time(), fraction=run.fraction, replicate=run.replicate, optimizer=run.optimizer)
    reporter = Reporter(study.results / "state" / run.name, 10, run.name)
    reporter.epoch(1, 3.0, math.nan)
    found = state(address)
    assert found["stages"] == [{"name": "trainings", "done": 0, "total": 4}]
    assert re.fullmatch(r"a few seconds|about \d+ s", found["time_left"])
    (training,) = found["trainings"]
    assert training["losses"] == [[1, 3.0, None]]
    assert (training["name"], training["epoch"], training["state"]) == (run.name, 1, "training")
    reporter.epoch(2, math.inf, math.nan)
    reporter.end(2, math.nan, True)
    log.finish(number, "train", time.time())
    found = state(address)
    assert found["trainings"][0]["losses"] == [[1, 3.0, None], [2, None, None]]
    assert (found["trainings"][0]["state"], found["stages"][0]["done"]) == ("diverged", 1)


def test_a_call_that_is_stopped_and_begun_anew_is_followed(study, address):
    log = MadeUpLog(study.log)
    log.plan({"train": 2})
    number = log.start("train", time.time(), fraction=0.8, replicate=0, optimizer="adam")
    assert state(address)["stages"][0]["total"] == 2
    log.fail(number, "train", time.time())
    assert state(address)["failed"] == ["train f0.8_r0/adam"]
    log.write("quasarcurves stopped this: f0.8_r0/adam at 5 of 10 epochs\n")
    found = state(address)
    assert (found["failed"], found["stopped"], found["time_left"]) == ([], "f0.8_r0/adam at 5 of 10 epochs", "")
    MadeUpLog(study.log, date="2026-11-30").plan({"train": 1})
    found = state(address)
    assert (found["stages"][0]["total"], found["stopped"]) == (1, "")


def test_ctrl_c_ends_it(study, tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    process = subprocess.Popen(
        [sys.executable, "-m", "quasarcurves.cli", "watch"], stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip
    with process.stdout:
        assert process.stdout.readline().startswith("Open http://127.0.0.1:")
        assert process.stdout.readline() == "Ctrl-C ends this; the study goes on.\n"
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.read().strip() == ""
        assert process.wait(20) == 0
