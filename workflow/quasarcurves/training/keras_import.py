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

_NEEDLESS = ("matplotlib", "pandas")


def import_keras() -> None:
    """Import Keras and its backend; to be called before anything else does."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
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
