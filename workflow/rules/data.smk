"""From spectra of any source to one table, and the rows of it that each run trains on."""


rule prepare_spectra:
    input:
        ancient([local(file) for file in study.data_files()]),
    output:
        spectra=ensure(SPECTRA, non_empty=True),
        receipt=RECEIPTS / "prepare_spectra.json",
    log:
        LOGS / "prepare_spectra.log",
    benchmark:
        BENCHMARKS / "prepare_spectra.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        data=json.dumps(study.data, sort_keys=True),
        content=fingerprint.digest_files(study.data_files(), RESULTS / "state" / "input_hashes.json"),
        code=lambda wc: fingerprint.code("prepare_spectra", (study.source_module,)),
    shell:
        "python -m scripts.prepare_spectra --data {params.data:q} --spectra {output.spectra:q}"
        " --receipt {output.receipt:q} 2> {log:q}"


rule draw_subset:
    input:
        spectra=ancient(SPECTRA),
        receipts=rules.prepare_spectra.output.receipt,
    output:
        subset=ensure(SUBSET, non_empty=True),
        receipt=RECEIPTS / "draw_subset" / f"{SUBSET_NAME}.json",
    log:
        LOGS / "draw_subset" / f"{SUBSET_NAME}.log",
    benchmark:
        BENCHMARKS / "draw_subset" / f"{SUBSET_NAME}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        settings=lambda wc: json.dumps(study.subset_params(float(wc.fraction), int(wc.replicate))),
        code=lambda wc: fingerprint.code("draw_subset"),
    shell:
        "python -m scripts.draw_subset --spectra {input.spectra:q} --settings {params.settings:q}"
        " --subset {output.subset:q} --receipts {input.receipts:q} --receipt {output.receipt:q} 2> {log:q}"
