"""Operating curve of the search for spikes: `python benchmarks/spikes.py` writes spikes.csv and spikes.png here.

Recall and precision against the height of planted spikes in units of the noise, per step; against the height itself,
per epoch; and false events in 10^5 steps of noise alone. Minutes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from quasarcurves.analysis.spikes import PER_EPOCH, find_spikes

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from quasarcurves.figures import style
from support import planted_spikes as planted

FOLDER = Path(__file__).parent
SIGMAS = (0.05, 0.1, 0.2, 0.4)
TIMES_SIGMA = (2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 10)
WIDTHS = (1, 5, 30, 300)
HEIGHTS = (1.5, 1.75, 2, 3, 5, 10, 30, 100)


def false_events(t: int = 10**6) -> list[dict]:
    """Events found in noise alone, per 10^5 steps."""
    rows = []
    for kind in planted.NOISES:
        for sigma in SIGMAS:
            rng = np.random.default_rng([2024, int(1000 * sigma)])
            start = time.perf_counter()
            found = len(find_spikes(planted.course(t) * planted.noise(kind, t, sigma, rng)))
            seconds = time.perf_counter() - start
            rows.append({"part": "false", "kind": kind, "sigma": sigma, "false": found / t * 1e5, "seconds": seconds})
    return rows


def per_step(t: int = 200_000) -> list[dict]:
    """Recall and precision per step, for spikes of one height and width."""
    rows = []
    for sigma in SIGMAS:
        for width in WIDTHS:
            for times in TIMES_SIGMA:
                rng = np.random.default_rng([2025, width])
                height, mean = float(np.exp(times * sigma)), 500 if width < 300 else 2000
                losses = [_planted(t, rng, height, (width, width), mean=mean, gap=30, sigma=sigma)]
                rows.append({"part": "step", "sigma": sigma, "width": width, "times_sigma": times, **_rates(losses)})
    return rows


def per_epoch(t: int = 600, losses: int = 20) -> list[dict]:
    """Recall and precision per epoch, for spikes of one height and widths from 1 to 15 epochs."""
    rows = []
    for sigma in (0.03, 0.05, 0.1):
        for height in HEIGHTS:
            for spacing in planted.SPACINGS:
                rng = np.random.default_rng([2026, int(1000 * sigma)])
                many = [
                    _planted(t, rng, height, (1, 15), spacing=spacing, mean=50, form=form, sigma=sigma)
                    for form in planted.SHAPES
                    for _ in range(losses // len(planted.SHAPES))
                ]
                row = {"part": "epoch", "sigma": sigma, "kind": spacing, "height": height}
                rows.append(row | _rates(many, **PER_EPOCH))
    return rows


def _planted(t: int, rng: np.random.Generator, height: float, widths: tuple[int, int], **options) -> tuple:
    return planted.plant(t, rng, height=(height, height), widths=widths, **options)


def _rates(losses: list[tuple], **options) -> dict[str, float]:
    counts = pd.DataFrame([planted.score(find_spikes(loss, **options), truth) for loss, truth in losses])
    total, found, right = counts[["planted", "found", "right"]].sum()
    return {"planted": total, "recall": right / total, "precision": right / found if found else np.nan}


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw recall against height: per step in units of the noise, per epoch as a ratio."""
    figure = style.new_figure(9, 3.4)
    with style.house_style():
        left, middle, right = figure.subplots(1, 3)
        for axes, width in ((left, 1), (middle, 5)):
            chosen = table[(table["part"] == "step") & (table["width"] == width)]
            for color, (sigma, group) in zip(style.sequential(len(SIGMAS)), chosen.groupby("sigma"), strict=True):
                axes.plot(group["times_sigma"], group["recall"], ".-", color=color, label=f"{sigma:g}")
            axes.set(xlabel="ln(height) / noise", ylabel="recall", title=f"per step, {width} wide", ylim=(0, 1.05))
        chosen = table[table["part"] == "epoch"].groupby(["sigma", "height"])[["recall", "precision"]].mean()
        for color, (sigma, group) in zip(style.sequential(3), chosen.reset_index().groupby("sigma"), strict=True):
            right.plot(group["height"], group["recall"], ".-", color=color, label=f"{sigma:g}")
        right.set(xlabel="height", ylabel="recall", title="per epoch", xscale="log", ylim=(0, 1.05))
        for axes in (left, middle, right):
            axes.axhline(0.95, color="0.6", linewidth=0.6)
            axes.legend(title="noise", loc="lower right")
    style.save(figure, [path])


def main() -> None:
    """Measure all and write it down."""
    table = pd.DataFrame(false_events() + per_step() + per_epoch())
    table.to_csv(FOLDER / "spikes.csv", index=False, float_format="%.4g")
    draw(table, FOLDER / "spikes.png")
    print(table.to_string(), file=sys.stderr)


if __name__ == "__main__":
    main()
