"""`quasarcurves watch`: a page on this machine alone that shows a study while it runs.

It reads files and nothing else, so it may run on any machine that sees the folder of the results. Only those who have
the token in its address get an answer.
"""

from __future__ import annotations

import argparse
import json
import math
import mimetypes
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from quasarcurves.cli.snakemake_log import SnakemakeLog
from quasarcurves.cli.summary import headline
from quasarcurves.cli.view import StudyView
from quasarcurves.study import Run, Study, forecast
from quasarcurves.terminal.command import Command, add_study, load_study
from quasarcurves.training import progress
from quasarcurves.training.history import History

HOST = "127.0.0.1"

_PAGE = Path(__file__).with_name("watch.html")

_SERVED = {".html", ".md", ".json", ".csv", ".png", ".svg", ".pdf"}
"""Endings of results that are handed out: what a person reads."""

_STATE_SECONDS = 1.0
_MOST_LOSSES = 200

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data: blob:; form-action 'none'",
}


class Watched:
    """A study as its page shows it, read from its files at most once a second.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._view = StudyView(study, SnakemakeLog(study.log), forecast.cores(), 0.0)
        self._lock, self._read, self._state = threading.Lock(), -math.inf, ""
        self._finished: dict[Run, list[tuple[int, float, float]]] = {}

    def state(self) -> str:
        """Return what the page polls, as JSON: stages, trainings with their losses, time left, results there are."""
        with self._lock:
            if time.monotonic() - self._read >= _STATE_SECONDS:
                self._view.update()
                self._state = json.dumps(_finite(self._collect()))
                self._read = time.monotonic()
            return self._state

    def file(self, path: str) -> Path | None:
        """Return a file of the results by its path below them; None for what is elsewhere, absent or not to be read."""
        root = self.study.results.resolve()
        found = (root / path).resolve()
        allowed = found.is_relative_to(root) and found.suffix in _SERVED and found.is_file()
        return found if allowed else None

    def _collect(self) -> dict[str, Any]:
        left, log = self._view.seconds_left(), self._view.log
        return {
            "study": self.study.name,
            "time_left": forecast.in_words(left) if left and not log.stopped else "",
            "stopped": log.stopped,
            "silence": self._silence(),
            "stages": [{"name": each.name, "done": each.done, "total": each.total} for each in self._view.stages()],
            "trainings": list(self._trainings()),
            "failed": [log.jobs[number].name for number in sorted(log.failed)],
            "headline": self._headline(),
            "page": (self.study.results / "index.html").is_file(),
            "figures": sorted(path.name for path in (self.study.results / "figures").glob("*.png")),
        }

    def _trainings(self) -> Iterator[dict[str, Any]]:
        for run in self.study.runs:
            folder = self.study.results / "state" / run.name
            report = self._view.reports.get(run)
            if report is None:
                continue
            losses = list(report.losses or self._of_history(run, report))
            if not losses or losses[-1][0] < report.epoch:
                losses.append((report.epoch, report.loss, math.nan))
            yield {
                "name": run.name,
                "optimizer": run.optimizer,
                "fraction": run.fraction,
                "epoch": report.epoch,
                "epochs": report.epochs,
                "loss": report.loss,
                "state": report.state,
                "age": _age(folder / progress.FILE_NAME),
                "losses": losses,
            }

    def _of_history(self, run: Run, report: progress.Report) -> list[tuple[int, float, float]]:
        """Return the losses of a training that was over before progress files held them."""
        path = self.study.results / "runs" / run.name / "history.h5"
        if run not in self._finished and report.state != "training" and path.is_file():
            epochs = History.load(path).epochs
            stride = -(-len(epochs["loss"]) // _MOST_LOSSES)
            chosen = range(0, len(epochs["loss"]), stride)
            self._finished[run] = [(i + 1, float(epochs["loss"][i]), float(epochs["val_loss"][i])) for i in chosen]
        return self._finished.get(run, [])

    def _silence(self) -> float:
        """Return the seconds since any file of the call was written."""
        folders = [self.study.results / "state" / run.name for run in self._view.training]
        return min(map(_age, [self.study.log, *(folder / progress.FILE_NAME for folder in folders)]))

    def _headline(self) -> str:
        try:
            return " ".join(headline((self.study.results / "answer.md").read_text(encoding="utf-8")))
        except OSError:
            return ""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET requests that have the token."""

    server_version, sys_version = "quasarcurves", ""

    def __init__(self, watched: Watched, token: str, *rest: Any) -> None:
        self._watched, self._token = watched, token
        super().__init__(*rest)

    def do_GET(self) -> None:
        """Answer with the page, with the state, or with a file of the results."""
        path = self._path()
        if path is None:
            self._answer(
                b"403: the address lacks the token that `quasarcurves watch` printed", status=HTTPStatus.FORBIDDEN
            )
        elif path == "":
            self._answer(_PAGE.read_bytes(), "text/html; charset=utf-8")
        elif path == "state.json":
            self._answer(self._watched.state().encode(), "application/json")
        elif path.startswith("results/") and (file := self._watched.file(path.removeprefix("results/"))):
            self._answer(file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/plain; charset=utf-8")
        else:
            self._answer(b"404: no such page", status=HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _path(self) -> str | None:
        """Return what is asked for, below the token; None without the token, or under another host's name."""
        # a page elsewhere may have its own name point to this machine; its requests still say that name
        host = self.headers.get("Host", "").rpartition(":")[0]
        token, slash, path = urlsplit(self.path).path.lstrip("/").partition("/")
        known = secrets.compare_digest(token.encode(), self._token.encode())
        return unquote(path) if known and slash and host in (HOST, "localhost") else None

    def _answer(self, content: bytes, kind: str = "text/plain; charset=utf-8", status: int = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def serve(study: Study, port: int = 0) -> tuple[ThreadingHTTPServer, str]:
    """Return a server of a study's page, not yet answering, and its address.

    Parameters
    ----------
    study : Study
    port : int
        0 for any that is free.

    Raises
    ------
    OSError
        If the port is taken.
    """
    token = secrets.token_urlsafe(16)
    try:
        server = ThreadingHTTPServer((HOST, port), partial(_Handler, Watched(study), token))
    except OSError as error:
        raise OSError(f"--port {port}: {error.strerror}") from error
    server.daemon_threads = True
    return server, f"http://{HOST}:{server.server_port}/{token}/"


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_study(parser)
    parser.add_argument("--port", type=int, default=0, help="port to listen at (default: any that is free)")


def _watch(options: argparse.Namespace) -> int:
    server, address = serve(load_study(options), options.port)
    with server, suppress(KeyboardInterrupt):
        print(f"Open {address}\nCtrl-C ends this; the study goes on.", flush=True)
        server.serve_forever()
    return 0


def _age(path: Path) -> float:
    """Return the seconds since a file was written."""
    try:
        return max(time.time() - path.stat().st_mtime, 0.0)
    except OSError:
        return 0.0


def _finite(value: Any) -> Any:
    """Return a value with null in place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


COMMANDS = {"watch": Command(_arguments, _watch)}
