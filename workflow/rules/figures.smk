"""The figures, each in every format."""


rule plot_fractions:
    input:
        epochs=ancient(EPOCHS),
        runs=ancient(SUMMARY),
        receipts=rules.collect_histories.output.receipt,
    output:
        figures=ensure(
            multiext(str(RESULTS / "figures" / "loss_by_fraction_{optimizer}"), ".svg", ".pdf", ".png"),
            non_empty=True,
        ),
        receipt=RECEIPTS / "plot_fractions" / "{optimizer}.json",
    log:
        LOGS / "plot_fractions" / "{optimizer}.log",
    benchmark:
        BENCHMARKS / "plot_fractions" / "{optimizer}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        style=json.dumps(study.config["figures"]["loss_by_fraction"]),
        code=fingerprint.code("plot_fractions"),
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
        figures=ensure(multiext(str(RESULTS / "figures" / "loss_by_optimizer"), ".svg", ".pdf", ".png"), non_empty=True),
        receipt=RECEIPTS / "plot_optimizers.json",
    log:
        LOGS / "plot_optimizers.log",
    benchmark:
        BENCHMARKS / "plot_optimizers.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        style=json.dumps(study.config["figures"]["loss_by_optimizer"]),
        code=fingerprint.code("plot_optimizers"),
    shell:
        "python -m scripts.plot_optimizers --epochs {input.epochs:q} --runs {input.runs:q}"
        " --style {params.style:q} --figures {output.figures:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"
