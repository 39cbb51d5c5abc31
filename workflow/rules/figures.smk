"""What one looks at: the figures, each in every format, and the tables as pages of the report."""

# the tables that the report shows
TABLES = [
    VERDICT,
    ENOUGH_DATA,
    SUMMARY,
    SPIKES,
    SPIKE_STATISTICS,
    SPIKE_TRENDS,
    HYPOTHESES,
    PREDICTORS,
    CURES,
    CONVERGENCE,
    TEST_LOSSES,
    TEST_SUMMARY,
    TEST_METRICS,
    LEARNING_CURVE,
    *([SPIKE_COST, SPIKE_COST_SUMMARY] if study.takes_snapshots else []),
]


rule plot_fractions:
    input:
        epochs=ancient(EPOCHS),
        runs=ancient(SUMMARY),
        receipts=rules.collect_histories.output.receipt,
    output:
        figures=figure(
            "loss_by_fraction",
            "loss against epoch, by training-set size",
            category="Losses",
            of="_{optimizer}",
            optimizer="{optimizer}",
        ),
        receipt=RECEIPTS / "plot_fractions" / "{optimizer}.json",
    log:
        LOGS / "plot_fractions" / "{optimizer}.log",
    benchmark:
        BENCHMARKS / "plot_fractions" / "{optimizer}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        style=json.dumps(study.config["figures"]["loss_by_fraction"]),
        code=lambda wc: fingerprint.code("plot_fractions"),
    shell:
        "python -m scripts.plot_fractions --epochs {input.epochs:q} --runs {input.runs:q}"
        " --optimizer {wildcards.optimizer:q} --style {params.style:q} --figures {output.figures:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule plot_optimizers:
    input:
        epochs=ancient(EPOCHS),
        runs=ancient(SUMMARY),
        receipts=rules.collect_histories.output.receipt,
    output:
        figures=figure("loss_by_optimizer", "loss against epoch, by optimizer", category="Losses"),
        receipt=RECEIPTS / "plot_optimizers.json",
    log:
        LOGS / "plot_optimizers.log",
    benchmark:
        BENCHMARKS / "plot_optimizers.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        style=json.dumps(study.config["figures"]["loss_by_optimizer"]),
        code=lambda wc: fingerprint.code("plot_optimizers"),
    shell:
        "python -m scripts.plot_optimizers --epochs {input.epochs:q} --runs {input.runs:q}"
        " --style {params.style:q} --figures {output.figures:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule plot_spikes:
    input:
        histories=ancient(HISTORIES),
        spikes=ancient(SPIKES),
        receipts=[rules.collect_histories.output.receipt, rules.find_spikes.output.receipt],
    output:
        figures=figure("detected_spikes", "spikes found", category="Spikes", of="_{optimizer}", optimizer="{optimizer}"),
        receipt=RECEIPTS / "plot_spikes" / "{optimizer}.json",
    log:
        LOGS / "plot_spikes" / "{optimizer}.log",
    benchmark:
        BENCHMARKS / "plot_spikes" / "{optimizer}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        style=json.dumps(study.config["figures"]["detected_spikes"]),
        code=lambda wc: fingerprint.code("plot_spikes"),
    shell:
        "python -m scripts.plot_spikes --histories {input.histories:q} --spikes {input.spikes:q}"
        " --optimizer {wildcards.optimizer:q} --style {params.style:q} --figures {output.figures:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule plot_spike_statistics:
    input:
        statistics=ancient(SPIKE_STATISTICS),
        receipts=rules.find_spikes.output.receipt,
    output:
        figures=figure("spike_statistics", "rate, height and duration of spikes", category="Spikes"),
        receipt=RECEIPTS / "plot_spike_statistics.json",
    log:
        LOGS / "plot_spike_statistics.log",
    benchmark:
        BENCHMARKS / "plot_spike_statistics.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        style=json.dumps(study.config["figures"]["spike_statistics"]),
        code=lambda wc: fingerprint.code("plot_spike_statistics"),
    shell:
        "python -m scripts.plot_spike_statistics --statistics {input.statistics:q}"
        " --style {params.style:q} --figures {output.figures:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule plot_curvature:
    input:
        histories=ancient(HISTORIES),
        spikes=ancient(SPIKES),
        receipts=[rules.collect_histories.output.receipt, rules.find_spikes.output.receipt],
    output:
        figures=figure(
            "curvature", "curvature against its threshold", category="Causes", of="_f{fraction}", fraction="{fraction}"
        ),
        receipt=RECEIPTS / "plot_curvature" / "f{fraction}.json",
    log:
        LOGS / "plot_curvature" / "f{fraction}.log",
    benchmark:
        BENCHMARKS / "plot_curvature" / "f{fraction}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        code=lambda wc: fingerprint.code("plot_curvature"),
    shell:
        "python -m scripts.plot_curvature --histories {input.histories:q} --spikes {input.spikes:q}"
        " --fraction {wildcards.fraction} --figures {output.figures:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule plot_aligned:
    input:
        aligned=ancient(ALIGNED),
        receipts=rules.diagnose_spikes.output.receipt,
    output:
        figures=figure(
            "aligned",
            "what moves around a spike",
            category="Causes",
            of="_{optimizer}",
            optimizer="{optimizer}",
        ),
        receipt=RECEIPTS / "plot_aligned" / "{optimizer}.json",
    log:
        LOGS / "plot_aligned" / "{optimizer}.log",
    benchmark:
        BENCHMARKS / "plot_aligned" / "{optimizer}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        code=lambda wc: fingerprint.code("plot_aligned"),
    shell:
        "python -m scripts.plot_aligned --aligned {input.aligned:q} --optimizer {wildcards.optimizer:q}"
        " --figures {output.figures:q} --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule plot_cures:
    input:
        cures=ancient(CURES),
        receipts=rules.compare_optimizers.output.receipt,
    output:
        figures=figure("cures", "rate of spikes against final loss", category="Cures"),
        receipt=RECEIPTS / "plot_cures.json",
    log:
        LOGS / "plot_cures.log",
    benchmark:
        BENCHMARKS / "plot_cures.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        code=lambda wc: fingerprint.code("plot_cures"),
    shell:
        "python -m scripts.plot_cures --cures {input.cures:q} --figures {output.figures:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule plot_purity_completeness:
    input:
        metrics=ancient(METRICS),
        test_metrics=ancient(TEST_METRICS),
        dv_histogram=ancient(DV_HISTOGRAM),
        receipts=rules.compute_metrics.output.receipt,
    output:
        figures=figure(
            "purity_completeness",
            "purity, completeness and dv on the test set",
            category="Test set",
            of="_{optimizer}",
            optimizer="{optimizer}",
        ),
        receipt=RECEIPTS / "plot_purity_completeness" / "{optimizer}.json",
    log:
        LOGS / "plot_purity_completeness" / "{optimizer}.log",
    benchmark:
        BENCHMARKS / "plot_purity_completeness" / "{optimizer}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        style=json.dumps(study.config["figures"]["purity_completeness"]),
        code=lambda wc: fingerprint.code("plot_purity_completeness"),
    shell:
        "python -m scripts.plot_purity_completeness --metrics {input.metrics:q} --test_metrics {input.test_metrics:q}"
        " --dv_histogram {input.dv_histogram:q} --optimizer {wildcards.optimizer:q} --style {params.style:q}"
        " --figures {output.figures:q} --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule plot_learning_curves:
    input:
        curves=ancient(LEARNING_CURVE),
        errors=ancient(LEARNING_CURVE_ERRORS),
        bands=ancient(LEARNING_CURVE_BANDS),
        receipts=rules.fit_learning_curves.output.receipt,
    output:
        figures=figure("learning_curve", "test errors against training-set size", category="Learning curves"),
        receipt=RECEIPTS / "plot_learning_curves.json",
    log:
        LOGS / "plot_learning_curves.log",
    benchmark:
        BENCHMARKS / "plot_learning_curves.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        code=lambda wc: fingerprint.code("plot_learning_curves"),
    shell:
        "python -m scripts.plot_learning_curves --curves {input.curves:q} --errors {input.errors:q}"
        " --bands {input.bands:q} --figures {output.figures:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule plot_spike_cost:
    input:
        costs=ancient(SPIKE_COST),
        summary=ancient(SPIKE_COST_SUMMARY),
        receipts=rules.measure_spike_cost.output.receipt,
    output:
        figures=figure("spike_cost", "the test set before, in and after spikes", category="Spikes"),
        receipt=RECEIPTS / "plot_spike_cost.json",
    log:
        LOGS / "plot_spike_cost.log",
    benchmark:
        BENCHMARKS / "plot_spike_cost.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        code=lambda wc: fingerprint.code("plot_spike_cost"),
    shell:
        "python -m scripts.plot_spike_cost --costs {input.costs:q} --summary {input.summary:q}"
        " --figures {output.figures:q} --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule show_tables:
    input:
        tables=ancient(TABLES),
        receipts=[
            rules.collect_histories.output.receipt,
            rules.collect_test_losses.output.receipt,
            rules.compute_metrics.output.receipt,
            rules.find_spikes.output.receipt,
            rules.diagnose_spikes.output.receipt,
            rules.judge_convergence.output.receipt,
            rules.compare_optimizers.output.receipt,
            rules.write_verdict.output.receipt,
            rules.fit_learning_curves.output.receipt,
            *([rules.measure_spike_cost.output.receipt] if study.takes_snapshots else []),
        ],
    output:
        pages=ensure([page(table) for table in TABLES], non_empty=True),
        receipt=RECEIPTS / "show_tables.json",
    log:
        LOGS / "show_tables.log",
    benchmark:
        BENCHMARKS / "show_tables.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        code=lambda wc: fingerprint.code("show_tables"),
    shell:
        "python -m scripts.show_tables --tables {input.tables:q} --pages {output.pages:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"
