"""What the adapters share: a function's keyword arguments become options of the command line that a rule calls.

A rule calls its adapter as a plain command, so `snakemake -p` shows what ran and anyone can run it again. A wrong
input ends as one line in the log, not as a traceback.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

_PARSERS = {str: str, int: int, float: float, Path: Path, dict: json.loads}


def main(step: Callable[..., None]) -> None:
    """Run a step with the arguments of the command line; its keyword arguments are all required."""
    parser = argparse.ArgumentParser(description=step.__doc__)
    for name, parameter in inspect.signature(step, eval_str=True).parameters.items():
        kind = parameter.annotation
        several = getattr(kind, "__origin__", None) is list
        parse = _PARSERS[kind.__args__[0] if several else kind]
        parser.add_argument(f"--{name}", type=parse, required=True, nargs="+" if several else None)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        step(**vars(parser.parse_args()))
    except (ValueError, OSError) as error:
        logging.getLogger(step.__name__).debug("", exc_info=True)
        sys.exit(f"error: {error}")
