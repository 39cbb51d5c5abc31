"""Help with misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[str]) -> str:
    """Clause for an error message: the nearest known name, or all of them where none is near."""
    known = sorted(known)
    # capital letters decide only between names that are otherwise as near
    by_small = {each.lower(): each for each in reversed(known)}
    close = difflib.get_close_matches(str(name).lower(), by_small, n=1)
    return f"did you mean {by_small[close[0]]!r}?" if close else f"expected one of {', '.join(known)}"
