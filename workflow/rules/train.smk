"""One training per fraction, replicate and optimizer."""


rule train:
    input:
        spectra=rules.prepare_spectra.output.spectra,
        subset=rules.draw_subset.output.subset,
    output:
        history=ensure(RUN / "history.h5", non_empty=True),
        model=ensure(RUN / "model.keras", non_empty=True),
        best=ensure(RUN / "best.keras", non_empty=True),
    log:
        LOGS / "train" / "f{fraction}_r{replicate}" / "{optimizer}.log",
    benchmark:
        BENCHMARKS / "train" / "f{fraction}_r{replicate}" / "{optimizer}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    threads: study.config["training"]["threads"]
    resources:
        mem_mb=lambda wc, input, attempt: train_resources(wc, input, attempt)["mem_mb"],
        runtime=lambda wc, input, attempt: train_resources(wc, input, attempt)["runtime"],
        gpu=0,
    params:
        run=lambda wc: json.dumps(study.run_params(Run(float(wc.fraction), int(wc.replicate), wc.optimizer))),
        state=str(STATE),
    shell:
        "python -m scripts.train --spectra {input.spectra:q} --subset {input.subset:q} --run {params.run:q}"
        " --threads {threads} --history {output.history:q} --model {output.model:q} --best {output.best:q}"
        " --state {params.state:q} 2> {log:q}"
