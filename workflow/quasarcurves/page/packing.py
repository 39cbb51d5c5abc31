"""What a page holds for its script, as small as it gets."""

from __future__ import annotations

import base64
import gzip


def packed(text: str) -> str:
    """Return a text as a page's script unpacks it: compressed, in base64; the same text always has the same bytes."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
