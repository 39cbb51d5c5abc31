"""Which extra of this package brings a library that not everybody needs."""

from __future__ import annotations

_EXTRAS = {
    "tensorflow": ("TensorFlow", "cpu"),
    "jax": ("JAX", "jax"),
    "wandb": ("Weights & Biases", "wandb"),
    "sklearn": ("scikit-learn", "digits"),
}


def install_hint(package: str) -> str | None:
    """Return one line on how to install a package, or None for one that no extra brings.

    Parameters
    ----------
    package : str
        As it is imported: a key of `_EXTRAS`, such as "jax".
    """
    if package not in _EXTRAS:
        return None
    title, extra = _EXTRAS[package]
    return f'this needs {title}: pip install "quasarcurves[{extra}]"'
