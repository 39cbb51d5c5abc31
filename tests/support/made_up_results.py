"""Results of a study that nothing computed: every file that its steps make, and the receipt of every job."""

import json
from pathlib import Path

import h5py

from quasarcurves.provenance import fingerprint, receipts
from quasarcurves.provenance.receipts import FOLDER, Receipt
from quasarcurves.study import Study, told
from quasarcurves.study.steps import FILES, MAKERS, PLACES, WILDCARDS
from quasarcurves.training import progress

CONTENT = {
    # the script has an end of line of another system in it
    "index.html": '<!doctype html>\n<title>s</title>\n<div id="banner" hidden></div>\n<script>1;\r\n2;</script>\n',
    "answer.md": "# Answer\n\nNo spike.\n",
}
MODULE = "quasarcurves.spectra.grid"
"""The one module that all steps are said to have imported."""


def make(study: Study) -> None:
    """Write all files and receipts of a study, in the folder that this is called in."""
    for step in study.steps:
        for job in study.wildcards(step.per) if step.makes else ():
            made = [study.results / file.path.format(**job) for file in step.makes if study.has(file)]
            for path in made:
                _write(path, study)
            name = PLACES[step.per].format(**job)
            settings = told.settings(study, step, job)
            receipt = Receipt(
                rule=step.name,
                settings=json.loads(json.dumps({"shared": {}, "run": settings} if step.name == "train" else settings)),
                code=fingerprint.module_hashes([MODULE]),
                versions={},
                inputs=receipts.hashes(_read(study, step, job)),
                outputs=receipts.hashes(made),
            )
            receipt.save(study.results / FOLDER / (f"{step.name}/{name}.json" if name else f"{step.name}.json"))


def report(study: Study, run: str, epoch: int, state: str = "training") -> None:
    """Write the progress of a run."""
    folder = study.results / "state" / run
    folder.mkdir(parents=True, exist_ok=True)
    (folder / progress.FILE_NAME).write_text(json.dumps(vars(progress.Report(epoch, 60, 0.1, 1.0, state))))


def _read(study: Study, step, job: dict) -> list[Path]:
    found = []
    for name in step.reads:
        if study.has(maker := MAKERS[name]) and study.has(FILES[name]):
            own = set(WILDCARDS[maker.per]) <= job.keys()
            found += (
                [study.results / FILES[name].path.format(**job)] if own else study.paths(FILES[name].path, maker.per)
            )
    return [Path(path) for path in found]


def _write(path: Path, study: Study) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name == "history.h5":
        with h5py.File(path, "w") as file:
            file.attrs["params"] = json.dumps({"outcome": {"epochs": 60, "diverged": False, "diverged_step": None}})
    else:
        path.write_text(CONTENT.get(path.name, f"{path} of seed {study.seed}\n"))
