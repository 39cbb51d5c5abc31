"""What all rules share: the files, log, benchmark, requests and command of a step, from its line in the table of steps."""

RESULTS = study.results

# the name of a rule, where another workflow imports this one under a prefix, to that of its step
STEP_OF = {workflow.modifier.modify_rulename(name): name for name in STEPS}

# Scripts are called as plain commands, not by `script:`, which reruns a step when its file is touched. `python` is the one
# that runs Snakemake, unless a conda environment or a container comes first.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    PYTHONPATH=str(fingerprint.ROOT),
)

# jobs of this process share one that has imported their packages: see workflow/scripts/fork_server.py. Those that an
# executor has sent to where this file is read again are to stay within what it has given them.
FORK_SERVER = "QUASARCURVES_FORK_SERVER"
if not workflow.is_main_process:
    os.environ[FORK_SERVER] = "off"
else:
    os.environ.setdefault(FORK_SERVER, f"{socket.gethostname()}:{os.getpid()}")

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
    return f"{RESULTS}/{pattern}"


def inputs(name):
    step = STEPS[name]
    # Snakemake makes more objects of a list than of one path or of a function
    slim = lambda paths: paths[0] if len(paths) == 1 else lambda wildcards: paths
    files = {file: ancient(slim(paths)) for file, paths in jobs.named(study, step, STORED).items()}
    return {**files, "receipts": slim(jobs.receipts(study, step))}


def outputs(name):
    step = STEPS[name]
    files = {file: [for_report(step, path) for path in paths] for file, paths in jobs.made(study, step).items()}
    # an optional file is a list, so that a script is told of none
    alone = {file.name for file in step.makes if len(files.get(file.name, [])) == 1 and not file.when}
    found = {key: ensure(paths[0] if key in alone else paths, non_empty=True) for key, paths in files.items()}
    found["receipt"] = at(jobs.receipt(step))
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
        return lambda wildcards, input: captions.of_figure(step.module, wildcards)
    return {FILES[file].path: FILES[file].text for file in jobs.read(study, step)} if step.together == "tables" else ""


def log_of(name):
    return at(STEPS[name].about("logs", ".log"))


# Commands ------------------------------------------------------------------------------------------------------------


def command(name, also=None, modules=lambda wildcards: (), backend="", rule=None, **told):
    """Return the parameters of a step.

    `told` is what it is told besides files: a change reruns it. `also` returns, for wildcards, what changes no result:
    Snakemake does not track functions of the input. `modules` returns those that it imports by name. `rule` is that of
    the job, if it is another.
    """
    step = STEPS[name]
    script = "draw" if step.figure else name
    if step.figure:
        modules = lambda wildcards: (step.module,)

    def given(wildcards):
        return {key: value(wildcards) if callable(value) else value for key, value in told.items()}

    def options(wildcards, input, output):
        words = [step.module] if step.figure else []
        for key, value in {
            **jobs.options(step, input, output),
            **jobs.own(study, step, wildcards, output[0]),
            **given(wildcards),
            **(also(wildcards) if also else {}),
            # no output of the rule, so it would stay where the job has run
            **(
                {} if STORED else {"benchmark": at(STEPS[rule or name].about("benchmarks", ".tsv")).format(**wildcards)}
            ),
        }.items():
            words += [f"--{key}", *(value if isinstance(value, list) else [str(value)])]
        return " ".join(map(shlex.quote, words))

    # as functions: a job on a cluster node, which reads all rules, works out its own fingerprint alone, and Snakemake looks
    # for wildcards in strings, where a file's name may have braces. As one, as Snakemake takes long over each.
    tracked = lambda wildcards: {**given(wildcards), "code": fingerprint.code(script, modules(wildcards))}
    environment = f"KERAS_BACKEND={backend}" if backend else ""
    return {"tracked": tracked, "script": script, "environment": environment, "options": options}


# threads here and not in the options: to know them Snakemake would work out what each job requests at every start
COMMAND = (
    "exec env {params.environment} python -m scripts.{params.script} {params.options} --threads {threads} 2> {log:q}"
)


# Requests ------------------------------------------------------------------------------------------------------------


def run_of(wildcards):
    return Run(float(wildcards.fraction), int(wildcards.replicate), wildcards.optimizer)


