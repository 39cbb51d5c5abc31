"""What all rules share: the files, log, benchmark, requests and command of a step, from its line in the table of steps."""

RESULTS = study.results
RECEIPTS = RESULTS / "receipts"

# the name of a rule, where another workflow imports this one under a prefix, to that of its step
STEP_OF = {workflow.modifier.modify_rulename(name): name for name in STEPS}

# Scripts are called as plain commands, not by `script:`, which reruns a step when its file is touched. `python` is the one
# that runs Snakemake, unless a conda environment or a container comes first.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    PYTHONPATH=str(fingerprint.ROOT),
)

# Steps that take seconds: on a cluster they run beside Snakemake and are not submitted
workflow.localrules(*(rule for rule, name in STEP_OF.items() if STEPS[name].light))


wildcard_constraints:
    group=r"\d+",
    fraction=r"[0-9.]+(e-[0-9]+)?",
    replicate=r"\d+",
    optimizer=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


# Under a default storage provider, results are on object storage, and a job has only the files that it names.
STORED = workflow.storage_settings.default_storage_provider is not None

if STORED:

    def update(file):
        # Snakemake would fetch the file that is to be replaced
        return file

    def ensure(file, **_):
        # Snakemake (9.27) would ask for the file's size in storage before it has sent it there, and fail the job
        return file


# Files --------------------------------------------------------------------------------------------------------------
# A step runs again when its parameters change, the code fingerprint among them, or the receipt of what it reads. Receipts
# are small, so Snakemake compares them by content. The files themselves are `ancient`: their age says nothing.


def at(pattern):
    return str(RESULTS / pattern)


def receipt(name):
    place = PLACES[STEPS[name].per]
    return f"receipts/{name}/{place}.json" if place else f"receipts/{name}.json"


def for_job(pattern, maker, reader):
    """Return the files that a job reads: those with its own wildcards, or those of all jobs that make some."""
    if set(WILDCARDS[maker.per]) <= set(WILDCARDS[reader.per]):
        return [at(pattern)]
    return study.paths(pattern, maker.per)


def read_files(step):
    """Return what a step reads by the file's name, without what the study does not have."""
    found = [(name, MAKERS[name]) for name in step.reads if study.has(MAKERS[name]) and study.has(FILES[name])]
    return {name: for_job(FILES[name].path, maker, step) for name, maker in found}


def inputs(name):
    step = STEPS[name]
    files = read_files(step)
    makers = dict.fromkeys(step.through.get(file) or MAKERS[file].name for file in files)
    # a step that learns of files through another's receipt names them only where they have to be brought
    named = {file: paths for file, paths in files.items() if file not in step.through or STORED}
    receipts = [path for maker in makers for path in for_job(receipt(maker), STEPS[maker], step)]
    if step.figures:
        drawing = [each for each in study.steps if each.figure]
        named["figures"] = [
            path for each in drawing for file in pngs(each) for path in study.paths(file.path, each.per)
        ]
        receipts += [path for each in drawing for path in study.paths(receipt(each.name), each.per)]
    return {**{file: ancient(paths) for file, paths in named.items()}, "receipts": receipts}


def pngs(step):
    """Return the files of a figure that every browser shows alike."""
    return [file for file in step.makes if file.path.endswith(".png")]


def outputs(name):
    step, files = STEPS[name], {}
    for file in filter(study.has, step.makes):
        files.setdefault(file.name, []).append(for_report(step, at(file.path)))
    # an optional file is a list, so that a script is told of none
    alone = {file.name for file in step.makes if len(files.get(file.name, [])) == 1 and not file.when}
    found = {key: ensure(paths[0] if key in alone else paths, non_empty=True) for key, paths in files.items()}
    found["receipt"] = at(receipt(name))
    return kept(found) if name == "train" else found


def kept(files):
    """Mark files that stay until they are replaced, where Snakemake deletes what a job makes before it starts.

    A training may be stopped, and hours pass until it goes on. The receipt is no such file: by its absence Snakemake
    knows that the training is not done, as for files that stay it notes the new parameters even if the job fails.
    """
    return {name: paths if name == "receipt" else update(paths) for name, paths in files.items()}


def for_report(step, path):
    """Mark a file that the report shows: a figure's PNG, which looks alike in every browser, and the page of a table."""
    if step.figure and path.endswith(".png"):
        labels = {"figure": step.figure.shows, "optimizer": "all", "fraction": "all"}
        labels |= {name: f"{{{name}}}" for name in WILDCARDS[step.per]}
        return report(
            path, caption="../report/figure.rst", category=places.of_report(step.figure.category), labels=labels
        )
    if step.together == "tables":
        table = Path(path).stem
        category = places.ANSWER if table == FILES["answer"].path else places.NUMBERS
        return report(path, caption="../report/table.rst", category=category, labels={"table": table})
    return path


