"""Hashes of modules that this user has computed before: to normalise the code of all takes seconds, at every start."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import platformdirs

from quasarcurves.files import whole_file


class HashCache:
    """Values computed from texts, kept in a file of the user's cache; without one they are computed each time.

    A value is used again for the same text alone, in whichever copy of the project it stands. Where the file cannot be
    read or written, nothing is said: it only saves time.

    Parameters
    ----------
    computed_by : Path
        Source of the code that computes the values: another one has another file, and so has another Python.
    """

    MOST = 2000
    """Values kept, of the texts asked for last: those of some ten versions of the project."""

    def __init__(self, computed_by: Path) -> None:
        key = hashlib.sha256(repr((sys.version, computed_by.read_bytes())).encode()).hexdigest()[:16]
        self._path = platformdirs.user_cache_path("quasarcurves") / f"modules-{key}.json"
        self._before = self._read()
        self._asked: dict[str, str] = {}
        self._changed = False

    def get(self, text: str, compute: Callable[[], str]) -> str:
        """Return the value of a text, computed if it is not known."""
        stamp = hashlib.sha256(text.encode()).hexdigest()
        value = self._asked.get(stamp, self._before.get(stamp))
        if not isinstance(value, str):
            value, self._changed = compute(), True
        self._asked[stamp] = value
        return value

    def save(self) -> None:
        """Write what is new."""
        if not self._changed or not self._path.is_absolute():  # a user without a home
            return
        self._changed = False
        kept = dict(islice({**self._asked, **self._before, **self._asked}.items(), self.MOST))
        with suppress(OSError), whole_file(self._path) as temporary:
            temporary.write_text(json.dumps(kept))

    def _read(self) -> dict[str, object]:
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_text())
            if isinstance(found, dict):
                return found
        return {}
