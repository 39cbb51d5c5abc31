"""Keras, imported without what it and TensorFlow import only because it is there.

Keras looks for matplotlib and pandas, TensorFlow Lite for JAX; both do without where they are missing. They take a
fifth of the time that importing Keras with TensorFlow takes, and a quarter of its memory (docs/speed.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from quasarcurves.training.extras import install_hint

_NEEDLESS = ("matplotlib", "pandas")


def import_keras() -> None:
    """Import Keras and its backend; to be called before anything else does.

    Raises
    ------
    ModuleNotFoundError
        If the backend is not installed, with the extra that brings it.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if find_spec(backend) is None:
        raise ModuleNotFoundError(install_hint(backend), name=backend)
    with hidden(*_NEEDLESS, *(("jax",) if backend == "tensorflow" else ())):
        import_module("keras")


@contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Let packages seem not to be installed for a while, unless they have been imported before."""
    unknown = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unknown))
    try:
        yield
    finally:
        for name in unknown:
            del sys.modules[name]