def caption(name):
    """Return what the report says below what a step makes: of a figure its module's caption, of tables their texts."""
    step = STEPS[name]
    if step.figure:
        return lambda wildcards, input: captions.of_figure(step.draws, wildcards)
    return {FILES[file].path: FILES[file].text for file in read_files(step)} if step.together == "tables" else ""


def shown_on_page():
    """Return what the page says of tables and figures, by their paths below the results."""
    texts = {FILES[name].path: FILES[name].text for name in read_files(STEPS["write_page"])}
    figures = {
        file.path.format(**each): {**step.figure._asdict(), "draws": step.draws, "of": each}
        for step in study.steps
        if step.figure
        for file in pngs(step)
        for each in study.wildcards(step.per)
    }
    return {"tables": {path: text for path, text in texts.items() if text}, "figures": figures}


def log_of(name):
    place = PLACES[STEPS[name].per]
    return at(f"logs/{name}/{place}.log" if place else f"logs/{name}.log")


def benchmark_of(name):
    place = PLACES[STEPS[name].per]
    return at(f"benchmarks/{name}/{place}.tsv" if place else f"benchmarks/{name}.tsv")


# Commands ------------------------------------------------------------------------------------------------------------


def command(name, also=None, modules=lambda wildcards: (), backend="", **told):
    """Return the parameters of a step.

    `told` is what it is told besides files: a change reruns it. `also` returns, for wildcards and threads, what changes
    no result: Snakemake does not track functions of the input. `modules` returns those that it imports by name.
    """
    step = STEPS[name]
    script = "draw" if step.figure else name
    if step.figure:
        modules = lambda wildcards: (f"quasarcurves.figures.{step.draws}",)

    def options(wildcards, input, output, threads):
        words = [step.draws] if step.figure else []
        given = {key: value(wildcards) if callable(value) else value for key, value in told.items()}
        untracked = also(wildcards, threads) if also else {}
        for key, value in {
            **files_of(step, input, output),
            **own(step, wildcards, output),
            **given,
            **untracked,
        }.items():
            words += [f"--{key}", *(value if isinstance(value, list) else [str(value)])]
        return " ".join(map(shlex.quote, words))

    # the code is a function, so that a job on a cluster node, which reads all rules, works out its own fingerprint alone
    code = lambda wildcards: fingerprint.code(script, modules(wildcards))
    environment = f"KERAS_BACKEND={backend}" if backend else ""
    return {**told, "code": code, "script": script, "environment": environment, "options": options}


def files_of(step, input, output):
    """Return the options that name the files of a job."""
    found = {}
    several = {name for name in step.reads if step.per == "study" and MAKERS[name].per in ("run", "subset")}
    for key in input.keys():
        if key == "receipts" or key not in several:
            name = step.together if step.together and key != "receipts" else key
            found.setdefault(name, []).extend([input[key]] if isinstance(input[key], str) else list(input[key]))
    for key in output.keys():
        found[key] = [output[key]] if isinstance(output[key], str) else list(output[key])
    for file in step.makes:
        found.setdefault(file.name, [])
    for name in step.reads:
        if name not in several and not step.together:
            found.setdefault(name, [])
    return found


def own(step, wildcards, output):
    """Return what a job is done for, as options: one optimizer, say, or the runs that a step for the whole study reads."""
    if step.figure:
        return {name: wildcards[name] for name in WILDCARDS[step.per]}
    if runs := told.runs(study, step):
        # the runs by what they are made of: thousands of paths would not fit on a command line
        return {"folder": str(Path(output[0]).parent / "runs"), **runs}
    return {}


COMMAND = "exec env {params.environment} python -m scripts.{params.script} {params.options} 2> {log:q}"


# Requests ------------------------------------------------------------------------------------------------------------


def run_of(wildcards):
    return Run(float(wildcards.fraction), int(wildcards.replicate), wildcards.optimizer)


def pack_of(wildcards):
    return study.pack(float(wildcards.fraction))


def request(wildcards, attempt, rulename):
    """Return what a job asks for; Snakemake asks again once the spectra are there."""
    name = STEP_OF[rulename]
    run = None
    if STEPS[name].per in ("run", "replayed", "forks"):
        run = run_of(wildcards)
    elif name == "train_pack":
        run = pack_of(wildcards)[0]
    # GPUs are given out by a profile: `set-resources` with gpu or gres
    gpu = not {"gpu", "gres"}.isdisjoint(workflow.resource_settings.overwrite_resources.get(rulename, {}))
    return study.resources(name, study.n_spectra(Path(at(FILES["spectra"].path))), run, attempt, gpu)


def mem_mb(wildcards, attempt, rulename):
    return request(wildcards, attempt, rulename)["mem_mb"]


