"""What QuasarNET's examples and test-set metrics are called."""

from __future__ import annotations

from quasarcurves.analysis.metrics.description import Description, Metric

DESCRIPTION = Description(
    example="spectrum",
    examples="spectra",
    metrics=(
        Metric("crossing", label="crossing point", short="crossing", error_axis="error where purity\n= completeness"),
        Metric("completeness", axis="completeness\nat c > 0.5"),
        Metric("sigma_dv", "lower", label="scatter of dv", unit="km/s", short="scatter"),
    ),
    judged_by=("completeness", "purity"),
    listed=("completeness", "purity", "sigma_dv"),
    curves=("crossing", "test_loss", "sigma_dv"),
    rows={"n_detect": 1, "sample": "all"},
    # wrong calls make most of the loss, and it has no bootstrap of its own
    loss_varies_as="crossing",
)
