"""A step of a study with a clock in it; stands for `python` where `around.py` runs a study.

Called as `python -m timed_job RECORDS -m scripts.train ...`, it does what `python -m scripts.train ...` does, in a copy
of the fork server where that would be one. It adds a line of JSON to RECORDS: its processor time, for each of its parts
processor seconds and seconds, and whether it was forked. It imports nothing by itself that the step would not.
"""

import json
import os
import resource
import runpy
import sys
import time

parts: dict[str, list[float]] = {}
_places: list[str] = []
_last = (0.0, time.perf_counter())
_ASKED = "QUASARCURVES_ASKED_FOR_A_COPY"
"""Environment variable that a copy inherits."""


def enter(part: str) -> None:
    """Count what comes for a part, until `leave`."""
    _count()
    _places.append(part)


def leave() -> None:
    """Count what comes for the part before again."""
    _count()
    _places.pop()


def _count() -> None:
    global _last  # noqa: PLW0603
    now = time.process_time(), time.perf_counter()
    place = _places[-1] if _places else "start"
    before = parts.get(place, (0.0, 0.0))
    parts[place] = [had + at - last for had, at, last in zip(before, now, _last, strict=True)]
    _last = now


def within(part: str, function: object) -> object:
    """Give a function whose time counts for a part."""

    def timed(*arguments: object, **options: object) -> object:
        enter(part)
        try:
            return function(*arguments, **options)
        finally:
            leave()

    return timed


def watch_training() -> None:
    """Count apart what a training does besides its steps."""
    from quasarcurves.steps import training  # noqa: PLC0415

    training.build_trainers = within("reading, building", training.build_trainers)
    synchronized = training.SynchronizedTrainers
    train = synchronized.train

    def timed(self: object, after_block: object, after_epoch: object) -> None:
        first = True

        def after_each_block() -> None:
            nonlocal first
            if first:
                first = False
                leave()
            within("saving, reporting", after_block)()

        # the steps, of which the first block holds the tracing and compiling
        enter("steps")
        enter("first block")
        train(self, after_each_block, within("saving, reporting", after_epoch))
        leave()

    synchronized.train = timed
    synchronized._validate = within("validation", synchronized._validate)


def run(module: str) -> None:
    """Do a step."""
    from scripts import adapter  # noqa: PLC0415

    enter("imports")
    if module == "scripts.train":
        from quasarcurves.training import keras_import  # noqa: PLC0415

        keras_import.import_keras = within("import of Keras and TensorFlow", keras_import.import_keras)
        watch_training()
    adapter.main = within("work", adapter.main)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def attach(module: str) -> None:
    """Do what follows in a copy of the fork server, and end, if the step itself would be one."""
    from scripts import fork_server  # noqa: PLC0415

    if module not in fork_server._ALONE or fork_server._BACKEND in os.environ:
        os.environ[_ASKED] = "yes"
        if fork_server.VARIABLE in os.environ:
            fork_server.attach()


def main() -> None:
    """Do what `python` would, and keep a record of it."""
    records, (option, module, *rest) = sys.argv[1], sys.argv[2:]
    assert option == "-m"
    forked = _ASKED in os.environ
    attach(module)
    sys.path[0] = ""
    sys.argv = [module, *rest]
    try:
        run(module)
    finally:
        _count()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu = usage.ru_utime + usage.ru_stime
        name = f"plot_{rest[0].rpartition('.')[2]}" if module == "scripts.draw" else module.removeprefix("scripts.")
        record = {"rule": name, "cpu": cpu, "forked": forked, "parts": parts}
        # one write per line: steps run side by side
        with os.fdopen(os.open(records, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "w") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
