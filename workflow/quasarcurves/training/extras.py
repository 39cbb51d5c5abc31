"""Which extra of this package brings the library that trains."""

from __future__ import annotations

_EXTRAS = {"tensorflow": ("TensorFlow", "cpu"), "jax": ("JAX", "jax")}


def install_hint(backend: str) -> str | None:
    """Return one line on how to install a backend, or None for a package that is none.

    Parameters
    ----------
    backend : str
        Name of the package as it is imported: "tensorflow" or "jax".
    """
    if backend not in _EXTRAS:
        return None
    title, extra = _EXTRAS[backend]
    return f'this needs {title}: pip install "quasarcurves[{extra}]"'
