"""Snakemake without its start: a process imports it once and forks another one for every call.

Importing takes half of the time of a dry run, and the tests make a hundred. What Snakemake reads, its Snakefile and the
library included, each call reads anew.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_SERVER = """
import json, os, sys
import snakemake.api, snakemake.workflow
from snakemake.cli import main
for line in sys.stdin:
    arguments, folder, environment, output = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
descriptor = os.open(output, os.O_WRONLY)
os.dup2(descriptor, 1)
os.dup2(descriptor, 2)
os.chdir(folder)
os.environ.clear()
os.environ.update(environment)
sys.argv = ["snakemake", *arguments]
main(arguments)
"""


def snakemake(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, timeout: float = 1800
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a folder; its output is in `stdout`, errors included."""
    server = _server()
    with tempfile.NamedTemporaryFile("r") as output:
        request = [list(arguments), str(folder), dict(os.environ if environment is None else environment), output.name]
        print(json.dumps(request), file=server.stdin, flush=True)
        if not select.select([server.stdout], [], [], timeout)[0]:
            server.kill()
            _server.cache_clear()
            raise TimeoutError(f"Snakemake has not ended after {timeout} s:\n{output.read()}")
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(request[0], status, output.read())


@cache
def _server() -> subprocess.Popen:
    server = subprocess.Popen([sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.communicate)
    return server
