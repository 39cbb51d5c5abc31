"""Tables and figures from the records of all runs: a rule for every other line of the table of steps."""

STANDING = {"prepare_spectra", "draw_subset", "train", "train_pack", "replay", "magnify_spikes", "evaluate"}
"""Steps whose rules are written out, as they have more to them."""

TOLD = {
    # what others are compared with: plain Adam where the study has it
    "compare_optimizers": {"reference": "adam" if "adam" in study.optimizers else study.optimizers[0]},
    "fit_learning_curves": {
        "targets": json.dumps(study.config["learning_curve"]["targets"]),
        "costs": json.dumps({key: value for key, value in study.config["learning_curve"].items() if key != "targets"}),
    },
    "write_page": {
        "shown": json.dumps(shown_on_page()),
        "templates": fingerprint.digest([fingerprint.file_hash(path) for path in templates.paths()]),
        # untracked: what the page shows of the study changes with what was made by it
        "also": lambda wildcards, threads: {"study": json.dumps(study.config)},
    },
    **{f"plot_{name}": {"style": json.dumps(style)} for name, style in study.config["figures"].items()},
}

for _name in [name for name in STEPS if name not in STANDING]:

    rule:
        name:
            _name
        input:
            **inputs(_name),
        output:
            **outputs(_name),
        log:
            log_of(_name),
        benchmark:
            benchmark_of(_name)
        conda:
            "../../envs/quasarcurves.yaml"
        resources:
            mem_mb=mem_mb,
            runtime=runtime,
        params:
            **command(_name, **TOLD.get(_name, {})),
            caption=caption(_name),
        shell:
            COMMAND
