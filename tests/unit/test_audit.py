"""What is shipped is known: a scan for vulnerabilities, against a stand-in of the database, and a bill of materials."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADVISED = {"jinja2": ["GHSA-1111-2222-3333", "PYSEC-2099-1"], "h5py": ["GHSA-4444-5555-6666"]}


class Database(BaseHTTPRequestHandler):
    """Answers as OSV does: an advisory per line of ADVISED, in the order of the questions."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        assert self.path == "/v1/querybatch"
        assert all(each["package"]["ecosystem"] == "PyPI" and each["version"] for each in asked)
        found = [[{"id": name} for name in ADVISED.get(each["package"]["name"], [])] for each in asked]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"results": [{"vulns": each} if each else {} for each in found]}).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def database() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Database)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def audit(address: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"OSV_ADDRESS": address, "GITHUB_ACTIONS": ""}
    command = ["make", "--silent", "audit", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_advisories_against_the_locks_are_printed_and_fail_nothing(database):
    *found, last = audit(database)
    h5py, jinja2 = sorted(found)
    assert re.fullmatch(r"\*\*\* h5py [0-9.]+ \(.*\bcpu, dev, .*\): GHSA-4444-5555-6666", h5py)
    assert jinja2.endswith(": GHSA-1111-2222-3333, PYSEC-2099-1")
    assert re.match(r"3 advisories against 2 of \d{3} packages;", last)


def test_without_a_network_it_says_so_and_passes():
    (line,) = audit("http://127.0.0.1:1")
    assert line.startswith("*** NOT SCANNED for known vulnerabilities: http://127.0.0.1:1 cannot be asked")


def test_the_bill_of_materials_has_every_package_once():
    done = subprocess.run(
        [sys.executable, ROOT / "container" / "bom.py"], capture_output=True, text=True, check=True
    )  # fmt: skip
    bill = json.loads(done.stdout)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    urls = [each["purl"] for each in bill["components"]]
    assert len(set(urls)) == len(urls)
    assert [each["bom-ref"] for each in bill["components"]] == urls
    lock = (ROOT / "requirements" / "cpu.txt").read_text()
    for name in ("numpy", "h5py", "snakemake-executor-plugin-slurm"):
        version = re.search(rf"^{name}==([^ ;]+)", lock, re.MULTILINE)[1]
        assert f"pkg:pypi/{name}@{version}" in urls
