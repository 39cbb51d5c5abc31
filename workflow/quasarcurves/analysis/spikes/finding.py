"""Finding spikes, where a loss leaves its own course; and simpler measures that other work uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy

from quasarcurves.analysis.spikes import baseline, splitting
from quasarcurves.analysis.stats import MAD_TO_SIGMA

EPOCH_WINDOW = 51
"""Epochs of the running median."""

SETTLED_EPOCH = 50
"""Jumps are counted after this epoch: before it the loss falls so fast that its median lags behind."""

HIGH_RATIO = 3.0
"""A jump of the epoch loss to more than this many times its running median is counted."""


def height_ratio(loss: np.ndarray, window: int = EPOCH_WINDOW) -> np.ndarray:
    """Loss over its centred running median; the window is cut short at both ends.

    A median over a window much longer than a spike does not see the spike itself.

    Parameters
    ----------
    loss : (t,) array
        Positive; the median leaves out values that are not finite.
    window : int
        Odd.

    Returns
    -------
    (t,) float64 array
    """
    series = pd.Series(np.asarray(loss, np.float64)).replace([np.inf, -np.inf], np.nan)
    return np.asarray(loss / series.rolling(window, center=True, min_periods=1).median())


def settled_ratio(loss: np.ndarray) -> np.ndarray:
    """Height ratio of the epochs after `SETTLED_EPOCH`; a loss that is not finite is no spike, as it ends the run.

    Parameters
    ----------
    loss : (epochs,) array

    Returns
    -------
    (n,) float64 array
        Of the finite ones; empty for a short run.
    """
    loss = np.asarray(loss, np.float64)
    return height_ratio(loss[np.isfinite(loss)])[SETTLED_EPOCH:]


def count_excursions(ratio: np.ndarray, threshold: float = HIGH_RATIO) -> int:
    """Count the stretches of consecutive values above a threshold."""
    above = np.concatenate([[False], np.asarray(ratio) > threshold])
    return int((above[1:] & ~above[:-1]).sum())


WIDTHS = (1, 5, 25)
"""Steps that a loss is averaged over in the search: short spikes stand out at once, low ones only if they last."""

FALSE_RATES = (9e-6, 4e-7, 1e-7)
"""Probability at each width that Gaussian noise exceeds the threshold: together under 1 event in 10^5 steps."""

HEAVY_FALSE_RATES = (2e-5, 4e-6, 1e-6)
"""The same if the noise has heavier tails."""

BACK_RATIO = 1.1
"""A spike is over when the loss is back below this many times its course."""

PER_EPOCH: dict[str, Any] = {"min_height": 1.3, "sustained_window": 1}
"""Options of `find_spikes` for the mean losses of epochs. One hard batch seldom doubles the mean of an epoch."""

PER_STEP: dict[str, Any] = {}
"""Options of `find_spikes` for the losses of steps."""

COLUMNS = ["onset", "peak", "end", "kind", "height_ratio", "area", "recovery", "significance", "width_found"]

_COUNTS = ("onset", "peak", "width_found")
_WINDOWS = (101, 2001)

SHORTEST = _WINDOWS[0]
"""Steps: the shortest running median that spikes are searched with. A run with fewer counts as not searched."""

_PASSES = 3
_CLIP = 5.0
_BLOCK = 1_000_000
"""Steps judged at a time by measures of other work."""


def find_spikes(
    loss: np.ndarray,
    *,
    window: int | None = None,
    min_height: float = BACK_RATIO,
    false_rates: Sequence[float] = FALSE_RATES,
    heavy_false_rates: Sequence[float] = HEAVY_FALSE_RATES,
    sustained_window: int = splitting.SUSTAINED_WINDOW,
) -> pd.DataFrame:
    """Find the spikes of a loss, per step or per epoch.

    The log loss is compared with its running median, in units of its running noise, step by step and averaged over 5
    and 25 steps. Whatever stands out is a spike. The search is then repeated with medians that leave the
    spikes out, so that no spike hides itself or its neighbours. Thresholds are probabilities under noise whose tails
    are measured on the loss itself; they were set on simulated noise (`benchmarks/spikes.py`).

    Parameters
    ----------
    loss : (t,) array
        Values that are not finite are skipped; values that are not positive count as the lowest positive one.
    window : int, optional
        Steps of the running median: a fifth of the loss, but from 101 to 2001, unless given.
    min_height : float
        Least height of a spike, however significant, at the width at which it is found.
    false_rates : sequence of float
        Probability per step that Gaussian noise is mistaken for a spike, for each of `WIDTHS`.
    heavy_false_rates : sequence of float
        The same for noise with heavier tails than Gaussian.
    sustained_window : int
        Steps of the running median that tells sustained spikes from outliers, odd.

    Returns
    -------
    DataFrame
        A row per spike, by onset. All positions count from 0.

        - `onset`: first step above the course, of a sustained spike the step at which its growth begins; `peak`:
          highest step
        - `end`: first step back within 10 % of the course (or within what noise allows to tell), or the onset of a new
          rise in the spike's tail; NaN if never
        - `kind`: `sustained` if the running median rises above twice the course (above twice the trough, where the
          spike begins in the tail of another), else `outlier`
        - `height_ratio`: loss over course at the peak
        - `area`: sum over the spike of loss / course - 1, in steps
        - `recovery`: steps from peak to end
        - `significance`: how far the spike stands out, in standard deviations of the noise, at `width_found`, the
          number of steps averaged over when it was found

    Raises
    ------
    ValueError
        If the loss is not one-dimensional or an option makes no sense.
    """
    loss = np.asarray(loss)
    if loss.ndim != 1:
        raise ValueError(f"expected a loss of shape (t,), found {loss.shape}")
    if min_height < 1 or (window is not None and window < 3):
        raise ValueError(f"expected min_height >= 1 and window >= 3, found {min_height} and {window}")
    if sustained_window < 1 or sustained_window % 2 == 0:
        raise ValueError(f"expected an odd sustained_window of 1 or more, found {sustained_window}")
    finite = np.isfinite(loss)
    t = int(finite.sum())
    if not t:
        return _table([], finite, np.empty(0))
    width = _odd(window or np.clip(t // 5, *_WINDOWS))
    thresholds = list(zip(WIDTHS, false_rates, heavy_false_rates, strict=True))
    spikes: list[_Spike] = []
    excess, sigma, single = np.empty(0), np.empty(0), np.inf
    for number in range(_PASSES):
        excess = sigma = np.empty(0)  # frees those of the last pass: their memory is needed
        known = _quiet(spikes, t)
        excess, sigma = _excess(loss, finite, known, width)
        noise_window = baseline.NOISE_WINDOWS * width
        # the first pass cannot tell spikes from heavy tails yet: later passes drop what it takes too much
        spikes, single = _search(excess, sigma, known, thresholds, np.log(min_height), noise_window, heavy=number > 0)
        if number > 0 and np.array_equal(known, _quiet(spikes, t)):
            break  # another pass would leave out the same steps, and find the same
    parts = [part for spike in spikes for part in _split(spike, excess, sigma, sustained_window, single)]
    return _table(parts, finite, excess)


@dataclass
class _Spike:
    """Positions among the finite steps; `end` is their number if the loss never comes back."""

    onset: int
    end: int
    width: int
    significance: float
    kind: str = splitting.OUTLIER


def _log(loss: np.ndarray) -> np.ndarray:
    positive = loss > 0
    log_loss = np.maximum(loss, loss[positive].min() if positive.any() else 1.0, dtype=np.float64)
    return np.log(log_loss, out=log_loss)


def _odd(window: int) -> int:
    return int(window) // 2 * 2 + 1


def _quiet(spikes: Iterable[_Spike], t: int) -> np.ndarray:
    """Return which steps (t,) lie in no spike. The first always counts as quiet."""
    quiet = np.ones(t, bool)
    for spike in spikes:
        quiet[max(spike.onset, 1) : spike.end] = False
    return quiet


def _excess(loss: np.ndarray, finite: np.ndarray, quiet: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the log of a loss where it is finite, less its course, and the noise about that."""
    log_loss = _log(loss[finite])
    course = baseline.fit(log_loss, quiet, window)
    # in place: at 10^7 steps each array takes 80 MB
    log_loss -= course.level
    return log_loss, course.sigma


