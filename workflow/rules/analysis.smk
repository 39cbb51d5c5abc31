"""From the histories of all runs to tables."""

# Those that read the predictions of all runs name them only where they have to be brought: on a disk, the receipt of
# `collect_test_losses` speaks of them, and thousands of names more would slow every start.
predictions_to_bring = ancient(expand(PREDICTIONS, zip, **study.run_wildcards())) if STORED else []


rule collect_histories:
    input:
        histories=ancient(expand(HISTORY, zip, **study.run_wildcards())),
        receipts=every([rules.train.output.receipt], zip, **study.run_wildcards()),
    output:
        histories=ensure(HISTORIES, non_empty=True),
        epochs=ensure(EPOCHS, non_empty=True),
        summary=ensure(SUMMARY, non_empty=True),
        receipt=RECEIPTS / "collect_histories.json",
    log:
        LOGS / "collect_histories.log",
    benchmark:
        BENCHMARKS / "collect_histories.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        # the runs by what they are made of: thousands of paths would not fit on a command line
        runs=lambda wc, output: Path(output.epochs).parent / "runs",
        subsets=study.subset_names,
        optimizers=study.optimizers,
        code=lambda wc: fingerprint.code("collect_histories"),
    shell:
        "python -m scripts.collect_histories --runs {params.runs:q} --subsets {params.subsets:q}"
        " --optimizers {params.optimizers:q} --histories {output.histories:q} --epochs {output.epochs:q}"
        " --summary {output.summary:q} --receipt {output.receipt:q} 2> {log:q}"


rule collect_test_losses:
    input:
        predictions=ancient(expand(PREDICTIONS, zip, **study.run_wildcards())),
        receipts=every([rules.evaluate.output.receipt], zip, **study.run_wildcards()),
    output:
        losses=ensure(TEST_LOSSES, non_empty=True),
        receipt=RECEIPTS / "collect_test_losses.json",
    log:
        LOGS / "collect_test_losses.log",
    benchmark:
        BENCHMARKS / "collect_test_losses.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        runs=lambda wc, output: Path(output.losses).parent / "runs",
        subsets=study.subset_names,
        optimizers=study.optimizers,
        code=lambda wc: fingerprint.code("collect_test_losses"),
    shell:
        "python -m scripts.collect_test_losses --runs {params.runs:q} --subsets {params.subsets:q}"
        " --optimizers {params.optimizers:q} --losses {output.losses:q} --receipt {output.receipt:q} 2> {log:q}"


