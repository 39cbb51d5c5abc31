"""Import Keras without packages that it does not need, and with TensorFlow set to what is fast for small networks.

Keras imports matplotlib and pandas where they are installed, TensorFlow Lite imports JAX; both work without. These
packages take a fifth of the time of importing Keras with TensorFlow, and a quarter of its memory (docs/speed.md).
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from quasarcurves.training.extras import install_hint

_NEEDLESS = ("matplotlib", "pandas")

_SETTINGS = {
    # unless told not to, TensorFlow sets up the backward pass of every convolution anew at every step
    "TF_MKL_OPTIMIZE_PRIMITIVE_MEMUSE": "false",
}
"""Environment of TensorFlow, where the user has set none; no result depends on it."""


def ignore_user_settings() -> None:
    """Keep a user's keras.json (type of numbers, order of axes, backend) from changing results; before Keras comes."""
    os.environ["KERAS_HOME"] = os.devnull  # no folder: Keras finds no file there, and writes none


def import_keras() -> None:
    """Import Keras and its backend. To be called before anything else imports them.

    Raises
    ------
    ModuleNotFoundError
        If the backend is not installed, with the extra that brings it.
    """
    ignore_user_settings()
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if find_spec(backend) is None:
        raise ModuleNotFoundError(install_hint(backend), name=backend)
    with hidden_packages(*_NEEDLESS, *(("jax",) if backend == "tensorflow" else ())), kept_for_good():
        import_module("keras")


@contextmanager
def kept_for_good() -> Iterator[None]:
    """Make no garbage collection within a block, and let later ones pass over all there is at its end.

    The import makes a million objects that live as long as the process. To look through them takes 0.2 s each time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextmanager
def hidden_packages(*packages: str) -> Iterator[None]:
    """Make packages that have not been imported yet seem not to be installed, within a block."""
    unknown = [name for name in packages if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    # None in place of a module makes its import fail
    modules.update(dict.fromkeys(unknown))
    try:
        yield
    finally:
        for name in unknown:
            del sys.modules[name]
