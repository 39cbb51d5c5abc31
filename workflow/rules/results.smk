"""Tables and figures from the records of all runs: a rule for every other line of the table of steps."""

STANDING = {"prepare_spectra", "draw_subset", "train", "train_pack", "replay", "magnify_spikes", "evaluate"}
"""Steps whose rules are written out, as they have more to them."""

# dicts and lists as a command line has them
TOLD = {
    name: {key: value if isinstance(value, str) else json.dumps(value) for key, value in keys.items()}
    for name, keys in told.keys(study).items()
}
TOLD["write_page"] = {
    "shown": json.dumps(jobs.shown(study)),
    "templates": fingerprint.digest([fingerprint.file_hash(path) for path in templates.paths()]),
    # untracked: what the page shows of the study changes with what was made by it
    "also": lambda wildcards: {"study": json.dumps(study.config), "examples": study.task.examples},
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
        conda:
            "../../envs/quasarcurves.yaml"
        resources:
            mem_mb=mem_mb,
            runtime=runtime,
        params:
            **command(_name, backend=TASK_BACKEND if _name in told.RUNS_TASK else "", **TOLD.get(_name, {})),
            caption=caption(_name),
        shell:
            COMMAND
