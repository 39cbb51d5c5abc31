"""Share of quasars against confidence: on the diagonal confidences mean probabilities.

Drawn for `quasarcurves compare`; no figure of a study.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from quasarcurves.figures import style
from quasarcurves.quasarnet.calibration import Reliability

_COLORS, _MARKS = ("#0072B2", "#D55E00"), ("o", "s")
_SHIFT = 0.004
"""Sets the intervals of two networks apart."""


def draw(curves: Mapping[str, Reliability]) -> Figure:
    """Draw the reliability of one or two networks, by their names."""
    figure = style.new_figure(style.COLUMN_WIDTH, 3.4)
    with style.house_style():
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
        for i, (name, curve) in enumerate(curves.items()):
            at = curve.confidence + (i - (len(curves) - 1) / 2) * _SHIFT
            reach = np.maximum([curve.share - curve.low, curve.high - curve.share], 0)
            axes.errorbar(at, curve.share, reach, fmt=f"{_MARKS[i]}-", color=_COLORS[i], markersize=3, linewidth=0.8,
                          elinewidth=0.7, label=name)  # fmt: skip
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="confidence", ylabel="share of quasars")
        axes.set_aspect("equal")
        # above: intervals may be anywhere within
        title = "bins of equally many spectra, 95 % intervals"
        figure.legend(loc="outside upper center", title=title, title_fontsize=6, fontsize=6, ncols=1)
    return figure
