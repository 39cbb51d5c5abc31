"""From the histories of all runs to tables."""


rule collect_histories:
    input:
        histories=ancient(expand(HISTORY, zip, **study.run_wildcards())),
        receipts=expand(rules.train.output.receipt, zip, **study.run_wildcards()),
    output:
        histories=ensure(RESULTS / "histories.h5", non_empty=True),
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
