"""Hashes of modules that this user has computed before: to normalise the code of all takes seconds, at every start."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import platformdirs

from quasarcurves.files import whole_file


class HashCache:
    """Values computed from texts, kept in a file of the user's cache; without one they are computed each time.

    A value is used again only for the same text. Where the file cannot be read or written, nothing is said: it only
    saves time.

    Parameters
    ----------
    computed_by : Path
        Source of the code that computes the values: another one has another file, and so has another Python.
    of : str
        Whose texts they are: each installation has a file.
    """

    def __init__(self, computed_by: Path, of: str) -> None:
        key = hashlib.sha256(repr((sys.version, of, computed_by.read_bytes())).encode()).hexdigest()[:16]
        self._path = platformdirs.user_cache_path("quasarcurves") / f"modules-{key}.json"
        self._entries = self._read()
        self._changed = False

    def get(self, name: str, text: str, compute: Callable[[], str]) -> str:
        """Return the value of a text that has a name, computed if it is not known of this text."""
        stamp = hashlib.sha256(text.encode()).hexdigest()
        match self._entries.get(name):
            case [before, str(value)] if before == stamp:
                return value
        value = compute()
        self._entries[name] = [stamp, value]
        self._changed = True
        return value

    def save(self) -> None:
        """Write what is new."""
        if not self._changed or not self._path.is_absolute():  # a user without a home
            return
        self._changed = False
        with suppress(OSError), whole_file(self._path) as temporary:
            temporary.write_text(json.dumps(self._entries))

    def _read(self) -> dict[str, object]:
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_text())
            if isinstance(found, dict):
                return found
        return {}
