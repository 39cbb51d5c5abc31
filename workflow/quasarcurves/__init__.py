"""QuasarNET learning curves: why the training loss spikes, what cures it, how much data is enough.

Nothing is imported here before it is asked for, so that what needs no TensorFlow starts without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quasarcurves.analysis.checkup import diagnose as diagnose

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `diagnose` when it is asked for."""
    if name == "diagnose":
        from quasarcurves.analysis.checkup import diagnose  # noqa: PLC0415

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
