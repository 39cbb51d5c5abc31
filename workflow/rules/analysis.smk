"""From the histories of all runs to tables."""


rule collect_histories:
    input:
        expand(rules.train.output.history, zip, **study.run_wildcards()),
    output:
        histories=ensure(RESULTS / "histories.h5", non_empty=True),
        epochs=ensure(RESULTS / "epochs.csv", non_empty=True),
        summary=ensure(RESULTS / "runs.csv", non_empty=True),
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
        runs=RESULTS / "runs",
        subsets=SUBSETS,
        optimizers=study.optimizers,
    shell:
        "python -m scripts.collect_histories --runs {params.runs:q} --subsets {params.subsets:q}"
        " --optimizers {params.optimizers:q} --histories {output.histories:q} --epochs {output.epochs:q}"
        " --summary {output.summary:q} 2> {log:q}"
