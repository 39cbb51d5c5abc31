"""What the adapters share: a function's keyword arguments become options of the command line that a rule calls.

A rule calls its adapter as a plain command, so `snakemake -p` shows what ran and anyone can run it again. A wrong
input ends as one line in the log, not as a traceback. A job that succeeds leaves a receipt.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import re
import resource
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NewType

import psutil

from quasarcurves.files import end_on_full_disk, whole_file
from quasarcurves.provenance import fingerprint, receipts

Input = NewType("Input", Path)
Output = NewType("Output", Path)


class Each(list):
    """Arguments of which each receipt has its own, `Each[Input]` say: those of the first, of the second and so on."""


_PARSERS = {str: str, int: int, float: float, Path: Path, Input: Path, Output: Path, dict: json.loads}


def main(step: Callable[..., None]) -> None:
    """Run a step with the arguments of the command line, and write its receipt.

    Besides the step's own arguments, all of them required, there are `--receipt`, the file to write, and `--receipts`,
    those of the files that the step reads; `--note` writes a text to a file that no step reads, `--benchmark` the time
    and memory that were used, and `--threads` is what the job may use. A step that does several things of a kind has
    several receipts, as if each had been done by itself (see `Each`).
    """
    parser = argparse.ArgumentParser(description=step.__doc__)
    kinds = {
        name: parameter.annotation for name, parameter in inspect.signature(step, eval_str=True).parameters.items()
    }
    for name, kind in kinds.items():
        several = getattr(kind, "__origin__", None) in (list, Each)
        parse = _PARSERS[kind.__args__[0] if several else kind]
        parser.add_argument(f"--{name}", type=parse, required=True, nargs="*" if several else None)
    parser.add_argument("--receipt", type=Path, required=True, nargs="+")
    parser.add_argument("--note", nargs=2, metavar=("FILE", "TEXT"))
    parser.add_argument("--benchmark", type=Path)
    if "receipts" not in kinds:
        parser.add_argument("--receipts", type=Path, nargs="*", default=[])
    if "threads" not in kinds:
        parser.add_argument("--threads", type=int)
    options = vars(parser.parse_args())
    made, known = options.pop("receipt"), options["receipts"]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # for a PDF it tells every table and glyph of the fonts
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    end_on_full_disk()
    try:
        step(**{name: options[name] for name in kinds})
        for i, receipt in enumerate(made):
            _receipt(step.__name__, *_only(i, kinds, options), known).save(receipt)
        if options["note"]:
            file, text = options["note"]
            with whole_file(file) as temporary:
                temporary.write_text(text)
        if options["benchmark"]:
            _write_benchmark(options["benchmark"])
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def run_names(subsets: list[str], optimizers: list[str], absent: list[str]) -> list[str]:
    """Return the runs of a study: every optimizer on every subset, but for those that the study leaves out."""
    names = ("/".join(key) for key in product(subsets, optimizers))
    return [name for name in names if name not in set(absent)]


def _write_benchmark(path: Path) -> None:
    """Write seconds, memory (MB) and processor seconds of this process and of those that it has started.

    Snakemake itself looks at a job twice a minute, and cannot see one that is forked elsewhere (see `fork_server`).
    """
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    # not that of getrusage: it is at least that of the process that has started this one
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
    seconds = time.time() - psutil.Process().create_time()
    row = {
        "s": f"{seconds:.2f}",
        "max_rss": f"{max(peak, others.ru_maxrss) / 1024:.1f}",
        "mean_load": f"{100 * cpu / seconds:.1f}",
        "cpu_time": f"{cpu:.2f}",
    }
    with whole_file(path) as temporary:
        temporary.write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")


def _only(i: int, kinds: dict, options: dict) -> tuple[dict, dict]:
    """Give the kinds and the arguments of what has the i-th receipt; there may be none of an optional kind."""
    own = [name for name, kind in kinds.items() if getattr(kind, "__origin__", None) is Each]
    kinds = kinds | {name: kinds[name].__args__[0] if options[name] else list for name in own}
    return kinds, options | {name: options[name][i] for name in own if options[name]}


def _receipt(rule: str, kinds: dict, options: dict, known: list[Path]) -> receipts.Receipt:
    """Say what was made: by the modules that were really imported."""
    files = {kind: _paths(kinds, options, kind) for kind in (Input, Output)}
    read = {str(path) for path in files[Input]}
    imported = {name for name in sys.modules if name.split(".")[0] in fingerprint.PACKAGES}
    # the script itself is called __main__
    script = sys.modules["__main__"].__spec__.name
    return receipts.Receipt(
        rule=rule,
        settings={name: options[name] for name, kind in kinds.items() if kind in (str, int, float, dict, list[str])},
        code=fingerprint.module_hashes(imported | {script}),
        versions=fingerprint.versions(),
        inputs={path: value for path, value in receipts.recorded(known).items() if path in read},
        outputs=receipts.hashes(files[Output]),
    )


def _paths(kinds: dict, options: dict, kind: NewType) -> list[Path]:
    single = [options[name] for name, found in kinds.items() if found is kind]
    return single + [path for name, found in kinds.items() if found == list[kind] for path in options[name]]
