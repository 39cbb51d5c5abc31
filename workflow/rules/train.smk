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
    wildcard_constraints:
        # all but those of the pack; a pattern that nothing fits, if there are no others
        optimizer="|".join(re.escape(name) for name in study.optimizers if name not in study.packed) or "(?!)",
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
        shared=lambda wc: run_params(run_of(wc))[0],
        run=lambda wc: run_params(run_of(wc))[1],
        code=lambda wc: fingerprint.code("train", study.training_modules(run_of(wc))),
        backend=study.backend,
        # where and how often the state is kept changes no result: Snakemake does not track functions of the input
        state=lambda wc, input: str(RESULTS / "state" / RUN_NAME.format(**wc)),
        settings=lambda wc, input: json.dumps(study.state_settings()),
    shell:
        "export KERAS_BACKEND={params.backend};"
        " exec python -m scripts.train --spectra {input.spectra:q} --subset {input.subset:q}"
        " --shared {params.shared:q} --run {params.run:q}"
        " --code {params.code} --settings {params.settings:q} --threads {threads} --state {params.state:q}"
        " --history {output.history:q} --model {output.model:q} --best {output.best:q} --matched {input.matched:q}"
        " --snapshots {output.snapshots:q}"
        " --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"


if study.packed:

    PACK = {name: [getattr(run, name) for run in study.pack(0)] for name in ("replicate", "optimizer")}

    rule train_pack:
        """All trainings of a fraction that are alike, in one program; each has its receipt, as if trained by itself."""
        input:
            spectra=ancient(SPECTRA),
            subsets=ancient(expand(SUBSET, zip, **PACK, allow_missing=True)),
            receipts=[RECEIPTS / "prepare_spectra.json"]
            + expand(
                RECEIPTS / "draw_subset" / f"{SUBSET_NAME}.json", replicate=set(PACK["replicate"]), allow_missing=True
            ),
        output:
            histories=ensure(expand(HISTORY, zip, **PACK, allow_missing=True), non_empty=True),
            models=ensure(expand(MODEL, zip, **PACK, allow_missing=True), non_empty=True),
            best=ensure(expand(BEST, zip, **PACK, allow_missing=True), non_empty=True),
            snapshots=(
                ensure(expand(SNAPSHOTS, zip, **PACK, allow_missing=True), non_empty=True)
                if study.takes_snapshots
                else []
            ),
            receipts=expand(RECEIPTS / "train" / f"{RUN_NAME}.json", zip, **PACK, allow_missing=True),
        log:
            LOGS / "train_pack" / "f{fraction}.log",
        benchmark:
            BENCHMARKS / "train_pack" / "f{fraction}.tsv"
        priority: lambda wc: float(wc.fraction)
        conda:
            "../../envs/quasarcurves.yaml"
        threads: study.config["training"]["threads"]
        resources:
            mem_mb=mem_mb,
            runtime=runtime,
            gpu=0,
        params:
            shared=lambda wc: run_params(pack_of(wc)[0])[0],
            runs=lambda wc: [run_params(run)[1] for run in pack_of(wc)],
            code=lambda wc: fingerprint.code("train", study.training_modules(*pack_of(wc))),
            backend=study.backend,
            # functions of the input, as in rule train: not tracked
            states=lambda wc, input: [str(RESULTS / "state" / run.name) for run in pack_of(wc)],
            settings=lambda wc, input: json.dumps(study.state_settings()),
        shell:
            "export KERAS_BACKEND={params.backend};"
            " exec python -m scripts.train --spectra {input.spectra:q} --subset {input.subsets:q}"
            " --shared {params.shared:q} --run {params.runs:q}"
            " --code {params.code} --settings {params.settings:q} --threads {threads} --state {params.states:q}"
            " --history {output.histories:q} --model {output.models:q} --best {output.best:q} --matched"
            " --snapshots {output.snapshots:q}"
            " --receipts {input.receipts:q} --receipt {output.receipts:q} 2> {log:q}"


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
