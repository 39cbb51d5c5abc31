"""From the histories of all runs to tables."""


rule collect_histories:
    input:
        histories=ancient(expand(HISTORY, zip, **study.run_wildcards())),
        receipts=expand(rules.train.output.receipt, zip, **study.run_wildcards()),
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
        mem_mb=2000,
        runtime=30,
    params:
        # the runs by what they are made of: thousands of paths would not fit on a command line
        runs=lambda wc, output: Path(output.epochs).parent / "runs",
        subsets=study.subset_names,
        optimizers=study.optimizers,
        code=fingerprint.code("collect_histories"),
    shell:
        "python -m scripts.collect_histories --runs {params.runs:q} --subsets {params.subsets:q}"
        " --optimizers {params.optimizers:q} --histories {output.histories:q} --epochs {output.epochs:q}"
        " --summary {output.summary:q} --receipt {output.receipt:q} 2> {log:q}"


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
        mem_mb=2000,
        runtime=60,
    params:
        code=fingerprint.code("find_spikes"),
    shell:
        "python -m scripts.find_spikes --histories {input.histories:q} --spikes {output.spikes:q}"
        " --statistics {output.statistics:q} --trends {output.trends:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"
