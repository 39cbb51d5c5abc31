"""Numbers as the texts write them: to three digits, in per cent, with an interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def number(value: float) -> str:
    """Write a number to three digits; what is not finite in words."""
    if np.isnan(value):
        return "unknown"
    return f"{value:.3g}" if np.isfinite(value) else "unbounded"


def percent(share: float) -> str:
    """Write a share in per cent."""
    return "an unknown part" if np.isnan(share) else f"{number(100 * share)} %"


def interval(row: Mapping[str, Any], name: str) -> str:
    """Write a value of a table's row with the interval between `<name>_low` and `<name>_high`."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    bounds = "no interval" if np.isnan(low) or np.isnan(high) else f"{number(low)} to {number(high)}"
    return f"{number(row[name])} ({bounds})"