def _search(
    excess: np.ndarray,
    sigma: np.ndarray,
    quiet: np.ndarray,
    thresholds: Iterable[tuple[int, float, float]],
    min_log_height: float,
    noise_window: int,
    heavy: bool,
) -> tuple[list[_Spike], float]:
    """Find what stands out at each width, from the narrowest. A wider search leaves out the spikes found so far.

    Return them, and what a single step exceeds to stand out, in units of the noise.
    """
    bounds = _Bounds(excess, sigma)
    # where a loss falls steadily its median is the loss itself, and shows no noise
    telling = ~_lasting(excess == 0)
    spikes: list[_Spike] = []
    single = np.inf
    for width, false_rate, heavy_false_rate in thresholds:
        signal = _signal(excess, sigma, spikes, width)
        spread = max(MAD_TO_SIGMA * _median_size(signal[quiet]), width**-0.5)
        signal /= spread
        # independent values: of steps, those of a window; of means, all that do not overlap
        values = 1 / (1 / min(noise_window, quiet.sum()) + (width - 1) / quiet.sum())
        weight = baseline.tail_weight(signal, quiet, width, telling) if heavy else 0.0
        limit = baseline.threshold(weight, false_rate, heavy_false_rate, values)
        single = limit * spread if width == 1 else single
        high = signal > np.float64(limit)  # over a few steps the limit is beyond float32
        high[high] = signal[high] * spread * sigma[high] >= min_log_height
        found = [_spike(run, width, signal, excess, sigma, bounds) for run in _stretches(high, width)]
        spikes = _merged(spikes + found)
        del signal  # its memory is needed for the next
    return spikes, single