def request(wildcards, attempt, rulename):
    """Return what a job asks for; Snakemake asks again once the spectra are there."""
    name = STEP_OF[rulename]
    run = None
    if STEPS[name].per in ("run", "replayed", "forks"):
        run = run_of(wildcards)
    elif name == "train_pack":
        run = study.pack(float(wildcards.fraction))[0]
    # GPUs are given out by a profile: `set-resources` with gpu or gres
    gpu = not {"gpu", "gres"}.isdisjoint(workflow.resource_settings.overwrite_resources.get(rulename, {}))
    return study.resources(name, study.n_examples(Path(at(FILES["spectra"].path))), run, attempt, gpu)


def mem_mb(wildcards, attempt, rulename):
    return request(wildcards, attempt, rulename)["mem_mb"]


def runtime(wildcards, attempt, rulename):
    return request(wildcards, attempt, rulename)["runtime"]


# What trainings are told ---------------------------------------------------------------------------------------------


# of steps that run a task file, which may import Keras
TASK_BACKEND = "" if study.usual else study.backend


def prepare_command():
    """Return the parameters of the rule that reads spectra; it runs again as well when a file's content changes."""
    content = data_content(study)
    note = {"note": [str(prepared_from(study)), content]} if study.data_files() else {}
    modules = lambda wildcards: study.preparing_modules
    told_of = {"task": json.dumps(told.task(study)), "data": json.dumps(study.data, sort_keys=True)}
    how = {"also": lambda *_: note, "modules": modules, "backend": TASK_BACKEND}
    return {"content": lambda wildcards: content, **command("prepare_spectra", **how, **told_of)}


def training_inputs(name):
    """Return the files of a job that trains as a run does: with those of the run that one is held to, if any is."""
    files = inputs(name)
    if not any(map(study.matched_run, study.runs)):
        return {**files, "matched": []}
    own, more = jobs.receipts(study, STEPS[name]), matched(jobs.receipt(STEPS["train"]))
    receipts = lambda wildcards: [path.format(**wildcards) for path in own] + more(wildcards)
    return {**files, "matched": ancient(matched(FILES["history"].path)), "receipts": receipts}


def matched(pattern):
    """Return the function that returns, for a run's wildcards, a file of the run that it is held to, if it is."""
    runs = lambda wildcards: filter(None, [study.matched_run(run_of(wildcards))])
    return lambda wildcards: [at(pattern.format(**vars(run))) for run in runs(wildcards)]


def train_command(rule, runs_of):
    """Return the parameters of a rule that trains the runs that `runs_of` returns for its wildcards."""

    def also(wildcards):
        states = [at(f"state/{run.name}") for run in runs_of(wildcards)]
        code, settings = fingerprint.code("train", modules(wildcards)), json.dumps(study.state_settings())
        return {"code": code, "settings": settings, "state": states}

    def modules(wildcards):
        return study.training_modules(*runs_of(wildcards))

    settings_of = cache(partial(jobs.run_settings, study))  # Snakemake asks for parameters several times
    shared = lambda wildcards: settings_of(runs_of(wildcards)[0])[0]
    own = lambda wildcards: [settings_of(run)[1] for run in runs_of(wildcards)]
    told = {"shared": shared, "run": own}
    return command("train", also=also, modules=modules, backend=study.backend, rule=rule, **told)


def replay_command():
    """Return the parameters of the rule that replays runs; which arms there are is not in the name of what is kept."""

    def also(wildcards):
        folder = at(f"state/{run_of(wildcards).name}/replays/{wildcards.group}")
        code = fingerprint.code("replay", modules(wildcards))
        return {"code": code, "state": folder, "group": wildcards.group}

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
        modules=lambda wildcards: study.training_modules(run_of(wildcards)),
        backend=study.backend,
        run=lambda wildcards: json.dumps(study.run_params(run_of(wildcards))),
        number=study.magnified_spikes,
    )


def pack_inputs():
    """Return the files of a pack: what each training reads by itself, with the subsets of all its replicates."""
    receipts = dict.fromkeys(jobs.of_pack(study, jobs.receipt(STEPS["draw_subset"])))
    files = {"spectra": at(FILES["spectra"].path), "subset": jobs.of_pack(study, FILES["subset"].path)}
    return {**{name: ancient(paths) for name, paths in files.items()}, "matched": [], "receipts": list(receipts)}


def pack_outputs():
    """Return what trainings of a pack make; each has its receipt, as if trained by itself."""
    step = STEPS["train"]
    files = {file.name: file.path for file in step.makes if study.has(file)} | {"receipt": jobs.receipt(step)}
    return kept({name: ensure(jobs.of_pack(study, pattern), non_empty=True) for name, pattern in files.items()})


# The state of results ------------------------------------------------------------------------------------------------


def mark_results():
    """Say in the page and the answer whether they are current; there are none here under a storage provider."""
    if not STORED:
        outdated.mark(study)
