"""rule magnify_spikes: the tallest sustained spikes of a run, step by step and spectrum by spectrum."""

from quasarcurves.training import keras_import
from quasarcurves.training.gpus import own_gpu
from quasarcurves.training.run_settings import RunSettings
from scripts import adapter
from scripts.adapter import Input, Output

keras_import.import_keras()

# after the line above: all of these import Keras
from quasarcurves.steps.microscope import MicroscopeJob, magnify  # noqa: E402
from quasarcurves.steps.training import use_threads  # noqa: E402


def magnify_spikes(
    *,
    spectra: Input,
    subset: Input,
    history: Input,
    matched: list[Input],
    run: dict,
    number: int,
    threads: int,
    magnified_steps: Output,
    magnified_spectra: Output,
) -> None:
    """Look closely at the sustained spikes of a run."""
    held_to = next(iter(matched), None)
    job = MicroscopeJob(RunSettings.from_json(run), number, spectra, subset, history, held_to)
    with own_gpu():
        use_threads(threads)
        magnify(job, magnified_steps, magnified_spectra)


if __name__ == "__main__":
    adapter.main(magnify_spikes)
