"""From spectra of any source to one table, and the rows of it that each run trains on."""


rule prepare_spectra:
    input:
        study.data_files(),
    output:
        spectra=ensure(RESULTS / "data" / "spectra.h5", non_empty=True),
    log:
        LOGS / "prepare_spectra.log",
    benchmark:
        BENCHMARKS / "prepare_spectra.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        data=json.dumps(study.data, sort_keys=True),
    shell:
        "python -m scripts.prepare_spectra --data {params.data:q} --spectra {output.spectra:q} 2> {log:q}"


rule draw_subset:
    input:
        spectra=rules.prepare_spectra.output.spectra,
    output:
        subset=ensure(SUBSET, non_empty=True),
    log:
        LOGS / "draw_subset" / "f{fraction}_r{replicate}.log",
    benchmark:
        BENCHMARKS / "draw_subset" / "f{fraction}_r{replicate}.tsv"
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        settings=lambda wc: json.dumps(study.subset_params(float(wc.fraction), int(wc.replicate))),
    shell:
        "python -m scripts.draw_subset --spectra {input.spectra:q} --settings {params.settings:q}"
        " --subset {output.subset:q} 2> {log:q}"
