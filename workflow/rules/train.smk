"""One training per fraction, replicate and optimizer, and what its models say of the test set."""


rule train:
    input:
        spectra=ancient(SPECTRA),
        subset=ancient(SUBSET),
        matched=ancient(matched_history),
        receipts=train_receipts,
    output:
        history=ensure(HISTORY, non_empty=True),
        model=ensure(MODEL, non_empty=True),
        best=ensure(BEST, non_empty=True),
        snapshots=[ensure(SNAPSHOTS, non_empty=True)] if study.takes_snapshots else [],
        receipt=RECEIPTS / "train" / f"{RUN_NAME}.json",
    log:
        LOGS / "train" / f"{RUN_NAME}.log",
    benchmark:
        BENCHMARKS / "train" / f"{RUN_NAME}.tsv"
    # the longest first, so that no core waits for one of them at the end
    priority: lambda wc: float(wc.fraction)
    conda:
        "../../envs/quasarcurves.yaml"
    threads: study.config["training"]["threads"]
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
        gpu=0,
    params:
        run=run_params,
        code=lambda wc: fingerprint.code("train", (study.backend_module,)),
        backend=study.backend,
        # where and how often the state is kept changes no result: Snakemake does not track functions of the input
        state=lambda wc, input: str(RESULTS / "state" / RUN_NAME.format(**wc)),
        settings=lambda wc, input: json.dumps(study.state_settings()),
    shell:
        "export KERAS_BACKEND={params.backend};"
        " exec python -m scripts.train --spectra {input.spectra:q} --subset {input.subset:q} --run {params.run:q}"
        " --code {params.code} --settings {params.settings:q} --threads {threads} --state {params.state:q}"
        " --history {output.history:q} --model {output.model:q} --best {output.best:q} --matched {input.matched:q}"
        " --snapshots {output.snapshots:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


rule evaluate:
    input:
        spectra=ancient(SPECTRA),
        subset=ancient(SUBSET),
        model=ancient(MODEL),
        best=ancient(BEST),
        snapshots=ancient([SNAPSHOTS] if study.takes_snapshots else []),
        receipts=[
            rules.prepare_spectra.output.receipt,
            rules.draw_subset.output.receipt,
            rules.train.output.receipt,
        ],
    output:
        predictions=ensure(PREDICTIONS, non_empty=True),
        receipt=RECEIPTS / "evaluate" / f"{RUN_NAME}.json",
    log:
        LOGS / "evaluate" / f"{RUN_NAME}.log",
    benchmark:
        BENCHMARKS / "evaluate" / f"{RUN_NAME}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    threads: study.config["training"]["threads"]
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        run=evaluation_params,
        code=lambda wc: fingerprint.code("evaluate"),
    shell:
        "python -m scripts.evaluate --spectra {input.spectra:q} --subset {input.subset:q} --model {input.model:q}"
        " --best {input.best:q} --snapshots {input.snapshots:q} --run {params.run:q}"
        " --predictions {output.predictions:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"