rule compute_metrics:
    input:
        spectra=ancient(SPECTRA),
        summary=ancient(SUMMARY),
        receipts=[
            rules.prepare_spectra.output.receipt,
            rules.collect_histories.output.receipt,
            # speaks of all predictions
            rules.collect_test_losses.output.receipt,
        ],
        predictions=predictions_to_bring,
    output:
        metrics=ensure(METRICS, non_empty=True),
        test_metrics=ensure(TEST_METRICS, non_empty=True),
        test_summary=ensure(TEST_SUMMARY, non_empty=True),
        dv_histogram=ensure(DV_HISTOGRAM, non_empty=True),
        receipt=RECEIPTS / "compute_metrics.json",
    log:
        LOGS / "compute_metrics.log",
    benchmark:
        BENCHMARKS / "compute_metrics.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        runs=lambda wc, output: Path(output.metrics).parent / "runs",
        subsets=study.subset_names,
        optimizers=study.optimizers,
        code=lambda wc: fingerprint.code("compute_metrics"),
    shell:
        "python -m scripts.compute_metrics --runs {params.runs:q} --subsets {params.subsets:q}"
        " --optimizers {params.optimizers:q} --spectra {input.spectra:q} --summary {input.summary:q}"
        " --metrics {output.metrics:q} --test_metrics {output.test_metrics:q} --test_summary {output.test_summary:q}"
        " --dv_histogram {output.dv_histogram:q} --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule measure_spike_cost:
    input:
        spectra=ancient(SPECTRA),
        # the latter speaks of all predictions
        receipts=[rules.prepare_spectra.output.receipt, rules.collect_test_losses.output.receipt],
        predictions=predictions_to_bring,
    output:
        costs=ensure(SPIKE_COST, non_empty=True),
        summary=ensure(SPIKE_COST_SUMMARY, non_empty=True),
        receipt=RECEIPTS / "measure_spike_cost.json",
    log:
        LOGS / "measure_spike_cost.log",
    benchmark:
        BENCHMARKS / "measure_spike_cost.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        runs=lambda wc, output: Path(output.costs).parent / "runs",
        subsets=study.subset_names,
        optimizers=study.optimizers,
        code=lambda wc: fingerprint.code("measure_spike_cost"),
    shell:
        "python -m scripts.measure_spike_cost --runs {params.runs:q} --subsets {params.subsets:q}"
        " --optimizers {params.optimizers:q} --spectra {input.spectra:q} --costs {output.costs:q}"
        " --summary {output.summary:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule find_spikes:
    input:
        histories=ancient(HISTORIES),
        receipts=rules.collect_histories.output.receipt,
    output:
        spikes=ensure(SPIKES, non_empty=True),
        statistics=ensure(SPIKE_STATISTICS, non_empty=True),
        trends=ensure(SPIKE_TRENDS, non_empty=True),
        receipt=RECEIPTS / "find_spikes.json",
    log:
        LOGS / "find_spikes.log",
    benchmark:
        BENCHMARKS / "find_spikes.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        code=lambda wc: fingerprint.code("find_spikes"),
    shell:
        "python -m scripts.find_spikes --histories {input.histories:q} --spikes {output.spikes:q}"
        " --statistics {output.statistics:q} --trends {output.trends:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule diagnose_spikes:
    input:
        histories=ancient(HISTORIES),
        spikes=ancient(SPIKES),
        trends=ancient(SPIKE_TRENDS),
        receipts=[rules.collect_histories.output.receipt, rules.find_spikes.output.receipt],
    output:
        aligned=ensure(ALIGNED, non_empty=True),
        predictors=ensure(PREDICTORS, non_empty=True),
        hypotheses=ensure(HYPOTHESES, non_empty=True),
        receipt=RECEIPTS / "diagnose_spikes.json",
    log:
        LOGS / "diagnose_spikes.log",
    benchmark:
        BENCHMARKS / "diagnose_spikes.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        code=lambda wc: fingerprint.code("diagnose_spikes"),
    shell:
        "python -m scripts.diagnose_spikes --histories {input.histories:q} --spikes {input.spikes:q}"
        " --trends {input.trends:q} --aligned {output.aligned:q} --predictors {output.predictors:q}"
        " --hypotheses {output.hypotheses:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule judge_convergence:
    input:
        histories=ancient(HISTORIES),
        test_losses=ancient(TEST_LOSSES),
        receipts=[rules.collect_histories.output.receipt, rules.collect_test_losses.output.receipt],
    output:
        convergence=ensure(CONVERGENCE, non_empty=True),
        receipt=RECEIPTS / "judge_convergence.json",
    log:
        LOGS / "judge_convergence.log",
    benchmark:
        BENCHMARKS / "judge_convergence.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        code=lambda wc: fingerprint.code("judge_convergence"),
    shell:
        "python -m scripts.judge_convergence --histories {input.histories:q} --test_losses {input.test_losses:q}"
        " --convergence {output.convergence:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule compare_optimizers:
    input:
        histories=ancient(HISTORIES),
        statistics=ancient(SPIKE_STATISTICS),
        test_losses=ancient(TEST_LOSSES),
        receipts=[
            rules.collect_histories.output.receipt,
            rules.find_spikes.output.receipt,
            rules.collect_test_losses.output.receipt,
        ],
    output:
        cures=ensure(CURES, non_empty=True),
        receipt=RECEIPTS / "compare_optimizers.json",
    log:
        LOGS / "compare_optimizers.log",
    benchmark:
        BENCHMARKS / "compare_optimizers.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        # what others are compared with: plain Adam where the study has it
        reference="adam" if "adam" in study.optimizers else study.optimizers[0],
        code=lambda wc: fingerprint.code("compare_optimizers"),
    shell:
        "python -m scripts.compare_optimizers --histories {input.histories:q} --statistics {input.statistics:q}"
        " --test_losses {input.test_losses:q} --reference {params.reference:q}"
        " --cures {output.cures:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule write_verdict:
    input:
        convergence=ancient(CONVERGENCE),
        cures=ancient(CURES),
        receipts=[rules.judge_convergence.output.receipt, rules.compare_optimizers.output.receipt],
    output:
        verdict=ensure(VERDICT, non_empty=True),
        receipt=RECEIPTS / "write_verdict.json",
    log:
        LOGS / "write_verdict.log",
    benchmark:
        BENCHMARKS / "write_verdict.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        code=lambda wc: fingerprint.code("write_verdict"),
    shell:
        "python -m scripts.write_verdict --convergence {input.convergence:q} --cures {input.cures:q} --verdict {output.verdict:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule fit_learning_curves:
    input:
        runs=ancient(SUMMARY),
        test_losses=ancient(TEST_LOSSES),
        test_metrics=ancient(TEST_METRICS),
        receipts=[
            rules.collect_histories.output.receipt,
            rules.collect_test_losses.output.receipt,
            rules.compute_metrics.output.receipt,
        ],
    output:
        curves=ensure(LEARNING_CURVE, non_empty=True),
        errors=ensure(LEARNING_CURVE_ERRORS, non_empty=True),
        bands=ensure(LEARNING_CURVE_BANDS, non_empty=True),
        answer=ensure(ENOUGH_DATA, non_empty=True),
        receipt=RECEIPTS / "fit_learning_curves.json",
    log:
        LOGS / "fit_learning_curves.log",
    benchmark:
        BENCHMARKS / "fit_learning_curves.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        targets=json.dumps(study.config["learning_curve"]["targets"]),
        code=lambda wc: fingerprint.code("fit_learning_curves"),
    shell:
        "python -m scripts.fit_learning_curves --runs {input.runs:q} --test_losses {input.test_losses:q}"
        " --test_metrics {input.test_metrics:q} --targets {params.targets:q} --curves {output.curves:q}"
        " --errors {output.errors:q} --bands {output.bands:q} --answer {output.answer:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"