def _lasting(flags: np.ndarray) -> np.ndarray:
    """Return flags (t,) that are set for three steps or more in a row: an opening, in a third of scipy's time."""
    middles = np.zeros(len(flags) + 2, bool)
    middles[2:-2] = flags[:-2] & flags[1:-1] & flags[2:]
    return middles[:-2] | middles[1:-1] | middles[2:]


def _signal(excess: np.ndarray, sigma: np.ndarray, spikes: Iterable[_Spike], width: int) -> np.ndarray:
    """Return the excess in units of the noise (t,), or its mean over `width` steps without the known spikes."""
    noise = np.divide(excess, sigma, out=np.empty_like(sigma), casting="same_kind")
    if width == 1:
        return noise
    # clipped, so that a single high step does not look like a lasting rise
    np.clip(noise, -_CLIP, _CLIP, out=noise)
    noise *= _quiet(spikes, len(noise))
    return baseline.in_blocks(noise, width, lambda piece: _mean(piece, width))


def _median_size(values: np.ndarray) -> float:
    """Return the median of absolute values; the array is overwritten."""
    return float(np.median(np.abs(values, out=values), overwrite_input=True))


def _mean(values: np.ndarray, width: int) -> np.ndarray:
    # zeros beyond the ends: a repeated last value would count several times
    return scipy.ndimage.uniform_filter1d(values, min(width, len(values)), mode="constant")


