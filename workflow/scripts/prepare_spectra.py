"""rule prepare_spectra: the examples of a study, spectra of any source or those of a task file -> one file."""

from quasarcurves import tasks
from quasarcurves.training.run_settings import TaskSettings
from scripts import adapter
from scripts.adapter import Output


def prepare_spectra(*, task: dict, data: dict, spectra: Output) -> None:
    """Prepare the examples of a study."""
    tasks.prepare(TaskSettings.from_json({"task": task}), data, spectra)


if __name__ == "__main__":
    adapter.main(prepare_spectra)
