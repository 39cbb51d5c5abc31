"""Random tables of whole studies that agree with each other: for the tests of what is said of them."""

import numpy as np
import pandas as pd

from quasarcurves.analysis.answer.replies import Study
from quasarcurves.quasarnet.analysis.description import DESCRIPTION

NAMES = ("adam", "amsgrad", "adam_matched", "lion", "sgd", "nadam", "rmsprop", "adamax")
CAUSES = ("effective step grows", "incomplete last batch", "growth of the last layer", "outdated second moment")
VERDICTS = ("supported", "contradicted", "not settled", "not measured")
CONVERGENCE = ("converged", "still falling", "rising", "cannot say")
LOCKED = {
    (False, True): "steps", (True, False): "epochs", (True, True): "neither", (False, False): "undecided",
}  # fmt: skip
"""What remains where a rate fixed per step, or one fixed per epoch, is refused."""
METRICS = ("loss", "crossing", "completeness", "purity", "sigma_dv")
ENDS = ("", "_low", "_high")


def around(rng, value, name, width=0.3):
    """A value with an interval that holds it, or without one."""
    ends = (np.nan, np.nan) if rng.random() < 0.2 else (value - width * rng.random(), value + width * rng.random())
    return dict(zip((f"{name}{end}" for end in ENDS), (value, *ends), strict=True))


