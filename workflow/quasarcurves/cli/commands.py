"""The commands of the command line, by what they are for; a command's module is imported when it is called."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quasarcurves.terminal.command import Command

_STUDIES, _RESULTS = "quasarcurves.cli.studies", "quasarcurves.cli.results"
_MODELS = "quasarcurves.quasarnet.cli.models"


@dataclass(frozen=True)
class Entry:
    """A line of the overview of commands.

    Parameters
    ----------
    name : str
    text : str
        What the command does, in one line.
    module : str
        Name of the module that has it in its `COMMANDS`.
    """

    name: str
    text: str
    module: str

    def load(self) -> Command:
        """Import the command."""
        command: Command = import_module(self.module).COMMANDS[self.name]
        return command


GROUPS = {
    "Run a study": (
        Entry("init", "write a study to begin with, its keys explained", _STUDIES),
        Entry("check", "say what a study's examples are, what it takes and what it can show", "quasarcurves.cli.check"),
        Entry("run", "run a study and show its progress", _STUDIES),
        Entry("watch", "show a study in the browser while it runs", "quasarcurves.cli.watch"),
        Entry("summary", "print the main numbers of a finished study and where its figures are", _STUDIES),
    ),
    "Look after its results": (
        Entry("status", "say what is current, outdated and why, missing, stopped or diverged", _RESULTS),
        Entry("why", "say what the result of a run depends on, and what has changed since", _RESULTS),
        Entry("verify", "compare every file of a study's results with what was made", _RESULTS),
        Entry("orphans", "list what is on disk of runs that the study does not have any more", _RESULTS),
        Entry("prune", "remove what `orphans` lists", _RESULTS),
        Entry("export-logs", "write losses of steps and epochs for boards of your own", "quasarcurves.cli.export_logs"),
    ),
    "Use its models": (
        Entry("predict", "classify spectra: which are quasars, at which redshift", _MODELS),
        Entry("gallery", "draw the worst spectra of a run on the test set, by kind of error", _MODELS),
        Entry("export", "write a model for QuasarNP and desispec", _MODELS),
        Entry("import", "read a model of QuasarNP or desispec", _MODELS),
        Entry("compare", "say what would change from one network to another", "quasarcurves.quasarnet.cli.compare"),
        Entry("next-labels", "say which spectra to label next", "quasarcurves.quasarnet.cli.next_labels"),
    ),
    "Look at any training": (
        Entry("diagnose", "say what the loss curves of any training tell", "quasarcurves.cli.diagnose"),
    ),
}
ENTRIES = {entry.name: entry for group in GROUPS.values() for entry in group}
