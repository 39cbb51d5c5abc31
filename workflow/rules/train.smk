"""One training per fraction, replicate and optimizer, and what its models say of the test set."""


use rule train_step as train with:
    input:
        **training_inputs("train"),
    output:
        **outputs("train"),
    log:
        log_of("train"),
    wildcard_constraints:
        # all but those of the pack; a pattern that nothing fits, if there are no others
        optimizer="|".join(re.escape(name) for name in study.optimizers if name not in study.packed) or "(?!)",
    params:
        **train_command("train", lambda wildcards: [run_of(wildcards)]),


if study.packs:

    use rule train_step as train_pack with:
        input:
            **pack_inputs(),
        output:
            **pack_outputs(),
        log:
            log_of("train_pack"),
        params:
            **train_command("train_pack", lambda wildcards: study.pack(float(wildcards.fraction))),


if study.replays:

    use rule train_step as replay with:
        input:
            **training_inputs("replay"),
        output:
            **outputs("replay"),
        log:
            log_of("replay"),
        params:
            **replay_command(),


if study.magnifies_spikes:

    use rule train_step as magnify_spikes with:
        input:
            **training_inputs("magnify_spikes"),
        output:
            **outputs("magnify_spikes"),
        log:
            log_of("magnify_spikes"),
        params:
            **magnify_command(),


use rule step as evaluate with:
    input:
        **inputs("evaluate"),
    output:
        **outputs("evaluate"),
    log:
        log_of("evaluate"),
    threads: study.config["training"]["threads"]
    params:
        **command(
            "evaluate",
            modules=lambda wildcards: study.evaluating_modules,
            backend=TASK_BACKEND,
            run=lambda wildcards: json.dumps(study.evaluation_params(run_of(wildcards))),
        ),