def make_study(
    seed, optimizers=2, sizes=3, replicates=2, epochs=100, validated=True, diverging=0.1, spiking=2.0, everywhere=None
):
    """Tables with the columns that the answers read, of any size of study.

    The first `everywhere` optimizers (all if none is given) have all sizes, the others the largest alone.
    """
    rng = np.random.default_rng(seed)
    names, n_train = NAMES[:optimizers], [1024 // 2**i for i in range(sizes)]
    sizes_of = {name: n_train if everywhere is None or i < everywhere else n_train[:1] for i, name in enumerate(names)}
    runs = _runs(rng, sizes_of, replicates, epochs, validated, diverging)
    statistics, spikes = _spikes(rng, runs, spiking)
    runs_of = runs.groupby("optimizer")
    return Study(
        runs=runs,
        spikes=spikes,
        spike_statistics=statistics,
        spike_trends=_trends(rng, names),
        hypotheses=pd.DataFrame(
            [
                {"optimizer": name, "hypothesis": cause, "verdict": rng.choice(VERDICTS)}
                | dict(zip(("estimate", "low", "high"), around(rng, rng.normal(), "x").values(), strict=True))
                for name in names
                for cause in CAUSES
            ]
        ),
        cures=_cures(rng, sizes_of),
        cures_overall=_overall(rng, sizes_of, statistics),
        convergence=_convergence(rng, runs),
        stopping=_stopping(rng, runs, validated),
        learning_curve=pd.DataFrame([_curve(rng, name, metric, sizes_of[name], len(runs_of.get_group(name)))
                                     for name in names for metric in ("crossing", "test_loss", "sigma_dv")]),
        description=DESCRIPTION,
    )  # fmt: skip


def _runs(rng, sizes_of, replicates, epochs, validated, diverging):
    rows = [
        {"fraction": n / 1280, "replicate": r, "optimizer": name, "n_train": n, "steps_per_epoch": max(n // 32, 1),
         "epochs": epochs, "val_loss_lowest": rng.lognormal() if validated else np.nan,
         "diverged": rng.random() < diverging, "seconds": 100 * rng.random() if rng.random() < 0.9 else np.nan}
        for n in next(iter(sizes_of.values())) for r in range(replicates) for name in sizes_of if n in sizes_of[name]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _spikes(rng, runs, spiking):
    statistics, spikes = [], []
    for run in runs.to_dict("records"):
        steps = run["epochs"] * run["steps_per_epoch"]
        steps = int(steps * rng.random()) if run["diverged"] else steps
        n = rng.poisson(spiking * steps / 2000) if steps > 101 else 0
        keys = {name: run[name] for name in ("fraction", "replicate", "optimizer")}
        for scale in ("step", "epoch"):
            statistics.append({**keys, "scale": scale, "n_train": run["n_train"], "steps": steps, "spikes": n,
                               "outliers": rng.poisson(1)})  # fmt: skip
            for onset in rng.integers(0, max(steps, 1), n):
                spikes.append({**keys, "scale": scale, "kind": "sustained", "onset": onset})
    columns = ["fraction", "replicate", "optimizer", "scale", "kind", "onset"]
    return pd.DataFrame(statistics), pd.DataFrame(spikes, columns=columns)


def _trends(rng, names):
    rows = []
    for name, scale in ((name, scale) for name in names for scale in ("epoch", "step") if rng.random() < 0.9):
        steps, epochs = rng.choice([0.012, 0.34], 2)
        verdict = LOCKED[steps < 0.05, epochs < 0.05]
        reason = f"they are too few at scale {scale}" if verdict == "undecided" else np.nan
        row = {"optimizer": name, "scale": scale, "steps_p": steps, "epochs_p": epochs}
        rows.append(row | {"verdict": verdict, "reason": reason})
    return pd.DataFrame(rows, columns=["optimizer", "scale", "steps_p", "epochs_p", "verdict", "reason"])


def _cures(rng, sizes_of):
    quasars, names = rng.random() < 0.8, list(sizes_of)
    pairs = [(name, names[0]) for name in names]
    pairs += [("adam_matched", "amsgrad")] if "adam_matched" in names else []
    return pd.DataFrame(
        [
            {"fraction": n / 1280, "optimizer": name, "reference": other, "n_train": n, "matched": other == "amsgrad"}
            | {metric: rng.random() if quasars else np.nan for metric in ("completeness", "purity", "sigma_dv")}
            for name, other in pairs
            for n in sizes_of[name]
        ]
    )


def _overall(rng, sizes_of, statistics):
    totals = statistics[statistics["scale"] == "step"].groupby("optimizer")["spikes"].sum()
    rows, names = [], list(sizes_of)
    for name in names[1:]:
        ratio = totals[name] / totals[names[0]] if totals[names[0]] else np.nan
        row = {
            "optimizer": name,
            "reference": names[0],
            "strata": len(sizes_of[name]),
            "spikes_sustained": totals[name],
        }
        row |= {"spikes_reference": totals[names[0]], **around(rng, ratio, "rate_ratio")}
        verdict = "yes" if row["rate_ratio_high"] < 0.5 else "no" if row["rate_ratio_low"] > 0.5 else "cannot say"
        lowers = "yes" if row["rate_ratio_high"] < 1 else "no" if row["rate_ratio_low"] > 1 else "cannot say"
        row |= {"removes_spikes": verdict, "lowers_spikes": lowers, "rate_ratio_p": rng.random()}
        row |= around(rng, rng.lognormal() if rng.random() < 0.8 else np.nan, "price_train")
        row |= around(rng, rng.normal() if rng.random() < 0.8 else np.nan, "difference_completeness")
        row |= around(rng, rng.normal() if rng.random() < 0.8 else np.nan, "difference_purity")
        rows.append(row)
    columns = [
        "optimizer",
        "reference",
        "strata",
        "spikes_sustained",
        "spikes_reference",
        "removes_spikes",
        "lowers_spikes",
    ]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def _convergence(rng, runs):
    rows = []
    for run in runs.to_dict("records"):
        known = not run["diverged"] and run["epochs"] > 8
        row = {name: run[name] for name in ("fraction", "replicate", "optimizer", "n_train", "diverged")}
        row["convergence"] = "diverged" if run["diverged"] else rng.choice(CONVERGENCE) if known else "cannot say"
        late = round(0.2 * run["epochs"]) if known else 0
        row |= {"stop_late_epochs": late, "stop_late_worse": rng.integers(late + 1),
                "validations_late": late * int(np.isfinite(run["val_loss_lowest"]))}  # fmt: skip
        rows.append(row | around(rng, rng.lognormal() if known else np.nan, "change_train"))
    return pd.DataFrame(rows)


def _stopping(rng, runs, validated):
    verdicts = ("best is better", "best is worse", "same", "cannot say")
    return pd.DataFrame(
        [
            {name: run[name] for name in ("fraction", "replicate", "optimizer")}
            | {"metric": metric, "verdict": rng.choice(verdicts) if validated else "cannot say"}
            for run in runs.to_dict("records")
            for metric in METRICS
        ]
    )


def _curve(rng, name, metric, n_train, runs):
    sizes = len(n_train)
    answered, target = bool(sizes >= 5 and rng.random() < 0.7), rng.choice([0.05, np.nan])
    row = {"optimizer": name, "metric": metric, "sizes": sizes, "n_smallest": min(n_train), "n_largest": max(n_train)}
    row |= {"runs": runs, "answered": answered, "reasons": np.nan if answered else f"there are too few sizes ({sizes})"}
    row |= {"target": target, "target_given": 1 - target, "still_training": bool(rng.random() < 0.5)}
    need = 5000 * rng.random() if answered and np.isfinite(target) else np.nan
    row |= around(rng, need, "n_required", 500) | around(
        rng, rng.normal(0.3, 0.2) if sizes > 2 else np.nan, "gain_per_doubling"
    )
    return row | {"label_next": rng.choice([np.nan, 0.0, 512.0]), "chance_of_missing": rng.choice([np.nan, 0.1])}