def _stretches(high: np.ndarray, width: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the steps that the windows around high values cover."""
    places = np.flatnonzero(high)
    # windows that overlap or touch are one stretch
    edges = np.flatnonzero(np.diff(places, prepend=-width - 1, append=len(high) + width) > width)
    first, last = places[edges[:-1]], places[edges[1:] - 1]
    begin, end = np.maximum(first - width // 2, 0), np.minimum(last + width // 2 + 1, len(high))
    yield from zip(begin.tolist(), end.tolist(), strict=True)


class _Bounds:
    """Where the loss is on its course: where both the step and the median over the steps beyond are."""

    def __init__(self, excess: np.ndarray, sigma: np.ndarray) -> None:
        behind, self._beyond = _on_course(excess, sigma)
        # reversed, as a search stops at the first flag that is set
        self._behind = behind[::-1].copy()

    def onset(self, step: int) -> int:
        """Return the step after the last one, up to `step`, at which the loss was still on its course."""
        return len(self._behind) - _first(self._behind, len(self._behind) - 1 - step)

    def back(self, step: int) -> int:
        """Return the first step from `step` on at which the loss is back on its course; the number of steps if none."""
        return _first(self._beyond, step)


def _first(flags: np.ndarray, start: int) -> int:
    """Return the place of the first set flag from `start` on, the number of flags if there is none."""
    rest = flags[start:]
    return start + int(rest.argmax()) if rest.any() else len(flags)


def _on_course(excess: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which steps (t,) are on the course together with the median over the steps before them; and after them.

    The median is over 5 to 31 steps: as many as it takes for noise not to hide 10 %.
    """
    size = _odd(np.clip((1.25 * float(np.median(sigma)) / np.log(BACK_RATIO)) ** 2, 5, 31))
    half, medians = size // 2, scipy.ndimage.median_filter(excess, size, mode="nearest")
    allowed = sigma * np.float32(1.25 / np.sqrt(size))
    np.maximum(allowed, np.log(BACK_RATIO), out=allowed)
    behind = excess <= allowed
    beyond = behind.copy()
    behind[half:] &= medians[:-half] <= allowed[half:]
    behind[:half] &= medians[0] <= allowed[:half]
    beyond[:-half] &= medians[half:] <= allowed[:-half]
    beyond[-half:] &= medians[-1] <= allowed[-half:]
    return behind, beyond


def _spike(
    stretch: tuple[int, int], width: int, signal: np.ndarray, excess: np.ndarray, sigma: np.ndarray, bounds: _Bounds
) -> _Spike:
    """Make a spike of a stretch that stands out: the part that is high, extended to where the loss is back."""
    begin, end = stretch
    highest = float(signal[begin:end].max())
    if width > 1:
        noise = excess[begin:end] / sigma[begin:end]
        begin, end = (begin + edge for edge in _highest_sum(noise - _mean(noise, width).max() / 2))
    return _Spike(min(bounds.onset(begin), begin), bounds.back(end), width, highest)


def _highest_sum(values: np.ndarray) -> tuple[int, int]:
    """Begin and end of the stretch with the highest sum (Kadane's algorithm)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    gain = sums - np.minimum.accumulate(sums)
    end = int(np.argmax(gain))
    return int(np.argmin(sums[: end + 1])), end


def _merged(spikes: Iterable[_Spike]) -> list[_Spike]:
    """Join spikes that touch. The position of a spike is known no better than the width at which it was found."""
    merged: list[_Spike] = []
    for spike in sorted(spikes, key=lambda spike: spike.onset):
        last = merged[-1] if merged else None
        if last is None or spike.onset - last.end >= max(last.width, spike.width):
            merged.append(spike)
        else:
            stronger = max(last, spike, key=lambda one: one.significance)
            merged[-1] = _Spike(last.onset, max(last.end, spike.end), stronger.width, stronger.significance)
    return merged


def _split(spike: _Spike, excess: np.ndarray, sigma: np.ndarray, window: int, single: float) -> Iterator[_Spike]:
    """Yield what a spike consists of. What led to a sustained one counts if a single step of it stands out."""
    parts = splitting.split(spike.onset, spike.end, excess, sigma, window, np.log(BACK_RATIO))
    for part in parts:
        own = excess[part.begin : part.end]
        highest = float((own / sigma[part.begin : part.end]).max())
        if own.max() == excess[spike.onset : spike.end].max():  # it is what was found
            yield _Spike(part.begin, part.end, spike.width, spike.significance, part.kind)
        elif part.kind == splitting.SUSTAINED or highest > single:
            yield _Spike(part.begin, part.end, 1, highest, part.kind)


def _table(spikes: Sequence[_Spike], finite: np.ndarray, excess: np.ndarray) -> pd.DataFrame:
    """Measure each spike. Positions become those in the original loss."""
    rows = []
    steps = np.flatnonzero(finite)
    for spike in spikes:
        ratio = np.exp(excess[spike.onset : spike.end])
        highest = int(np.argmax(ratio))
        peak = int(steps[spike.onset + highest])
        end = float(steps[spike.end]) if spike.end < len(steps) else np.nan
        measured = (spike.kind, ratio[highest], (ratio - 1).sum(), end - peak, spike.significance, spike.width)
        rows.append((int(steps[spike.onset]), peak, end, *measured))
    table = pd.DataFrame(rows, columns=COLUMNS)
    types = {name: "int64" if name in _COUNTS else "float64" for name in COLUMNS} | {"kind": "object"}
    return table.astype(types)


def olmo_spike_score(loss: np.ndarray, window: int = 1000, sigmas: float = 7.0) -> float:
    """Share of steps more than 7 standard deviations above the mean of the last 1,000 (OLMo 2, arXiv:2501.00656).

    The window of the steps after a spike holds the spike, so that one hides the next.

    Parameters
    ----------
    loss : (t,) array
    window : int
        Steps before the one that is judged.
    sigmas : float

    Returns
    -------
    float
        Of the steps that have so many before them; NaN if none has.
    """
    loss = np.asarray(loss)
    loss = loss[np.isfinite(loss)]
    above = 0
    for first in range(window, len(loss), _BLOCK):
        series = pd.Series(loss[first - window : first + _BLOCK].astype(np.float64))
        past = series.shift(1).rolling(window)
        above += int((series > past.mean() + sigmas * past.std(ddof=0)).sum())
    return above / (len(loss) - window) if len(loss) > window else float("nan")


def loss_ratio(loss: np.ndarray) -> np.ndarray:
    """Loss over the lowest loss so far; other work counts how often it exceeds 1.2 or 1.5.

    Parameters
    ----------
    loss : (t,) array

    Returns
    -------
    (t,) float64 array
        NaN where the loss is not finite.
    """
    values = np.array(loss, np.float64)
    values[~np.isfinite(values)] = np.nan
    return np.divide(values, np.fmin.accumulate(values), out=values)
