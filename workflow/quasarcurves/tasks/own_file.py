"""Task files: a user's own Python file of plain functions. It is run as it is, as any script of theirs would be.

Whatever goes wrong in it is said with the name of the file and of the function, what was expected and what was found.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from quasarcurves.training.extras import install_hint
from quasarcurves.training.keras_import import ignore_user_settings
from quasarcurves.training.suggestions import nearest

BUILT_IN = {"digits": Path(__file__).with_name("digits.py")}
"""Task files that come with the library, by the names that studies give them."""

_MOST = 600
"""Letters of the text of an error."""


_END = object()

_COMPILED = ("Tracer", "symbolic")
"""Words in the errors of JAX and TensorFlow about what has no value yet, while a program is compiled."""


def path_of(name: str) -> Path:
    """Return the task file that a study names.

    Raises
    ------
    ValueError
        If it is neither a Python file nor built in.
    FileNotFoundError
        If there is no such file.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if not name.endswith(".py"):
        raise ValueError(f"task is {name!r}; {nearest(name, ['quasarnet', *BUILT_IN])}, or the path of a Python file")
    if not Path(name).is_file():
        raise FileNotFoundError(f"task: {name}: no such file (looked for in {Path.cwd()})")
    return Path(name)


class TaskError(ValueError):
    """What a task file does wrong; the message is for its author."""


class TaskFile:
    """A task file whose functions can be called.

    Parameters
    ----------
    name : str
        As a study says it.
    """

    def __init__(self, name: str) -> None:
        self.name, self._path = name, path_of(name)
        self._module = self._run()

    def __contains__(self, function: str) -> bool:
        return callable(getattr(self._module, function, None))

    def call(self, function: str, *arguments: Any, **named: Any) -> Any:
        """Call a function of the file.

        Raises
        ------
        TaskError
            If it raises anything, with the line.
        """
        with _Blame(self._path, f"{self.name}: {function}()"):
            return getattr(self._module, function)(*arguments, **named)

    def chunks(self, function: str, **named: Any) -> Iterator[Any]:
        """Call a function that returns one chunk or a generator of several, and yield them.

        Raises
        ------
        TaskError
            As `call` does.
        """
        found = self.call(function, **named)
        if not isinstance(found, Iterator):
            yield found
            return
        while True:
            with _Blame(self._path, f"{self.name}: {function}()"):
                chunk = next(found, _END)
            if chunk is _END:
                return
            yield chunk

    def constant(self, name: str, otherwise: Any) -> Any:
        """Return a constant of the file."""
        return getattr(self._module, name, otherwise)

    def _run(self) -> ModuleType:
        ignore_user_settings()
        spec = spec_from_file_location(f"task_{self._path.stem}", self._path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[spec.name] = module
        if self.name not in BUILT_IN:
            # modules beside it are imported as by a script
            sys.path.insert(0, str(self._path.parent.resolve()))
        with _Blame(self._path, self.name):
            spec.loader.exec_module(module)
        return module


class _Blame:
    """Says of an exception from a task file where in the file it comes from; those of ours and of signals pass."""

    def __init__(self, path: Path, what: str) -> None:
        self._path, self._what = path, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, Exception) or isinstance(error, TaskError):
            return
        if isinstance(error, ModuleNotFoundError):
            raise TaskError(f"{self._what}: {error}{_hint(error.name)}") from error
        line = _line_in(self._path, trace)
        said = f"{type(error).__name__}: {_cut(str(error))}"
        hint = ", expected keras.ops in place of NumPy and of `if`: a training compiles it"
        found = any(word in said for word in _COMPILED)
        raise TaskError(f"{self._what} failed{line}{hint if found else ''}: {said}") from error


def _cut(text: str) -> str:
    """Return the beginning of an error's text: those of Keras may have hundreds of lines."""
    return text if len(text) <= _MOST else f"{text[:_MOST]} ..."


def _hint(package: str | None) -> str:
    hint = install_hint((package or "").partition(".")[0])
    return f"; {hint}" if hint else ""


def _line_in(path: Path, trace: Any) -> str:
    """Return the last line of the file that a traceback goes through, in words; empty if it goes through none."""
    found = ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if Path(name).parent.resolve() == path.parent.resolve():
            text = linecache.getline(name, trace.tb_lineno).strip()
            found = f" in line {trace.tb_lineno} of {Path(name).name} (`{text}`)"
        trace = trace.tb_next
    return found
