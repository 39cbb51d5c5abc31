"""From spectra of any source to one table, and the rows of it that each run trains on."""


use rule step as prepare_spectra with:
    input:
        # braces are wildcards to Snakemake, whatever escapes them; what is in the files is a parameter in any case
        ancient([local(file) for file in study.data_files() if not {"{", "}"} & set(str(file))]),
    output:
        **outputs("prepare_spectra"),
    log:
        log_of("prepare_spectra"),
    params:
        **prepare_command(),


use rule step as draw_subset with:
    input:
        **inputs("draw_subset"),
    output:
        **outputs("draw_subset"),
    log:
        log_of("draw_subset"),
    params:
        **command(
            "draw_subset",
            settings=lambda wildcards: json.dumps(told.settings(study, STEPS["draw_subset"], wildcards)["settings"]),
        ),
