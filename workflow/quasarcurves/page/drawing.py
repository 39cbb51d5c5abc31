"""Figures as parts of a page."""

from __future__ import annotations

import io

import markupsafe
import matplotlib as mpl
from matplotlib.figure import Figure


def svg(figure: Figure) -> markupsafe.Markup:
    """Return a figure as an element of a page; text stays text."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "page", "font.family": "sans-serif"}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return markupsafe.Markup(text[text.index("<svg") :])
