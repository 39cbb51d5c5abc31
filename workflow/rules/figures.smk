"""The figures, each in every format."""


rule plot_fractions:
    input:
        epochs=rules.collect_histories.output.epochs,
        runs=rules.collect_histories.output.summary,
    output:
        ensure(
            multiext(str(RESULTS / "figures" / "loss_by_fraction_{optimizer}"), ".svg", ".pdf", ".png"),
            non_empty=True,
        ),
    log:
        LOGS / "plot_fractions" / "{optimizer}.log",
    benchmark:
        BENCHMARKS / "plot_fractions" / "{optimizer}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "python -m scripts.plot_fractions --epochs {input.epochs:q} --runs {input.runs:q}"
        " --optimizer {wildcards.optimizer:q} --figures {output:q} 2> {log:q}"


rule plot_optimizers:
    input:
        epochs=rules.collect_histories.output.epochs,
        runs=rules.collect_histories.output.summary,
    output:
        ensure(multiext(str(RESULTS / "figures" / "loss_by_optimizer"), ".svg", ".pdf", ".png"), non_empty=True),
    log:
        LOGS / "plot_optimizers.log",
    benchmark:
        BENCHMARKS / "plot_optimizers.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "python -m scripts.plot_optimizers --epochs {input.epochs:q} --runs {input.runs:q}"
        " --figures {output:q} 2> {log:q}"
