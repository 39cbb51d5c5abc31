"""rule replay: how a run goes on from its forks, as it is and otherwise."""

from pathlib import Path

from quasarcurves.provenance.fingerprint import digest
from quasarcurves.provenance.receipts import recorded
from quasarcurves.training import keras_import
from quasarcurves.training.gpus import own_gpu
from quasarcurves.training.run_settings import RunSettings
from quasarcurves.training.settings import ReplaySettings
from scripts import adapter
from scripts.adapter import Input, Output

keras_import.import_keras()

# after the line above: all of these import Keras
from quasarcurves.steps.replay import ReplayJob  # noqa: E402
from quasarcurves.steps.replay import replay as make_replays  # noqa: E402
from quasarcurves.steps.training import state_key, use_threads  # noqa: E402


def replay(
    *,
    spectra: Input,
    subset: Input,
    history: Input,
    matched: list[Input],
    receipts: list[Path],
    run: dict,
    replays: dict,
    groups: int,
    code: str,
    threads: int,
    state: Path,
    group: int,
    fork_replays: Output,
    forks: Output,
) -> None:
    """Replay one group of the forks of a run."""
    known, settings, how = recorded(receipts), RunSettings.from_json(run), ReplaySettings.from_json(replays)
    # what is kept of an arm at a fork serves as long as replays are as long
    key = digest([state_key(settings, [known[str(spectra)], known[str(subset)]], code), how.steps])
    held_to = next(iter(matched), None)
    job = ReplayJob(settings, how, group, groups, key, spectra, subset, history, held_to, state)
    with own_gpu():
        use_threads(threads)
        make_replays(job, fork_replays, forks)


if __name__ == "__main__":
    adapter.main(replay)
