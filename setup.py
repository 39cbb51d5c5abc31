"""What pyproject.toml cannot say: the wheel also holds the workflow's own files, as a package `quasarcurves_workflow`.

They lie there as they lie in a checkout, so that every path in the rules holds in both. An editable installation takes
them from the checkout and needs no copy.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDER = "quasarcurves_workflow"
FILES = (
    "Snakefile",
    "config.yaml",
    "config/*",
    "envs/*.yaml",
    "profiles/*/*.yaml",
    "workflow/Snakefile",
    "workflow/envs/*.yaml",
    "workflow/profiles/*/*.yaml",
    "workflow/report/*.rst",
    "workflow/rules/*.smk",
    "workflow/schemas/**/*.yaml",
    "workflow/scripts/*.py",
    "workflow/studies/*.yaml",
)


class BuildWithWorkflow(build_py):
    """Copies the workflow's files beside the library."""

    def run(self) -> None:
        """Build the library, then copy."""
        super().run()
        if not self.editable_mode:
            for file in self._workflow_files():
                target = Path(self.build_lib, FOLDER, file)
                self.mkpath(str(target.parent))
                self.copy_file(file, str(target), preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return all files of the wheel."""
        copied = [] if self.editable_mode else self._workflow_files()
        return [*super().get_outputs(include_bytecode), *(str(Path(self.build_lib, FOLDER, file)) for file in copied)]

    def get_source_files(self) -> list[str]:
        """Return what an sdist holds besides its usual files."""
        return [*super().get_source_files(), *self._workflow_files()]

    def _workflow_files(self) -> list[str]:
        return sorted(str(path) for pattern in FILES for path in Path().glob(pattern) if path.is_file())


setup(cmdclass={"build_py": BuildWithWorkflow})