def runtime(wildcards, attempt, rulename):
    return request(wildcards, attempt, rulename)["runtime"]


# What trainings are told ---------------------------------------------------------------------------------------------


def prepare_command():
    """Return the parameters of the rule that reads spectra; it runs again as well when a file's content changes."""
    content = data_content(study)
    note = {"note": [str(prepared_from(study)), content]} if study.data_files() else {}
    modules = lambda wildcards: (study.source_module,)
    told = {"data": json.dumps(study.data, sort_keys=True)}
    return {"content": content, **command("prepare_spectra", also=lambda *_: note, modules=modules, **told)}


def subset_settings(wildcards):
    return json.dumps(study.subset_params(float(wildcards.fraction), int(wildcards.replicate)))


def matched_history(wildcards):
    """Return the history of the run whose effective step a run is held to, if it is."""
    matched = study.matched_run(run_of(wildcards))
    return [at(FILES["history"].path.format(**vars(matched)))] if matched else []


def train_receipts(wildcards):
    matched = study.matched_run(run_of(wildcards))
    found = [at(receipt(name).format(**wildcards)) for name in ("prepare_spectra", "draw_subset")]
    return found + ([at(receipt("train").format(**vars(matched)))] if matched else [])


def replay_receipts(wildcards):
    return [*train_receipts(wildcards), at(receipt("train").format(**wildcards))]


def run_params(run):
    """Return what a run's result depends on, as a command line has it: what all of a pack share, and its own."""
    params = study.run_params(run)
    own = {name: params.pop(name) for name in ("replicate", "optimizer", "optimizer_spec")}
    return json.dumps(params), json.dumps(own)


def train_command(runs_of):
    """Return the parameters of a rule that trains the runs that `runs_of` returns for its wildcards."""

    def also(wildcards, threads):
        states = [at(f"state/{run.name}") for run in runs_of(wildcards)]
        code, settings = fingerprint.code("train", modules(wildcards)), json.dumps(study.state_settings())
        return {"code": code, "settings": settings, "threads": threads, "state": states}

    def modules(wildcards):
        return study.training_modules(*runs_of(wildcards))

    shared = lambda wildcards: run_params(runs_of(wildcards)[0])[0]
    own = lambda wildcards: [run_params(run)[1] for run in runs_of(wildcards)]
    return command("train", also=also, modules=modules, backend=study.backend, shared=shared, run=own)


def replay_command():
    """Return the parameters of the rule that replays runs; which arms there are is not in the name of what is kept."""

    def also(wildcards, threads):
        folder = at(f"state/{run_of(wildcards).name}/replays/{wildcards.group}")
        code = fingerprint.code("replay", modules(wildcards))
        return {"code": code, "threads": threads, "state": folder, "group": wildcards.group}

    modules = lambda wildcards: study.training_modules(run_of(wildcards))
    run = lambda wildcards: json.dumps(study.run_params(run_of(wildcards)))
    settings = json.dumps(study.replay_settings.to_json())
    return command(
        "replay", also=also, modules=modules, backend=study.backend, run=run, replays=settings, groups=study.replay_jobs
    )


def magnify_command():
    """Return the parameters of the rule that looks at spikes of runs."""
    return command(
        "magnify_spikes",
        also=lambda wildcards, threads: {"threads": threads},
        modules=lambda wildcards: study.training_modules(run_of(wildcards)),
        backend=study.backend,
        run=lambda wildcards: json.dumps(study.run_params(run_of(wildcards))),
        number=study.magnified_spikes,
    )


def packed(pattern):
    """Return a file of every run that is trained together with others."""
    return [
        pattern.format(fraction="{fraction}", replicate=run.replicate, optimizer=run.optimizer) for run in study.pack(0)
    ]


def pack_inputs():
    """Return the files of a pack: what each training reads by itself, with the subsets of all its replicates."""
    receipts = dict.fromkeys(packed(receipt("draw_subset")))
    return {
        "spectra": ancient(at(FILES["spectra"].path)),
        "subset": ancient([at(path) for path in packed(FILES["subset"].path)]),
        "matched": [],
        "receipts": [at(path) for path in (receipt("prepare_spectra"), *receipts)],
    }


def pack_outputs():
    """Return what trainings of a pack make; each has its receipt, as if trained by itself."""
    files = {file.name: file.path for file in STEPS["train"].makes if study.has(file)} | {"receipt": receipt("train")}
    found = {name: ensure([at(path) for path in packed(pattern)], non_empty=True) for name, pattern in files.items()}
    return kept(found)


# The state of results ------------------------------------------------------------------------------------------------


def mark_results():
    """Say in the page and the answer whether they are current; there are none here under a storage provider."""
    if not STORED:
        outdated.mark(study)
