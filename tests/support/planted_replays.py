"""Replays of a made-up process whose hazard is known, in the form of the files of replay jobs."""

import numpy as np
import pandas as pd

from quasarcurves.analysis.replays.outcomes import FORK_COLUMNS, REPLAY_COLUMNS, Outcomes

PROCESSES = ("constant", "rising", "none", "state", "batch", "waves")

STEPS = 1000 + 500 * np.arange(20)
"""Of the first forks of a grid."""

UNSEEN = 131.0
"""Steps from a fork on in which no rise over a replay's own level can be seen."""

_WAVE_STEPS, _WAVE = 1500.0, 1.0
"""How far waves reach, and the scatter of the logarithm of their factors."""


def make(
    process="constant", runs=1, *, hazard=1.0, arms=None, replays=8, grid=12, before=0, steps=600.0, between_runs=0.5,
    absent=(), prices=None, low=(), seed=0,
):  # fmt: skip
    """Replays of one optimizer.

    Parameters
    ----------
    process : str
        How spikes come, at `hazard` per 1,000 steps on average as it is: `constant`; `rising` with the step of the
        fork; `none`; by the `state` alone (all replays of a fork in all arms, or none); by one `batch` that the order
        of each replay has within its steps or not, the same for all arms of a replay.
    arms : mapping of str to float
        True ratio of each arm's hazard; of `state` and `batch` only arms that change nothing (1) make sense.
    before : int
        Spikes per run with forks 30 and 100 steps before them. With `state` these spike; else they are as any other.
    prices : mapping of str to float
        The loss at which an arm's replays end, over that before the fork; 0.9 where not given. It scatters by 10 %
        from replay to replay, and by 5 % more from run to run of an arm.
    low : sequence of str
        Arms with a loss so low that their spikes do not reach three times the level before the fork: they rise over
        their own level alone.
    between_runs : float
        Coefficient of variation of runs' hazards; none for a single run.
    """
    rng = np.random.default_rng(seed)
    arms = {"as_it_is": 1.0, **({"step_x0.5": 1.0} if arms is None else arms)}
    losses = np.random.default_rng([seed, 1])
    rows, forks = [], []
    for r in range(runs):
        keys = {"run": f"f0.4_r{r}/adam", "fraction": 0.4, "replicate": r, "optimizer": "adam", "n_train": 1024,
                "learning_rate": 1e-3}  # fmt: skip
        own = hazard / 1000 * (rng.gamma(1 / between_runs**2, between_runs**2) if runs > 1 and between_runs else 1)
        ends = {arm: (prices or {}).get(arm, 0.9) * losses.lognormal(0, 0.05) for arm in arms}
        waves = waves_of(seed, r, [fork["fork_step"] for fork in _forks(rng.spawn(1)[0], grid, before)])
        for fork, wave in zip(_forks(rng, grid, before), waves, strict=True):
            forks.append({**keys, **fork})
            rate = own * (wave if process == "waves" else _rate(process, fork))
            passages = _passages(rng, process, rate, arms, replays, steps, certain=fork["kind"] == "before")
            for arm, times in passages.items():
                after = ends[arm] * losses.lognormal(0, 0.1, len(times))
                rows += [_row(keys, fork, arm, k, time, steps, after[k], arm in low) for k, time in enumerate(times)]
            rows += [_absent(keys, fork, arm) for arm in absent]
    return Outcomes(pd.DataFrame(rows)[REPLAY_COLUMNS], pd.DataFrame(forks)[FORK_COLUMNS])


def save(outcomes, folder, jobs=2):
    """Write the files of replay jobs; return the lists of their paths."""
    places = outcomes.forks["fork_step"].rank(method="dense").astype(int) % jobs
    of_fork = dict(zip(outcomes.forks["fork_step"], places, strict=True))
    paths = ([], [])
    for i, (run, _) in enumerate(outcomes.forks.groupby("run")):
        for job in range(jobs):
            for table, name, kept in zip((outcomes.replays, outcomes.forks), ("replays", "forks"), paths, strict=True):
                own = (table["run"] == run) & (table["fork_step"].map(of_fork) == job)
                path = folder / f"{name}_{i}_{job}.csv"
                table[own].to_csv(path, index=False)
                kept.append(path)
    return paths


def _forks(rng, grid, before):
    steps = 1000 + 500 * np.arange(grid)
    found = [(int(step), "grid", np.nan, np.nan) for step in steps]
    for i in range(before):
        onset = 1777 + 1000 * i
        found += [(onset - at, "before", float(onset), float(at)) for at in (100, 30)]
    for step, kind, onset, distance in found:
        yield {
            "fork_step": step, "kind": kind, "onset": onset, "distance": distance, "loss": 0.02 * rng.lognormal(0, 0.3),
            "effective_step": 1e-3 * step / 3750 * rng.lognormal(0, 0.05),
            "since_spike": np.nan if step < 1500 else 100.0 + step % 1900,
            "noise": rng.uniform(0.3, 0.6), "sharpness_share": rng.uniform(0.2, 0.6),
        }  # fmt: skip


def waves_of(seed, run, steps):
    """Return factors of a run's hazard at steps of forks, of mean 1: they go together over some 1,500 steps."""
    rng = np.random.default_rng([seed, 2, run])
    alike = np.exp(-np.abs(np.subtract.outer(steps, steps)) / _WAVE_STEPS)
    return np.exp(_WAVE * rng.multivariate_normal(np.zeros(len(steps)), alike) - _WAVE**2 / 2)


def _rate(process, fork):
    if process == "none":
        return 0.0
    return (fork["fork_step"] / 3750) ** 2 if process == "rising" else 1.0


def _passages(rng, process, rate, arms, replays, steps, certain):
    """Return the times (replays,) to the first spike of each arm; infinite where none comes."""
    if process == "state":
        comes = certain or rng.random() < -np.expm1(-rate * steps)
        time = rng.uniform(0, steps) if comes else np.inf
        return {arm: np.full(replays, time) for arm in arms}
    if process == "batch":
        time = rng.exponential(1 / rate, replays)
        return {arm: time for arm in arms}
    return {arm: rng.exponential(1, replays) / max(rate * ratio, 1e-300) for arm, ratio in arms.items()}


def _row(keys, fork, arm, replay, time, steps, after, low):
    rises = time < steps
    spiked = bool(rises and not low)
    return {**keys, "fork_step": fork["fork_step"], "arm": arm, "replay": replay, "steps": time if spiked else steps,
            "spiked": int(spiked), "first_passage": time if spiked else np.nan, "height": 5.0 if spiked else 1.5,
            "loss_after": np.nan if spiked else after, "own_rise": time if rises and time > UNSEEN else np.nan,
            "own_exposure": max(0.0, min(time, steps) - UNSEEN), "note": ""}  # fmt: skip


def _absent(keys, fork, arm):
    return {**keys, "fork_step": fork["fork_step"], "arm": arm, "replay": -1, "steps": 0.0, "spiked": 0,
            "first_passage": np.nan, "height": np.nan, "loss_after": np.nan, "own_rise": np.nan, "own_exposure": 0,
            "note": "Adam without amsgrad has no maximum"}  # fmt: skip
